// With Workspace Trust on: nothing of SoA runs in a folder that is not trusted, and it starts in one that is.
import assert from 'node:assert/strict';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BASKET, basket } from './projects.mjs';
import { Code, until, workspace } from './workbench.mjs';

export async function trust(folder, vsix, server) {
  const code = await Code.start({ folder, vsix: [vsix], trust: true });
  try {
    code.machine({ 'soa.server.command': server });
    const place = workspace(path.join(folder, 'work/trust'), basket.files);
    const open = async answer => {
      const window = await code.open('trust', place, { file: path.join(place, BASKET) });
      const dialog = window.page.locator('.monaco-dialog-box');
      await dialog.filter({ hasText: 'trust the authors' }).waitFor();
      await dialog.locator('.monaco-button').filter({ hasText: answer }).first().click();
      await window.editorReady('def total');
      return window;
    };
    const restricted = await open(/^No/);
    await restricted.page.locator('.statusbar-item').filter({ hasText: 'Restricted Mode' }).waitFor();
    await sleep(3000); // in which it would start
    assert.equal(code.log('SoA.log'), '', 'the extension is not active');
    await restricted.shot('restricted');
    await restricted.close();
    await open(/^Yes/);
    await until('the server is ready', () => code.log('SoA.log').includes('the server is ready'), 60_000);
  } finally {
    await code.stop();
  }
}
