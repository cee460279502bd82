// What a person does with the extension, one scenario each, against the file on the disk and the project's tests.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { BASKET, basket } from './projects.mjs';
import { onDisk, pytest, STORAGE, until } from './workbench.mjs';

export const scenarios = [
  {
    name: 'setup',
    seconds: 180,
    /** First use: the private environment is made with progress; the second start has it and is quick. */
    async run(test) {
      const storage = path.join(test.code.folder, STORAGE);
      fs.rmSync(storage, { recursive: true, force: true });
      const folder = test.workspace(basket.files);
      test.machine({});
      const file = path.join(folder, BASKET);
      const window = await test.open(folder, { file });
      await window.toast('setting up its Python environment').waitFor({ timeout: 30_000 });
      await until('the server is ready', () => test.code.log('SoA.log').includes('the server is ready'), 150_000);
      assert.ok(fs.readdirSync(storage).some(name => fs.existsSync(path.join(storage, name, 'complete.json'))));
      await window.close();
      const again = await test.open(folder, { file });
      await again.editorReady('def total');
      const ready = await until('the server is ready again', () => test.code.log('SoA.log').match(/ready after (\d+) ms/), 30_000);
      console.log(`      activation to server ready: ${ready[1]} ms (goal 1500 on a quiet machine)`);
    },
  },
  {
    name: 'generate',
    /** A stub with a helper: from the lightbulb to passing tests on the disk; undone in one step. */
    async run(test) {
      const folder = test.workspace(basket.files);
      const model = await test.model(basket.answers);
      test.machine({ 'soa.model.baseUrl': model.url });
      const file = path.join(folder, BASKET);
      const window = await test.open(folder, { file });
      await window.editorReady('def total');
      await window.cursor(4);
      await window.act('Generate with SoA');
      await window.toast('SoA: total').waitFor({ timeout: 5000 });
      await window.toast('total passes').waitFor({ timeout: 25_000 });
      await window.line('return _cents(sum(prices) * (1 - discount))').waitFor();
      assert.equal(fs.readFileSync(file, 'utf8'), basket.files[BASKET], 'nothing is saved for the person');
      await window.save();
      await onDisk(file, text => text.includes('def _cents'));
      const ended = pytest(folder);
      assert.equal(ended.code, 0, ended.output);
      await window.focus();
      await window.page.keyboard.press('Control+Z');
      await window.save();
      await onDisk(file, text => text === basket.files[BASKET], 'one undo takes everything back');
    },
  },
];
