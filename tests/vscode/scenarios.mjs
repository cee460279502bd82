// What a person has SoA do, one scenario each, against the file on the disk and the project's tests.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BASKET, basket, SLUG, slow, slug, STOCK, stock, stubborn, untested, WORDS, words } from './projects.mjs';
import { first, settingUp } from './setting-up.mjs';
import { onDisk, until } from './until.mjs';
import { pytest } from './workbench.mjs';

const jobs = [
  {
    name: 'generate',
    project: basket,
    file: BASKET,
    answers: slow(basket.answers, 1.5),
    alone: true,
    size: { width: 1120, height: 700 }, // that of a picture
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
    async run({ folder, modelName, target, window }) {
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
      await window.line(`## reply of ${modelName}`).waitFor();
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
    settings: { 'soa.tests.runOnSave': true },
    /** Failing tests become diagnostics; their quick fix mends the function; the diagnostics go, and come back with the fault. */
    async run({ folder, target, window }) {
      const marks = () => window.page.locator('.squiggly-error').count();
      await window.command('SoA: Show Agents');
      await window.cursor(4);
      await window.command('SoA: Run Tests of This Function');
      await window.page.locator('.squiggly-error').first().waitFor();
      await window.lens('2 failing').waitFor();
      const ran = window.agent('tests of slugify');
      await ran.filter({ hasText: '1/3 tests' }).hover();
      await ran.locator('.action-label[aria-label*="Failing Tests"]').click();
      await window.page.locator('.markers-panel .monaco-list-row').filter({ hasText: 'test_marks' }).first().waitFor();
      await window.command('View: Hide Panel');
      await window.cursor(4);
      const row = await window.actions('Regenerate with SoA (2 failing tests)');
      await window.shot('quickfix');
      await row.click();
      await window.toast('slugify passes 3 of 3').waitFor();
      await until('no error is marked', async () => (await marks()) === 0);
      await window.save();
      await onDisk(target, text => text.includes('re.findall'));
      assert.equal(pytest(folder).code, 0);
      await window.page.keyboard.press('Control+Z');
      await window.save();
      await until('saving has run the tests', async () => (await marks()) > 0);
    },
  },
  {
    name: 'red',
    project: slug,
    file: SLUG,
    answers: stubborn,
    settings: { 'soa.limits.rounds': 1 },
    /** What does not pass is not applied: the best candidate is a diff, and what still fails can be read. */
    async run({ target, window }) {
      await window.command('SoA: Show Agents');
      await window.cursor(4);
      await window.chord('Control+Alt+A', 'R');
      await window.toast('Still failing: test_').waitFor();
      await window.shot('red');
      await window.press('Still failing: test_', 'Show best diff');
      await window.tab('SoA: slugify').waitFor();
      const mother = window.agent(/^slugify.*Mother/);
      await mother.hover();
      await mother.locator('.action-label[aria-label*="Failing Tests"]').click();
      await window.line('# 1 of 3 tests fail').waitFor();
      await window.shot('failing-tests');
      await onDisk(target, text => text === slug.files[SLUG]);
    },
  },
  {
    name: 'protocol',
    project: slug,
    file: SLUG,
    /** How the agents work together is chosen for one job. */
    async run({ model, target, window }) {
      await window.cursor(4);
      await window.command('SoA: Generate, Choosing a Protocol…');
      await window.row('mother_child').waitFor();
      await window.shot('protocols');
      await window.pick('sequential');
      await window.toast('slugify passes 3 of 3').waitFor();
      await window.save();
      await onDisk(target, text => text.includes('re.findall'));
      const [request] = await model.stop();
      assert.match(request.json.messages.at(-1).content, /Nobody has written anything yet[\s\S]*Step: code/);
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
    /** All stubs of a file in one job with two Mothers, by the keyboard; then by a protocol chosen for one job. */
    async run({ folder, model, target, window }) {
      await window.cursor(1);
      await window.chord('Control+Alt+A', 'F');
      await window.toast('2 of 2 tests').waitFor();
      await window.save();
      await onDisk(target, text => text.includes('key=len') && text.includes('word[0]'));
      assert.equal(pytest(folder).code, 0);
      await window.clearToasts();
      await window.focus();
      await window.page.keyboard.press('Control+Z');
      await window.save();
      await onDisk(target, text => text === words.files[WORDS], 'one undo takes both back');
      await window.command('SoA: Implement All Stubs in This File, Choosing a Protocol…');
      await window.pick('sequential');
      await window.toast('2 of 2 tests').waitFor();
      const asked = (await model.stop()).map(each => each.json.messages.at(-1).content);
      assert.ok(asked.some(text => /Nobody has written anything yet[\s\S]*Step: code/.test(text)), 'the second time one after the other');
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
      await window.cursor(4);
      await window.command('SoA: Run Tests of This Function'); // time enough for what must not be asked any more
      await window.agent(/tests of total.*0\/4 tests/).waitFor();
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
      await window.lens('Generate with SoA').click();
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
    /** What no test runs is shown first, nothing ticked, each function by itself; only what a person ticks is applied. */
    async run({ folder, target, window }) {
      await window.cursor(4);
      await window.act('Generate with SoA');
      const preview = window.page.locator('.bulk-edit-panel');
      await preview.locator('.edit-checkbox').first().waitFor();
      const rows = preview.locator('.monaco-list-row').filter({ has: window.page.locator('.edit-checkbox') });
      const row = text => rows.filter({ hasText: text });
      await row('key=len').first().click({ button: 'right' });
      await window.menuItem('Group Changes By Type');
      for (const label of ['longest', '_split', 'new tests']) await preview.locator('.monaco-list-row').filter({ hasText: new RegExp(`^\\s*${label}`) }).first().waitFor();
      await window.shot('preview');
      for (const box of await preview.locator('.edit-checkbox').all()) assert.equal(await box.getAttribute('aria-checked'), 'false');
      for (const part of ['key=len', 'return text.split()']) await row(part).locator('.edit-checkbox').last().click();
      await preview.locator('.monaco-button').filter({ hasText: /^Apply$/ }).first().click();
      await window.line('key=len').waitFor();
      await window.save();
      await onDisk(target, text => text.includes('key=len') && text.includes('def _split') && text.includes('first letters'));
      assert.deepEqual(fs.readdirSync(path.join(folder, 'tests')).filter(name => name.endsWith('.py')), ['test_other.py'], 'the tests were not ticked');
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
    name: 'crash',
    project: basket,
    file: BASKET,
    answers: slow(basket.answers, 3),
    /** A killed server is started again, and what it was doing is offered for resumption. */
    async run({ code, folder, target, window }) {
      await window.cursor(4);
      await window.act('Generate with SoA');
      await window.toast('Child writing').waitFor();
      for (const server of code.servers()) process.kill(server, 'SIGKILL');
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

/**
 * `project` and `file` are what the editor has open; the model answers as `answers` or the project's own say, and is
 * started with the options `model`. A scenario that is not `alone` shares its window with others.
 */
export const scenarios = [...first, ...jobs, ...settingUp];
