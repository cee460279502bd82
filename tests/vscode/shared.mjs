// The one window that most scenarios use, with a folder for each of them; opened anew after a failure.
import fs from 'node:fs';
import path from 'node:path';
import { workspace } from './workbench.mjs';

const SPARE = { name: 'spare', project: { files: { 'notes.txt': '' } } }; // there are several folders, whatever was chosen

export class Shared {
  constructor(code, work, chosen) {
    Object.assign(this, { code, work, chosen, window: undefined });
  }

  async open() {
    if (this.window) return this.window;
    const projects = [SPARE, ...this.chosen].flatMap(each => (each.also ? [each, each.also] : [each]));
    const folders = projects.map(({ name, project }) => ({ path: this.fresh(name, project.files) }));
    const target = path.join(this.work, 'all.code-workspace');
    fs.writeFileSync(target, JSON.stringify({ folders }));
    this.window = await this.code.open('shared', target);
    await this.window.folders(folders.map(each => path.basename(each.path)));
    return this.window;
  }

  /** A project as it is at first, without what an earlier window left in it. */
  fresh(name, files) {
    const place = path.join(this.work, name);
    fs.rmSync(place, { recursive: true, force: true });
    return workspace(place, files);
  }

  async close() {
    await this.window?.close().catch(() => undefined);
    this.window = undefined;
  }
}
