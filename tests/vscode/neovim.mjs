// The distribution's Neovim, headless, through generate and regenerate: the server serves more than one editor.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { BASKET, basket, SLUG, slug } from './projects.mjs';
import { Model, pytest, ROOT, workspace } from './workbench.mjs';

const TRIES = [
  { name: 'generate', project: basket, file: BASKET, title: 'Generate with SoA' },
  { name: 'regenerate', project: slug, file: SLUG, title: 'Regenerate with SoA' },
];

export async function neovim(folder, vsix, server) {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  for (const { name, project, file, title } of TRIES) {
    const place = workspace(path.join(folder, name), project.files);
    const model = await Model.start(folder, project.answers);
    try {
      const environment = {
        ...process.env,
        OPENAI_BASE_URL: model.url,
        SOA_MODEL: 'test-model',
        SOA_COMMAND: server,
        SOA_ROOT: place,
        SOA_FILE: path.join(place, file),
        SOA_LINE: '4',
        SOA_TITLE: title,
        XDG_STATE_HOME: path.join(folder, 'state'),
      };
      await edited(place, environment);
      const ended = pytest(place);
      assert.equal(ended.code, 0, ended.output);
      console.log(`      ok Neovim: ${title}`);
    } finally {
      await model.stop();
    }
  }
}

function edited(place, environment) {
  const script = path.join(ROOT, 'tests/vscode/neovim.lua');
  const child = spawn('nvim', ['--headless', '-u', 'NONE', '-c', `luafile ${script}`], { cwd: place, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', data => (said += data));
  child.stderr.on('data', data => (said += data));
  const timer = setTimeout(() => child.kill('SIGKILL'), 400_000);
  return new Promise((resolve, reject) => {
    child.on('close', code => {
      clearTimeout(timer);
      if (code === 0) resolve(said);
      else reject(new Error(`Neovim ended with ${code}: ${said}`));
    });
  });
}
