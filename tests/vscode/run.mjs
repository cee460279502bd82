// run.mjs VSIX [NAME…]: drives the packed extension in the real workbench. Names choose scenarios by their beginning.
import fs from 'node:fs';
import path from 'node:path';
import { inhost } from './inhost.mjs';
import { neovim } from './neovim.mjs';
import { scenarios } from './scenarios.mjs';
import { trust } from './trust.mjs';
import { Code, installedServer, Model, ROOT, workspace } from './workbench.mjs';

const [file, ...names] = process.argv.slice(2);
const vsix = path.resolve(file);
const folder = path.join(ROOT, '.cache/vscode/run');
const work = path.join(folder, 'work');
const LIMIT = 600; // seconds for one scenario; the machine may be busy
const wanted = name => !names.length || names.some(each => name.startsWith(each));
const profiles = { inhost, trust, neovim }; // those that need a profile of their own, or another editor
const began = Date.now();
const passed = [];
const failed = [];

async function inOneProfile(chosen) {
  if (!chosen.length) return;
  const code = await Code.start({ folder, vsix: [vsix] });
  console.log(`VS Code is up after ${seconds(began)}`);
  const shared = new Shared(code, chosen.filter(each => each.project && !each.alone));
  try {
    for (const scenario of chosen) {
      await (scenario.project ? inAProject(code, shared, scenario) : bare(code, scenario));
      if (failed.includes('setup')) break; // without a server nothing else can pass
    }
  } finally {
    await code.stop();
  }
}

/** The one window that most scenarios use, with a folder for each of them; opened anew after a failure. */
class Shared {
  constructor(code, chosen) {
    Object.assign(this, { code, chosen, window: undefined });
  }

  async open() {
    if (this.window) return this.window;
    const spare = { name: 'spare', project: { files: { 'notes.txt': '' } } }; // there are several folders, whatever was chosen
    const projects = [spare, ...this.chosen].flatMap(each => (each.also ? [each, each.also] : [each]));
    const folders = projects.map(({ name, project }) => ({ path: workspace(path.join(work, name), project.files) }));
    const target = path.join(work, 'all.code-workspace');
    fs.writeFileSync(target, JSON.stringify({ folders }));
    this.window = await this.code.open('shared', target);
    await this.window.folders(folders.map(each => path.basename(each.path)));
    return this.window;
  }

  async close() {
    await this.window?.close();
    this.window = undefined;
  }
}

/** A scenario on a project of its own with a model of its own: in the shared window, or `alone` in one on its folder. */
async function inAProject(code, shared, scenario) {
  const { name, project, alone, also } = scenario;
  const place = path.join(work, name);
  const test = { code, folder: place, target: path.join(place, scenario.file), window: undefined, model: undefined };
  const run = async () => {
    workspace(place, project.files);
    const answers = scenario.answers ?? project.answers;
    const known = alone ? answers : { ...prefixed(answers, name), ...(also && prefixed(also.project.answers, also.name)) };
    test.model = await Model.start(work, known, scenario.model);
    if (!alone) test.window = await shared.open();
    code.machine({ 'soa.model.name': `${name}-model`, 'soa.model.baseUrl': test.model.url, ...scenario.settings });
    test.window ??= await code.open(name, place, { file: test.target });
    if (!alone) await test.window.openFile(place, scenario.file);
    await test.window.status().filter({ hasText: `SoA ${name}-model` }).waitFor({ timeout: 180_000 }); // the extension has the settings
    await test.window.page.locator('.editor-instance .view-line').first().waitFor();
    await scenario.run(test);
    if (!alone) await test.window.tidy();
  };
  const well = await judged(name, run, () => evidence(code, test.window, name));
  if (alone) await test.window?.close().catch(() => undefined);
  else if (!well) await shared.close().catch(() => undefined);
  await test.model?.stop().catch(() => undefined);
}

/** A scenario that opens its windows itself. */
async function bare(code, scenario) {
  const windows = [];
  const open = async (target, options) => {
    windows.push(await code.open(scenario.name, target, options));
    return windows.at(-1);
  };
  const test = { code, open, workspace: files => workspace(path.join(work, scenario.name), files) };
  await judged(scenario.name, () => scenario.run(test), async () => evidence(code, windows.at(-1), scenario.name));
  for (const window of windows) await window.close().catch(() => undefined);
}

async function judged(name, run, told = async () => undefined) {
  const start = Date.now();
  try {
    await deadline(run(), LIMIT);
    passed.push(name);
    console.log(`ok    ${name} (${seconds(start)})`);
    return true;
  } catch (error) {
    failed.push(name);
    const [first, ...rest] = String(error.stack ?? error).replace(/\x1b\[\d+m/g, '').split('\n');
    const where = rest.find(line => /scenarios|trust|inhost|neovim/.test(line))?.trim() ?? '';
    const waited = rest.find(line => line.includes('waiting for'))?.replace(/^[\s-]*/, ', ') ?? '';
    console.log(`FAIL  ${name} (${seconds(start)}): ${first}${waited} ${where}`);
    await told().catch(problem => console.log(`      no evidence: ${problem}`));
    return false;
  }
}

/** What a failed scenario leaves to look at: a screenshot, what was said to the person, and the server's last words. */
async function evidence(code, window, name) {
  if (window) {
    console.log(`      screenshot: ${await window.shot(`failed-${name}`)}`);
    await window.command('Notifications: Show Notifications');
    const said = await window.page.locator('.notifications-center .notification-list-item').allInnerTexts();
    for (const text of said) console.log(`      > ${text.replace(/\s+/g, ' ')}`);
  }
  console.log((code.logs().at(-1) ?? '').trimEnd().split('\n').slice(-12).map(line => `      | ${line}`).join('\n'));
}

/** Answers to the questions of a server that knows a project by its folder's name. */
function prefixed(answers, name) {
  return Object.fromEntries(Object.entries(answers).map(([target, steps]) => [target === '*' ? target : `${name}/${target}`, steps]));
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

function deadline(work, limit) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${limit} s`)), limit * 1000)));
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

await inOneProfile(scenarios.filter(each => wanted(each.name)));
for (const [name, run] of Object.entries(profiles)) {
  if (wanted(name) && !failed.includes('setup')) {
    await judged(name, () => run(`${folder}-${name}`, vsix, installedServer(folder)));
  }
}
const total = passed.length + failed.length;
console.log(`${passed.length} of ${total} passed in ${seconds(began)}${failed.length ? `; failed: ${failed.join(', ')}` : ''}`);
process.exit(failed.length ? 1 : 0);
