// What a person does with the extension, one scenario each, against the file on the disk and the project's tests.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BASKET, basket, SLUG, slow, slug, STOCK, stock, untested, WORDS, words } from './projects.mjs';
import { onDisk, until } from './until.mjs';
import { installedServer, processes, PYTHON, pytest, STORAGE } from './workbench.mjs';

const WITHOUT_VENV = 'case "$2" in venv) echo "ensurepip is not available" >&2; exit 1;; esac\nexec "$python" "$@"\n';
const OFFLINE = `case "$2" in
venv)
  "$python" -m venv --without-pip "$3"
  pip=$("$python" -c 'import pip; print(*pip.__path__)')
  for place in "$3"/lib/python*/site-packages; do ln -s "$pip" "$place/pip"; done
  printf '[global]\\nno-index = true\\n' > "$3/pip.conf" ;;
*) exec "$python" "$@" ;;
esac
`;

/**
 * `project` and `file` are what the editor has open; the model answers as `answers` or the project's own say, and is
 * started with the options `model`. A scenario that is not `alone` shares its window with others.
 */
export const scenarios = [
  {
    name: 'setup',
    /** First use: what keeps the private environment from being made is said with what to do; then it is made. */
    async run({ code, open, workspace }) {
      const storage = path.join(code.folder, STORAGE);
      fs.rmSync(storage, { recursive: true, force: true });
      const folder = workspace(basket.files);
      const python = path.join(code.folder, 'work/python');
      const become = script => fs.writeFileSync(python, `#!/bin/sh\npython=${PYTHON}\n${script}`, { mode: 0o755 });
      become(WITHOUT_VENV);
      code.machine({ 'soa.python': python });
      const window = await open(folder, { file: path.join(folder, BASKET) });
      const refused = window.toast('its venv module is missing');
      await refused.waitFor({ timeout: 180_000 });
      for (const button of ['Show log', 'Open setting']) await refused.locator('.monaco-button').filter({ hasText: button }).waitFor();
      await window.shot('without-venv');
      become(OFFLINE);
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
  {
    name: 'generate',
    project: basket,
    file: BASKET,
    answers: slow(basket.answers, 1.5),
    alone: true,
    /** A stub with a helper: from the lightbulb to passing tests on the disk, the agents watched; undone in one step. */
    async run({ code, folder, target, window }) {
      console.log(`      activation to server ready: ${await code.serverReady()} ms (goal 1500 on a quiet machine)`);
      await window.lens('Generate with SoA').waitFor();
      await window.command('SoA: Show Agents');
      await window.cursor(4);
      const row = await window.actions('Generate with SoA');
      await window.shot('lightbulb');
      await window.watch({ begun: ['.notification-toast', 'SoA: total'], applied: ['.view-line', 'return _cents('], told: ['.notification-toast', 'total passes'] });
      await row.click();
      await window.agent('_cents').waitFor();
      await window.shot('agents-running');
      const closing = window.toast('total passes');
      await closing.waitFor();
      const [clicked, begun, applied, told] = await window.seen('clicked', 'begun', 'applied', 'told');
      console.log(`      action to first progress: ${Math.round(begun - clicked)} ms (goal 300), applied edit to message: ${Math.round(told - applied)} ms (goal 200)`);
      await window.agent(/total.*4\/4 tests · 2 agents/).waitFor();
      await window.shot('generated');
      assert.equal(fs.readFileSync(target, 'utf8'), basket.files[BASKET], 'nothing is saved for the person');
      await window.save();
      await onDisk(target, text => text.includes('def _cents'));
      const ended = pytest(folder);
      assert.equal(ended.code, 0, ended.output);
      await window.focus();
      await window.page.keyboard.press('Control+Z');
      await window.save();
      await onDisk(target, text => text === basket.files[BASKET], 'one undo takes everything back');
    },
  },
  {
    name: 'closing',
    project: basket,
    file: BASKET,
    /** The closing message's buttons, the diff and then Undo; in the view an agent's prompts and function. */
    async run({ folder, target, window }) {
      await window.cursor(4);
      await window.command('SoA: Generate Function');
      const closing = window.toast('total passes');
      await closing.waitFor();
      await window.command('SoA: Show Agents');
      const child = window.agent(/^_cents/);
      await child.hover();
      await child.locator('.action-label[aria-label*="Prompts"]').click();
      await window.tab('_cents, prompts and replies.md').waitFor();
      await window.line('# 1. code').waitFor();
      await window.shot('prompts');
      await window.focus();
      await window.page.keyboard.press('Control+End');
      await window.line('## reply of closing-model').waitFor();
      await window.agent(/^_cents/).locator('.monaco-icon-label').first().click();
      await window.line('def _cents(amount: float)').waitFor();
      await window.press('total passes', 'Show diff');
      await window.tab('SoA: total').waitFor();
      await window.page.locator('.monaco-diff-editor .line-insert').first().waitFor();
      await window.shot('diff');
      await window.press('total passes', 'Undo');
      await window.openFile(folder, BASKET);
      await window.line('...').waitFor();
      await window.save();
      await onDisk(target, text => text === basket.files[BASKET], 'Undo takes everything back');
    },
  },
  {
    name: 'regenerate',
    project: slug,
    file: SLUG,
    /** Failing tests become diagnostics; their quick fix mends the function; the diagnostics go. */
    async run({ folder, target, window }) {
      await window.cursor(4);
      await window.command('SoA: Run Tests of This Function');
      await window.page.locator('.squiggly-error').first().waitFor();
      await window.lens('2 failing').waitFor();
      await window.cursor(4);
      const row = await window.actions('Regenerate with SoA (2 failing tests)');
      await window.shot('quickfix');
      await row.click();
      await window.toast('slugify passes 3 of 3').waitFor();
      await until('no error is marked', async () => (await window.page.locator('.squiggly-error').count()) === 0);
      await window.save();
      await onDisk(target, text => text.includes('re.findall'));
      assert.equal(pytest(folder).code, 0);
    },
  },
  {
    name: 'stubs',
    project: stock,
    file: STOCK,
    /** Typed stubs from a module's docstring. */
    async run({ target, window }) {
      await window.cursor(1);
      await window.act('Generate stubs from docstring with SoA');
      await window.line('def missing(stock: dict[str, int], names: list[str])').waitFor();
      await window.save();
      await onDisk(target, text => text.startsWith(stock.files[STOCK]) && text.includes('def add('));
    },
  },
  {
    name: 'file',
    project: words,
    file: WORDS,
    /** All stubs of a file from the palette, in one job with two Mothers. */
    async run({ folder, target, window }) {
      await window.cursor(1);
      await window.command('SoA: Implement All Stubs in This File');
      await window.toast('2 of 2 tests').waitFor();
      await window.save();
      await onDisk(target, text => text.includes('key=len') && text.includes('word[0]'));
      assert.equal(pytest(folder).code, 0);
    },
  },
  {
    name: 'cancel',
    project: basket,
    file: BASKET,
    answers: slow(basket.answers, 20),
    /** Cancel on the notification: the open request is dropped and no other follows. */
    async run({ model, target, window }) {
      await window.cursor(4);
      await window.act('Generate with SoA');
      const running = window.toast('asking the Mother');
      await running.waitFor();
      await until('the model is asked', () => model.busy());
      await window.press('asking the Mother', 'Cancel');
      await until('the notification is gone', async () => (await window.page.locator('.notification-toast').filter({ hasText: 'SoA: total' }).count()) === 0);
      await window.command('SoA: Show Agents');
      await window.agent(/total.*cancelled/).waitFor();
      await sleep(1000); // what would be asked now must not be
      const requests = await model.stop();
      assert.equal(requests.length, 1);
      assert.ok(requests[0].disconnected, 'the open request was dropped');
      await onDisk(target, text => text === basket.files[BASKET]);
    },
  },
  {
    name: 'stale',
    project: basket,
    file: BASKET,
    answers: slow(basket.answers, 3),
    /** A function that changed meanwhile is left alone, and what was written can be looked at. */
    async run({ window }) {
      await window.cursor(4);
      await window.act('Generate with SoA');
      await window.toast('asking the Mother').waitFor();
      await window.cursor(7, 5);
      await window.page.keyboard.type('Mine: ');
      const refused = window.toast('total changed');
      await refused.waitFor();
      assert.match(await window.text(), /Mine: The discount[\s\S]*\.\.\./);
      await window.press('total changed', 'Show diff');
      await window.page.locator('.monaco-diff-editor .line-insert').first().waitFor();
      await window.shot('stale');
    },
  },
  {
    name: 'preview',
    project: untested,
    file: WORDS,
    /** What no test runs is shown first, nothing ticked; only what a person ticks is applied. */
    async run({ folder, target, window }) {
      await window.cursor(4);
      await window.act('Generate with SoA');
      const preview = window.page.locator('.bulk-edit-panel');
      await preview.locator('.edit-checkbox').first().waitFor();
      await window.shot('preview');
      const rows = preview.locator('.monaco-list-row').filter({ has: window.page.locator('.edit-checkbox') });
      for (const box of await preview.locator('.edit-checkbox').all()) assert.equal(await box.getAttribute('aria-checked'), 'false');
      assert.ok(await preview.locator('[title*="longest"]').count(), 'each change says which function it is');
      await rows.filter({ hasText: 'key=len' }).locator('.edit-checkbox').first().click();
      await preview.locator('.monaco-button').filter({ hasText: /^Apply$/ }).first().click();
      await window.line('key=len').waitFor();
      await window.save();
      await onDisk(target, text => text.includes('key=len') && text.includes('first letters'));
      assert.deepEqual(fs.readdirSync(path.join(folder, 'tests')).filter(name => name.endsWith('.py')), ['test_other.py'], 'the tests were not ticked');
    },
  },
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
    name: 'menu',
    project: slug,
    file: SLUG,
    settings: { 'soa.preview': 'always' },
    /** The status item names the model; its menu leads to the rest; settings of the editor reach the server. */
    async run({ window }) {
      await window.status().filter({ hasText: 'SoA menu-model' }).click();
      for (const row of ['Model', 'Spent today', 'Python of the tests', 'Sandbox', 'Log']) await window.row(row).waitFor();
      await window.shot('menu');
      await window.page.keyboard.press('Escape');
      await window.cursor(4);
      await window.page.locator('.editor-instance .view-line').nth(3).click({ button: 'right', position: { x: 40, y: 8 } });
      await window.page.locator('.monaco-menu .action-label').filter({ hasText: /^SoA$/ }).hover();
      const item = window.page.locator('.monaco-menu .action-label').filter({ hasText: 'Regenerate Function' });
      await item.waitFor();
      await window.shot('context-menu');
      await until('the menu is closed', async () => { // it takes no click right after it has opened
        await item.click({ timeout: 1000 }).catch(() => undefined);
        return (await item.count()) === 0;
      });
      const preview = window.page.locator('.bulk-edit-panel');
      await preview.locator('.edit-checkbox').first().waitFor();
      await preview.locator('.monaco-button').filter({ hasText: 'Discard' }).first().click();
      await window.toast('declined').waitFor();
    },
  },
  {
    name: 'folders',
    project: basket,
    file: BASKET,
    answers: slow(basket.answers, 2),
    also: { name: 'folders-too', project: slug },
    /** Two folders in one window at once: each function is written in its own. */
    async run({ folder, target, window }) {
      const other = `${folder}-too`;
      await window.cursor(4);
      await window.act('Generate with SoA');
      await window.toast('SoA: total').waitFor();
      await window.openFile(other, SLUG);
      await window.cursor(4);
      await window.act('Regenerate with SoA');
      await window.command('SoA: Show Agents');
      await window.agent(/slugify.*3\/3 tests · 1 agent/).waitFor();
      await window.agent(/total.*4\/4 tests · 2 agents/).waitFor();
      await window.command('File: Save All');
      await onDisk(target, text => text.includes('def _cents'));
      await onDisk(path.join(other, SLUG), text => text.includes('re.findall'));
      assert.deepEqual([pytest(folder).code, pytest(other).code], [0, 0]);
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
      await window.shot('walkthrough');
      await window.command('SoA: Choose Model');
      for (const way of ['OpenAI-compatible endpoint', 'A server on this machine', "The editor's own model"]) await window.row(way).waitFor();
      await window.shot('choose-model');
      await window.page.keyboard.press('Escape');
      const said = async () => (await window.page.locator('.xterm-rows').allInnerTexts()).join('').replaceAll('\u00a0', ' ');
      const terminal = text => until(`the terminal shows ${text}`, async () => (await said()).includes(text), 180_000);
      await window.command('SoA: Check the Setup');
      await terminal('Next:');
      await window.command('SoA: Show the Demo');
      await terminal('Any editor');
      await window.command('Terminal: Kill All Terminals');
    },
  },
  {
    name: 'crash',
    project: basket,
    file: BASKET,
    answers: slow(basket.answers, 3),
    /** A killed server is started again, and what it was doing is offered for resumption. */
    async run({ code, folder, target, window }) {
      await window.cursor(4);
      await window.act('Generate with SoA');
      await window.toast('Child writing').waitFor();
      for (const server of processes(`${installedServer(code.folder)} serve`)) process.kill(server, 'SIGKILL');
      const offered = window.toast('was interrupted');
      await offered.waitFor();
      await window.shot('crash');
      await window.press('was interrupted', 'Resume');
      await window.toast('total passes').waitFor();
      await window.save();
      await onDisk(target, text => text.includes('def _cents'));
      assert.equal(pytest(folder).code, 0);
    },
  },
];
