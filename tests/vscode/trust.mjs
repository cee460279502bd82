// With Workspace Trust on: nothing of SoA runs in a folder that is not trusted, and it starts in one that is.
import assert from 'node:assert/strict';
import path from 'node:path';
import { BASKET, basket } from './projects.mjs';
import { Code, workspace } from './workbench.mjs';

export async function trust(folder, vsix, server) {
  const code = await Code.start({ folder, vsix: [vsix], trust: true });
  try {
    code.machine({ 'soa.server.command': server });
    const place = workspace(path.join(folder, 'work/trust'), basket.files);
    const window = await code.open('trust', place, { file: path.join(place, BASKET) });
    await window.line('def total').waitFor();
    await window.page.locator('.statusbar-item').filter({ hasText: 'Restricted Mode' }).waitFor();
    assert.equal(await window.icon().count(), 0, 'nothing of it is shown');
    assert.deepEqual(code.logs(), [], 'the extension is not active');
    await window.command('Workspaces: Manage Workspace Trust');
    await window.page.locator('.workspace-trust-editor .monaco-button').filter({ hasText: /^Trust$/ }).first().click();
    await window.icon().waitFor();
    await code.serverReady();
  } finally {
    await code.stop();
  }
}
