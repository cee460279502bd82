// The distribution's Neovim and Emacs, headless, through generate and regenerate: the server serves more than one editor.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BASKET, basket, SLUG, slug } from './projects.mjs';
import { Model, pytest, ROOT, start, workspace } from './workbench.mjs';

const TRIES = [
  { name: 'generate', project: basket, file: BASKET, title: 'Generate with SoA' },
  { name: 'regenerate', project: slug, file: SLUG, title: 'Regenerate with SoA' },
];
const script = name => path.join(ROOT, 'tests/vscode', name);

export const neovim = driven('Neovim', ['nvim', '--headless', '-u', 'NONE', '-c', `luafile ${script('neovim.lua')}`]);
export const emacs = driven('Emacs', ['emacs', '--batch', '--load', script('emacs.el')]);

/** A scenario in which a command is an editor that does what a script says a person would. */
function driven(editor, command) {
  return async (folder, vsix, server) => {
    fs.rmSync(folder, { recursive: true, force: true });
    fs.mkdirSync(folder, { recursive: true });
    for (const { name, project, file, title } of TRIES) {
      const place = workspace(path.join(folder, name), project.files);
      const model = await Model.start(folder, project.answers);
      try {
        await edited(place, command, {
          ...process.env,
          PATH: `${path.dirname(server)}${path.delimiter}${process.env.PATH}`,
          OPENAI_BASE_URL: model.url,
          SOA_MODEL: 'test-model',
          SOA_ROOT: place,
          SOA_FILE: path.join(place, file),
          SOA_LINE: '4',
          SOA_TITLE: title,
          XDG_STATE_HOME: path.join(folder, 'state'),
        });
        const ended = pytest(place);
        assert.equal(ended.code, 0, ended.output);
        console.log(`      ok ${editor}: ${title}`);
      } finally {
        await model.stop();
      }
    }
  };
}

function edited(place, [command, ...args], env) {
  const child = start(command, args, { cwd: place, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', data => (said += data));
  child.stderr.on('data', data => (said += data));
  const timer = setTimeout(() => child.stop(), 200_000); // its script gives up before that
  return new Promise((resolve, reject) => {
    child.on('close', code => {
      clearTimeout(timer);
      if (code === 0) resolve(said);
      else reject(new Error(`${command} ended with ${code}: ${said}`));
    });
  });
}
