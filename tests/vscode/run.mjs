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
const wanted = name => !names.length || names.some(each => name.startsWith(each));
const profiles = { inhost, trust, neovim }; // those that need a profile of their own, or another editor
const began = Date.now();
const passed = [];
const failed = [];

await inOneProfile(scenarios.filter(each => wanted(each.name)));
for (const [name, run] of Object.entries(profiles)) {
  if (wanted(name) && !failed.includes('setup')) {
    await judged(name, 240, () => run(`${folder}-${name}`, vsix, installedServer(folder)));
  }
}
const total = passed.length + failed.length;
console.log(`${passed.length} of ${total} passed in ${seconds(began)}${failed.length ? `; failed: ${failed.join(', ')}` : ''}`);
process.exit(failed.length ? 1 : 0);

async function inOneProfile(chosen) {
  if (!chosen.length) return;
  const code = await Code.start({ folder, vsix: [vsix] });
  console.log(`VS Code is up after ${seconds(began)}`);
  try {
    for (const scenario of chosen) {
      await play(code, scenario);
      if (failed.includes('setup')) break; // without a server nothing else can pass
    }
  } finally {
    await code.stop();
  }
}

/** One scenario, with what it opens closed again and evidence kept when it fails. */
async function play(code, scenario) {
  const place = path.join(folder, 'work', scenario.name);
  const test = { code, place, models: [], windows: [] };
  test.model = async (answers, ...extra) => keep(test.models, await Model.start(path.join(folder, 'work'), answers, extra));
  test.open = async (target, options) => keep(test.windows, await code.open(scenario.name, target, options));
  test.workspace = (files, name = '') => workspace(path.join(place, name), files);
  test.machine = settings => code.machine({ 'soa.model.name': 'test-model', ...settings });
  fs.mkdirSync(place, { recursive: true });
  if (!(await judged(scenario.name, scenario.seconds ?? 240, () => scenario.run(test)))) {
    for (const window of test.windows) await evidence(window, scenario.name).catch(() => undefined);
    console.log(code.log('SoA.log').split('\n').slice(-12).map(line => `      | ${line}`).join('\n'));
  }
  for (const window of test.windows) await window.close().catch(() => undefined);
  for (const model of test.models) await model.stop().catch(() => undefined);
}

async function judged(name, limit, run) {
  const start = Date.now();
  try {
    await deadline(run(), limit);
    passed.push(name);
    console.log(`ok    ${name} (${seconds(start)})`);
    return true;
  } catch (error) {
    failed.push(name);
    console.log(`FAIL  ${name} (${seconds(start)}): ${error.stack ?? error}`);
    return false;
  }
}

async function evidence(window, name) {
  await window.shot(`failed-${name}`);
  await window.command('Notifications: Show Notifications');
  const said = await window.page.locator('.notifications-center .notification-list-item').allInnerTexts();
  console.log(said.map(text => `      > ${text.replace(/\s+/g, ' ')}`).join('\n'));
}

function keep(list, value) {
  list.push(value);
  return value;
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

function deadline(work, limit) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${limit} s`)), limit * 1000)));
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
