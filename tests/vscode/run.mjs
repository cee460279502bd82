// run.mjs VSIX [NAME…]: drives the packed extension in the real workbench. Names choose scenarios by their beginning.
import fs from 'node:fs';
import path from 'node:path';
import { scenarios } from './scenarios.mjs';
import { Code, Model, ROOT, workspace } from './workbench.mjs';

const [vsix, ...names] = process.argv.slice(2);
const folder = path.join(ROOT, '.cache/vscode/run');
const chosen = scenarios.filter(each => !names.length || names.some(name => each.name.startsWith(name)));
const began = Date.now();
const failed = [];
const seconds = since => `${((Date.now() - since) / 1000).toFixed(1)} s`;

const code = await Code.start({ folder, vsix: [path.resolve(vsix)] });
console.log(`VS Code is up after ${seconds(began)}`);
try {
  for (const scenario of chosen) {
    await play(scenario);
    if (failed.includes('setup')) break; // without a server nothing else can pass
  }
} finally {
  await code.stop();
}
console.log(`${chosen.length - failed.length} of ${chosen.length} passed in ${seconds(began)}${failed.length ? `; failed: ${failed.join(', ')}` : ''}`);
process.exit(failed.length ? 1 : 0);

async function play(scenario) {
  const start = Date.now();
  const place = path.join(folder, 'work', scenario.name);
  const test = { code, place, models: [], windows: [] };
  test.model = async (answers, ...extra) => keep(test.models, await Model.start(path.join(folder, 'work'), answers, extra));
  test.open = async (target, options) => keep(test.windows, await code.open(scenario.name, target, options));
  test.workspace = (files, name = '') => workspace(path.join(place, name), files);
  test.machine = settings => code.machine({ 'soa.model.name': 'test-model', ...settings });
  fs.mkdirSync(place, { recursive: true });
  try {
    await deadline(scenario.run(test), scenario.seconds ?? 240);
    console.log(`ok    ${scenario.name} (${seconds(start)})`);
  } catch (error) {
    failed.push(scenario.name);
    console.log(`FAIL  ${scenario.name} (${seconds(start)}): ${error.stack ?? error}`);
    for (const window of test.windows) await evidence(window, scenario.name).catch(() => undefined);
    console.log(code.log('SoA.log').split('\n').slice(-12).map(line => `      | ${line}`).join('\n'));
  }
  for (const window of test.windows) await window.close().catch(() => undefined);
  for (const model of test.models) await model.stop().catch(() => undefined);
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

function deadline(work, limit) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${limit} s`)), limit * 1000)));
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
