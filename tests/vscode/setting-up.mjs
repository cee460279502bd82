// What a person does before and beside the work: first use, the walkthrough, choosing a model, keys, the menu.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BASKET, basket, SLUG, slug } from './projects.mjs';
import { until } from './until.mjs';
import { PYTHON, refusing, STORAGE } from './workbench.mjs';

const OFFLINE = `case "$2" in
venv)
  "$python" -m venv --without-pip "$3"
  pip=$("$python" -c 'import pip; print(*pip.__path__)')
  for place in "$3"/lib/python*/site-packages; do ln -s "$pip" "$place/pip"; done
  printf '[global]\\nno-index = true\\n' > "$3/pip.conf" ;;
*) exec "$python" "$@" ;;
esac
`;

/** Without a server there is nothing else. */
export const first = [
  {
    name: 'setup',
    /** First use: what keeps the private environment from being made is said with what to do; then it is made. */
    async run({ code, open, workspace }) {
      const storage = path.join(code.folder, STORAGE);
      fs.rmSync(storage, { recursive: true, force: true });
      const folder = workspace(basket.files);
      const python = path.join(code.folder, 'work/python');
      refusing(python);
      code.machine({ 'soa.python': python });
      const window = await open(folder, { file: path.join(folder, BASKET) });
      const refused = window.toast('its venv module is missing');
      await refused.waitFor({ timeout: 180_000 });
      for (const button of ['Show log', 'Open setting']) await refused.locator('.monaco-button').filter({ hasText: button }).waitFor();
      await window.shot('without-venv');
      fs.writeFileSync(python, `#!/bin/sh\npython=${PYTHON}\n${OFFLINE}`);
      await window.press('its venv module is missing', 'Try again');
      await window.toast('pip could not download').waitFor({ timeout: 180_000 });
      code.machine({}); // another interpreter is another try
      await window.toast('setting up its Python environment').waitFor();
      await code.serverReady();
      assert.ok(fs.readdirSync(storage).some(name => fs.existsSync(path.join(storage, name, 'complete.json'))));
    },
  },
  {
    name: 'virtual',
    /** A workspace that lies on no disk: the extension stays off, and the editor says why. */
    async run({ code, open, workspace }) {
      code.machine({});
      const folder = workspace({ 'virtual.code-workspace': JSON.stringify({ folders: [{ uri: 'nowhere:/project' }] }) });
      const window = await open(path.join(folder, 'virtual.code-workspace'));
      await window.folders(['project']);
      await window.page.keyboard.press('Control+Shift+X');
      await window.page.locator('.extension-list-item').filter({ hasText: 'SoA' }).first().click();
      await window.shot('virtual');
      await window.page.locator('.extension-editor').filter({ hasText: 'needs its files on a disk' }).waitFor();
      assert.equal(await window.icon().count(), 0, 'nothing of it is shown');
      assert.equal(code.logs().length, code.earlier, 'it is not active');
    },
  },
];

