// run.mjs VSIX [NAME…]: drives the packed extension in the real workbench. Names choose scenarios by their beginning.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { emacs, neovim } from './editors.mjs';
import { inhost } from './inhost.mjs';
import { scenarios } from './scenarios.mjs';
import { Shared } from './shared.mjs';
import { trust } from './trust.mjs';
import { Code, endOnSignals, installedServer, Model, ROOT, workspace } from './workbench.mjs';

const [file, ...names] = process.argv.slice(2);
const vsix = path.resolve(file);
const folder = path.join(ROOT, '.cache/vscode/run');
const work = path.join(folder, 'work');
const SIZE = 500_000; // bytes that the .vsix may have
const LIMIT = 300; // seconds for one scenario; the machine may be busy
const wanted = name => !names.length || names.some(each => name.startsWith(each));
const profiles = { inhost, trust, neovim, emacs }; // those that need a profile of their own, or another editor
const began = Date.now();
const passed = [];
const again = []; // of those, what did not pass at once
const failed = [];

/** First what is measured or installs the server, alone; then the scenarios of the shared window, beside those of other profiles. */
async function all() {
  await judged('size', async () => assert.ok(fs.statSync(vsix).size <= SIZE, `the .vsix has ${fs.statSync(vsix).size} bytes, more than ${SIZE}`));
  const chosen = scenarios.filter(each => wanted(each.name));
  const code = chosen.length ? await Code.start({ folder, vsix: [vsix] }) : undefined;
  const sharing = chosen.filter(each => each.project && !each.alone);
  const shared = new Shared(code, work, sharing);
  try {
    for (const scenario of chosen.filter(each => !sharing.includes(each))) await (scenario.project ? inAProject(code, shared, scenario) : bare(code, scenario));
    if (failed.includes('setup')) return; // without a server nothing else can pass
    const others = inOthers();
    for (const scenario of sharing) await inAProject(code, shared, scenario);
    await others;
  } finally {
    await code?.stop();
  }
}

async function inOthers() {
  for (const [name, run] of Object.entries(profiles)) {
    if (wanted(name)) await judged(name, () => deadline(run(`${folder}-${name}`, vsix, installedServer(folder))));
  }
}

/** A scenario on a project of its own with a model of its own: in the shared window, or `alone` in one on its folder. */
async function inAProject(code, shared, scenario) {
  const { name, alone } = scenario;
  const place = path.join(work, name);
  await judged(name, async () => {
    const test = { code, folder: place, target: path.join(place, scenario.file), window: undefined, model: undefined };
    try {
      await opened(test, shared, scenario);
      await deadline(scenario.run(test));
      if (!alone) await test.window.tidy();
    } catch (error) {
      await evidence(code, test.window, name);
      if (!alone) await shared.close();
      throw error;
    } finally {
      if (alone) await test.window?.close().catch(() => undefined);
      await test.model?.stop().catch(() => undefined);
    }
  });
}

/** The project as it is at first, its model, and a window with its file open and its settings known. */
async function opened(test, shared, scenario) {
  const { name, project, alone, also } = scenario;
  const { code, folder: place } = test;
  workspace(place, project.files);
  const answers = scenario.answers ?? project.answers;
  const known = alone ? answers : { ...prefixed(answers, name), ...(also && prefixed(also.project.answers, also.name)) };
  test.model = await Model.start(work, known, scenario.model);
  const model = (test.modelName = `test-model-${scenarios.indexOf(scenario)}`); // by it is seen that the settings have come
  if (!alone) test.window = await shared.open();
  code.machine({ 'soa.model.name': model, 'soa.model.baseUrl': test.model.url, ...scenario.settings });
  test.window ??= await code.open(name, place, { file: test.target, size: scenario.size });
  if (!alone) await test.window.openFile(place, scenario.file);
  await test.window.status().filter({ hasText: `SoA ${model}` }).waitFor();
  await test.window.page.locator('.editor-instance .view-line').first().waitFor();
}

/** A scenario that opens its windows itself. */
async function bare(code, scenario) {
  await judged(scenario.name, async () => {
    const windows = [];
    const open = async (target, options) => {
      windows.push(await code.open(scenario.name, target, options));
      return windows.at(-1);
    };
    try {
      await deadline(scenario.run({ code, open, workspace: files => workspace(path.join(work, scenario.name), files) }));
    } catch (error) {
      await evidence(code, windows.at(-1), scenario.name);
      throw error;
    } finally {
      for (const window of windows) await window.close().catch(() => undefined);
    }
  });
}

/** Run it; what fails is tried once more, which the summary tells. */
async function judged(name, run) {
  for (const second of [false, true]) {
    const start = Date.now();
    try {
      await run();
      passed.push(name);
      if (second) again.push(name);
      console.log(`ok    ${name} (${seconds(start)})${second ? ' at the second try' : ''}`);
      return;
    } catch (error) {
      console.log(`FAIL  ${name} (${seconds(start)}): ${told(error)}${second ? '' : '; once more'}`);
    }
  }
  failed.push(name);
}

/** What an error says in one line, with what was waited for and where. */
function told(error) {
  const [first, ...rest] = String(error.stack ?? error).replace(/\x1b\[\d+m/g, '').split('\n');
  const where = rest.find(line => /scenarios|setting-up|trust|inhost|editors/.test(line))?.trim() ?? '';
  const waited = rest.find(line => line.includes('waiting for'))?.replace(/^[\s-]*/, ', ') ?? '';
  return `${first}${waited} ${where}`.trim();
}

/** What a failed scenario leaves to look at: a screenshot, what was said to the person, and the server's last words. */
async function evidence(code, window, name) {
  try {
    if (window) {
      console.log(`      screenshot: ${await window.shot(`failed-${name}`)}`);
      const said = await window.page.locator('.notification-list-item').allInnerTexts();
      for (const text of said) console.log(`      > ${text.replace(/\s+/g, ' ')}`);
    }
    console.log((code.logs().at(-1) ?? '').trimEnd().split('\n').slice(-12).map(line => `      | ${line}`).join('\n'));
  } catch (problem) {
    console.log(`      no evidence: ${String(problem).split('\n')[0]}`);
  }
}

/** Answers to the questions of a server that knows a project by its folder's name. */
function prefixed(answers, name) {
  return Object.fromEntries(Object.entries(answers).map(([target, steps]) => [target === '*' ? target : `${name}/${target}`, steps]));
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

function deadline(work) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${LIMIT} s`)), LIMIT * 1000)));
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

endOnSignals();
await all();
const total = passed.length + failed.length;
const how = [again.length && `at the second try: ${again.join(', ')}`, failed.length && `failed: ${failed.join(', ')}`].filter(Boolean);
console.log([`${passed.length} of ${total} passed in ${seconds(began)}`, ...how].join('; '));
process.exit(failed.length ? 1 : 0);
