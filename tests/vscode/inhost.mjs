// The tests that run inside the extension host, in a profile with the editor's AI features on.
import path from 'node:path';
import { basket } from './projects.mjs';
import { Code, environment, fake, refusing, ROOT, workspace } from './workbench.mjs';

const TESTS = path.join(ROOT, 'tests/vscode/inhost');
const FOREIGN = { 'soa.server.command': '/nowhere/soa', 'soa.python': '/nowhere/python', 'soa.tests.interpreter': '/nowhere/python', 'soa.model.baseUrl': 'http://elsewhere.invalid/v1', 'soa.model.provider': 'editor', 'soa.limits.rounds': 4 };
const FILES = {
  '.vscode/settings.json': JSON.stringify(FOREIGN), // what a workspace says of executables and endpoints
  'pyproject.toml': basket.files['pyproject.toml'],
  'words.py': 'def longest(text: str) -> str:\n    """The longest word; the first of several."""\n    ...\n',
  'tests/test_words.py': 'from words import longest\n\n\ndef test_longest() -> None:\n    assert longest("a bbb cc ddd") == "bbb"\n',
  'where.py': 'import pathlib\nimport sys\n\n\ndef where() -> str:\n    return pathlib.Path(sys.prefix).name\n',
  'tests/test_where.py': 'from where import where\n\n\ndef test_where() -> None:\n    assert where() == "nowhere"\n',
};

export async function inhost(folder, vsix, server) {
  // The driver's switch lets the page name a development extension; it also keeps every notification from showing.
  const fakes = [fake(`${folder}-fakes`, 'ms-python.vscode-python-envs', 'environments', []), fake(`${folder}-fakes`, 'ms-python.python', 'python', [])];
  const code = await Code.start({ folder, vsix: [vsix, ...fakes], ai: true, options: ['--vscode-option', 'enable-smoke-test-driver'] });
  try {
    code.machine({ 'soa.server.command': server });
    const place = workspace(path.join(folder, 'work/inhost'), FILES);
    for (const name of ['first', 'second']) environment(path.join(folder, 'work', name));
    for (const name of ['setting', 'environments', 'extension']) refusing(path.join(folder, 'work/pythons', name));
    const remote = where => `vscode-remote://127.0.0.1:${code.port}${where}`;
    const payload = [['extensionDevelopmentPath', remote(TESTS)], ['extensionTestsPath', remote(`${TESTS}/index`)]];
    let ended;
    const exit = new Promise(resolve => (ended = resolve));
    const prepare = async page => {
      page.on('console', message => /ITEST/.test(message.text()) && console.log(`      ${message.text().replace(/^.*?ITEST /s, '').slice(0, 1500)}`));
      await page.exposeFunction('codeAutomationLog', () => undefined);
      await page.exposeFunction('codeAutomationExit', exitCode => ended(exitCode));
    };
    await code.open('inhost', place, { payload, prepare });
    const timer = setTimeout(() => ended('no answer in time'), 560_000);
    const result = await exit;
    clearTimeout(timer);
    if (result !== 0) throw new Error(`the tests inside the extension host ended with ${result}\n${code.logs().join('').slice(-1500)}`);
  } finally {
    await code.stop();
  }
}