export const settingUp = [
  {
    name: 'key',
    project: slug,
    file: SLUG,
    model: ['--key', 'right-key'],
    /** A refused key is said plainly, with a button that leads to the input of another one; a deleted key is gone. */
    async run({ code, model, window }) {
      const keep = async key => {
        await window.type(key);
        await window.toast('the key is kept').waitFor();
        await window.clearToasts();
      };
      await window.command('SoA: Set API Key');
      await keep('wrong-key');
      await window.cursor(4);
      await window.act('Regenerate with SoA');
      const refused = window.toast('refused the key');
      await refused.waitFor();
      await window.shot('key');
      await window.press('refused the key', 'Set API Key');
      await keep('right-key');
      await window.cursor(4);
      await window.act('Regenerate with SoA');
      await window.toast('slugify passes 3 of 3').waitFor();
      await window.command('SoA: Delete API Key');
      await window.toast('the kept key is gone').waitFor();
      await window.clearToasts();
      await window.cursor(6);
      await window.command('SoA: Regenerate Function');
      await window.toast('wants a key').waitFor();
      const [request] = await model.stop();
      assert.equal(request.headers.authorization, 'Bearer right-key');
      const settings = ['data/User/settings.json', 'data/Machine/settings.json'].map(name => fs.readFileSync(path.join(code.folder, name), 'utf8'));
      assert.ok(![...settings, ...code.logs()].some(text => text.includes('right-key')), 'the key is in no setting and no log');
    },
  },
  {
    name: 'local',
    project: slug,
    file: SLUG,
    model: ['--port', '1234'],
    settings: { 'soa.model.baseUrl': undefined },
    /** A model server that runs on this machine is found, picked, and writes. */
    async run({ code, model, window }) {
      await window.command('SoA: Choose Model');
      await window.pick('A server on this machine');
      await window.row(/^test-model.*LM Studio/).waitFor();
      await window.shot('local');
      await window.pick(/^test-model.*LM Studio/);
      await window.status().filter({ hasText: /SoA test-model$/ }).waitFor();
      const set = JSON.parse(fs.readFileSync(path.join(code.folder, 'data/Machine/settings.json'), 'utf8'));
      assert.deepEqual([set['soa.model.name'], set['soa.model.baseUrl']], ['test-model', 'http://127.0.0.1:1234/v1']);
      await window.cursor(4);
      await window.act('Regenerate with SoA');
      await window.toast('slugify passes 3 of 3').waitFor();
      const [request] = await model.stop();
      assert.equal(request.json.model, 'test-model');
    },
  },
  {
    name: 'menu',
    project: slug,
    file: SLUG,
    settings: { 'soa.preview': 'always' },
    /** The status item names the model; its menu leads to the rest; settings of the editor reach the server. */
    async run({ window }) {
      await window.status().click();
      for (const row of ['Model', 'Spent today', 'Python of the tests', 'Sandbox', 'Log']) await window.row(row).waitFor();
      await window.shot('menu');
      await window.pick('Log');
      await window.page.locator('.panel .view-line').filter({ hasText: '[info]' }).first().waitFor();
      await window.command('View: Hide Panel');
      await window.cursor(4);
      await window.page.locator('.editor-instance .view-line').nth(3).click({ button: 'right', position: { x: 40, y: 8 } });
      await window.page.locator('.monaco-menu .action-label').filter({ hasText: /^SoA$/ }).hover();
      await window.menuItem('Regenerate Function', 'context-menu');
      const preview = window.page.locator('.bulk-edit-panel');
      await preview.locator('.edit-checkbox').first().waitFor();
      await preview.locator('.monaco-button').filter({ hasText: 'Discard' }).first().click();
      await window.toast('declined').waitFor();
    },
  },
  {
    name: 'walkthrough',
    project: basket,
    file: BASKET,
    /** The first-run walkthrough: the demo in a terminal, the three ways to a model, the check of the setup. */
    async run({ window }) {
      await window.command('SoA: Open Walkthrough');
      await window.page.locator('.getting-started-step').first().waitFor();
      assert.equal(await window.page.locator('.getting-started-step').count(), 5);
      await window.command('View: Toggle Primary Side Bar Visibility'); // there is room for pictures then
      await window.page.locator('.getting-started-media img').first().waitFor();
      await window.shot('walkthrough');
      await window.command('View: Toggle Primary Side Bar Visibility');
      await window.command('SoA: Choose Model');
      for (const way of ['OpenAI-compatible endpoint', 'A server on this machine', "The editor's own model"]) await window.row(way).waitFor();
      await window.shot('choose-model');
      await window.page.keyboard.press('Escape');
      const said = async () => (await window.page.locator('.xterm-rows').allInnerTexts()).join('').replaceAll('\u00a0', ' ');
      const terminal = text => until(`the terminal shows ${text}`, async () => (await said()).includes(text), 180_000);
      await window.command('SoA: Check the Setup');
      await terminal('Next:');
      await window.command('View: Hide Panel');
      await window.page.locator('.getting-started-step .monaco-button').filter({ hasText: 'Show the Demo' }).click();
      await terminal('Generate: billing/invoice.py::total_due'); // its first scene
      await window.command('Terminal: Kill All Terminals');
    },
  },
];
