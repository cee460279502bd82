// Runs inside the extension host: commands, settings and the bridge to the editor's models.
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const vscode = require('vscode');
const own = require('./extension.js');

const { model } = own;

const STUB = 'def longest(text: str) -> str:\n    """The longest word; the first of several."""\n    ...\n';
const REPLY = '```python\ndef longest(text: str) -> str:\n    return max(text.split(), key=len)\n```\n';

exports.run = async () => {
  const ours = vscode.extensions.getExtension('soa.soa-language-server');
  const soa = await ours.activate();
  assert.ok(await soa.ready(), 'the server is ready');
  const uri = vscode.Uri.joinPath(vscode.workspace.workspaceFolders[0].uri, 'words.py');
  const document = await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document);
  assert.equal(document.getText(), STUB);
  for (const [name, test] of Object.entries(TESTS)) {
    try {
      await test({ ours, soa, uri, document });
      console.log(`ITEST ok ${name}`);
    } catch (error) {
      console.log(`ITEST FAIL ${name}: ${error.stack}`);
      throw error;
    }
  }
};

const TESTS = {
  async 'every command of the manifest and of the server is there'({ ours }) {
    const known = new Set(await vscode.commands.getCommands(true));
    const own = ours.packageJSON.contributes.commands.map(each => each.command);
    const servers = ['generate', 'regenerate', 'stubs', 'implementFile', 'runTests', 'cancel'].map(name => `soa.${name}`);
    assert.deepEqual([...own, ...servers].filter(command => !known.has(command)), []);
  },

  async 'a workspace names no executable and no endpoint, and nothing else gets at the keys'({ ours }) {
    const configuration = vscode.workspace.getConfiguration('soa');
    assert.equal(configuration.get('limits.rounds'), 4, 'other settings of the workspace count');
    for (const key of ['server.command', 'python', 'tests.interpreter', 'model.baseUrl', 'model.provider', 'model.apiKeyEnv', 'tests.sandbox']) {
      const found = configuration.inspect(key);
      assert.equal(configuration.get(key), found.globalValue ?? found.defaultValue, key);
    }
    assert.deepEqual(Object.keys(ours.exports), ['ready', 'jobs']);
  },

  async 'the actions are those of the server, and a setting turns them off'({ uri }) {
    await until(async () => (await titles(uri)).includes('Generate with SoA'), 'the action is offered');
    await set('codeActions.enabled', false);
    await until(async () => !(await titles(uri)).some(title => title.includes('SoA')), 'no action is offered');
    await set('codeActions.enabled', undefined);
    await until(async () => (await titles(uri)).includes('Generate with SoA'), 'the action is offered again');
  },

  async 'tests run with the interpreter that is selected in the editor'({ soa }) {
    const root = vscode.workspace.workspaceFolders[0].uri;
    const uri = vscode.Uri.joinPath(root, 'where.py');
    await vscode.workspace.openTextDocument(uri);
    const { environments, python } = await selecting();
    const chosen = async (api, name) => {
      api.choose(place(name, 'bin/python'));
      const argument = { uri: uri.toString(), qualname: 'where' };
      const { jobId } = await vscode.commands.executeCommand('soa.runTests', argument);
      await until(() => ended(soa, jobId), 'the tests have run');
      assert.equal(soa.jobs.get(jobId).state, 'done', soa.jobs.get(jobId).message);
      await until(() => vscode.languages.getDiagnostics(uri).length, 'the failing test is a diagnostic');
      return vscode.languages.getDiagnostics(uri)[0].message;
    };
    assert.match(await chosen(environments, 'first'), /'first' == 'nowhere'/);
    assert.match(await chosen(environments, 'second'), /'second' == 'nowhere'/);
    environments.choose(undefined);
    assert.match(await chosen(python, 'first'), /'first' == 'nowhere'/, 'the older extension is asked where the newer has nothing chosen');
  },

  async 'the editor has a model to offer'() {
    const found = await vscode.lm.selectChatModels({ vendor: 'test' });
    assert.deepEqual(found.map(each => each.id), ['writer']);
  },

  async 'cancelling a job cancels the request to the model'({ soa, uri, document }) {
    await set('model.provider', 'editor');
    await set('model.name', 'test/writer');
    model.answer = (_, token) => new Promise(resolve => token.onCancellationRequested(() => resolve('')));
    const { jobId } = await generate(uri, document);
    await until(() => model.asked.length === 1, 'the model is asked');
    await vscode.commands.executeCommand('soa.ui.cancel');
    await until(() => soa.jobs.get(jobId)?.state === 'cancelled', 'the job is cancelled');
    await until(() => model.cancelled === 1, "the model's request is cancelled");
    assert.equal(model.asked.length, 1, 'no request follows');
  },

  async 'the editor writes a function'({ soa, uri, document }) {
    model.answer = async text => (text.includes('Step: skeleton') ? REPLY : 'Nothing to add.');
    const { jobId } = await generate(uri, document);
    await until(() => soa.jobs.get(jobId)?.state === 'done', 'the job is done');
    const job = soa.jobs.get(jobId);
    assert.equal(job.verdict, 'passed');
    assert.ok(job.usage.inputTokens > 0 && job.usage.outputTokens > 0, 'tokens are counted');
    assert.match(document.getText(), /return max\(text\.split\(\), key=len\)/);
    assert.match(model.asked.at(-1), /Target: words\.py::longest\nStep: skeleton\s*$/);
    await vscode.commands.executeCommand('undo');
    assert.equal(document.getText(), STUB);
  },

  async 'another interpreter and another server wait for the running job'({ soa, uri, document }) {
    const before = vscode.workspace.getConfiguration('soa').get('server.command');
    const other = place('other-soa');
    fs.symlinkSync(before, other);
    let answer;
    model.answer = text => (text.includes('Step: skeleton') ? new Promise(resolve => (answer = resolve)) : 'Nothing to add.');
    const { jobId } = await generate(uri, document);
    await until(() => answer, 'the model is asked');
    const changed = new Promise(resolve => vscode.workspace.onDidChangeConfiguration(event => event.affectsConfiguration('soa.server.command') && resolve()));
    (await selecting()).environments.choose(place('second', 'bin/python'));
    await set('server.command', other);
    await changed;
    assert.equal(soa.jobs.get(jobId).state, 'running');
    assert.ok(serving(before).length && !serving(other).length, 'the server that works is left alone');
    answer(REPLY);
    await until(() => soa.jobs.get(jobId).state === 'done', 'the job is done');
    assert.equal(soa.jobs.get(jobId).verdict, 'passed');
    await until(() => serving(other).length && !serving(before).length, 'the other server takes over');
    assert.ok(await soa.ready());
    await vscode.commands.executeCommand('undo');
  },

  async 'the server is restarted when a person says so'({ soa }) {
    const command = vscode.workspace.getConfiguration('soa').get('server.command');
    const [before] = serving(command);
    await vscode.commands.executeCommand('soa.ui.restart');
    assert.ok(await soa.ready());
    const [after] = serving(command);
    assert.ok(after && after !== before, 'another process serves');
  },

  async 'a model that fails is told in one sentence'({ soa, uri, document }) {
    model.answer = async () => {
      throw new Error('the quota\nis used up');
    };
    const { jobId } = await generate(uri, document);
    await until(() => soa.jobs.get(jobId)?.state === 'failed', 'the job has failed');
    assert.match(soa.jobs.get(jobId).message, /quota is used up/);
    assert.doesNotMatch(soa.jobs.get(jobId).message, /\n/);
    await set('model.provider', undefined);
    await set('model.name', undefined);
  },

  async 'the private environment is made by the interpreter that is set, else by the selected one'() {
    const { environments, python } = await selecting(); // none of these three can make one, and says so
    const asked = name => until(() => log().includes(`${place('pythons', name)} -m venv`), `${name} is asked`);
    environments.choose(place('pythons', 'environments'));
    python.choose(place('pythons', 'extension'));
    await set('python', place('pythons', 'setting'));
    await set('server.command', undefined);
    await asked('setting');
    assert.ok(!log().includes(place('pythons', 'environments')));
    await set('python', undefined);
    await asked('environments');
    assert.ok(!log().includes(place('pythons', 'extension')));
    environments.choose(undefined);
    await vscode.commands.executeCommand('soa.ui.restart');
    await asked('extension');
  },
};

/** What was written to our log in this window. */
function log() {
  return fs.readFileSync(path.join(own.logs, '../soa.soa-language-server/SoA.log'), 'utf8');
}

/** A path beside the workspace. */
function place(...names) {
  return path.join(vscode.workspace.workspaceFolders[0].uri.fsPath, '..', ...names);
}

/** The stand-ins for the extensions in which an interpreter is selected. */
async function selecting() {
  const [environments, python] = await Promise.all(['ms-python.vscode-python-envs', 'ms-python.python'].map(id => vscode.extensions.getExtension(id).activate()));
  return { environments, python };
}

function generate(uri, document) {
  return vscode.commands.executeCommand('soa.generate', { uri: uri.toString(), qualname: 'longest', version: document.version });
}

function set(key, value) {
  return vscode.workspace.getConfiguration('soa').update(key, value, vscode.ConfigurationTarget.Global);
}

function ended(soa, jobId) {
  return ![undefined, 'running'].includes(soa.jobs.get(jobId)?.state);
}

/** The processes of this profile that serve and were started by this command. */
function serving(command) {
  const about = (id, what) => fs.readFileSync(`/proc/${id}/${what}`, 'utf8').replaceAll('\0', ' ');
  const ours = `XDG_STATE_HOME=${process.env.XDG_STATE_HOME} `;
  return fs.readdirSync('/proc').filter(name => /^\d+$/.test(name)).filter(id => {
    try {
      return about(id, 'cmdline').includes(`${command} serve`) && about(id, 'environ').includes(ours);
    } catch {
      return false; // it has ended meanwhile
    }
  });
}

async function titles(uri) {
  const found = await vscode.commands.executeCommand('vscode.executeCodeActionProvider', uri, new vscode.Range(0, 5, 0, 5));
  return found.map(action => action.title);
}

async function until(holds, what) {
  const end = Date.now() + 150000;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within 150 s: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}
