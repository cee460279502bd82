// One window of VS Code, driven as a person would: by keys, menus and clicks.
import path from 'node:path';
import { until } from './until.mjs';

export class Window {
  constructor(code, name, page, context) {
    Object.assign(this, { code, name, page, context, shots: 0 });
  }

  async close() {
    await this.context.close();
  }

  async shot(name) {
    const file = path.join(this.code.folder, 'shots', `${name}.png`);
    await this.page.screenshot({ path: file, animations: 'disabled' }); // nothing half faded in
    return file;
  }

  /** Text typed into the quick input, which opens with `key`. */
  async quick(key, text) {
    const input = this.page.locator('.quick-input-widget input').first();
    for (let tries = 0; ; tries++) {
      await this.page.keyboard.press(key);
      try {
        await input.fill(text, { timeout: 5000 });
        return;
      } catch (error) {
        if (tries >= 8) throw error; // something else took the focus, which closes the input
      }
    }
  }

  async command(title) {
    await this.quick('F1', `>${title}`);
    await this.pick(title);
  }

  /** Two strokes, one after the other, with the keyboard in the editor. */
  async chord(...strokes) {
    await this.focus();
    for (const stroke of strokes) await this.page.keyboard.press(stroke);
  }

  /** A row of the open quick pick. */
  row(text) {
    return this.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: text }).first();
  }

  /** A file of a folder of the workspace in the editor; files of that name in other folders are offered beside it. */
  async openFile(folder, file) {
    const name = path.basename(file);
    const place = this.page.locator('.label-description').filter({ hasText: new RegExp(`(^|/)${path.basename(folder)}( •|/|$)`) });
    await this.quick('Control+P', path.join(folder, file));
    await this.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: name }).filter({ has: place }).first().click();
    await this.page.locator('.tab.active').filter({ hasText: name }).waitFor();
    await this.page.locator('.breadcrumbs-control').filter({ hasText: path.basename(folder) }).first().waitFor();
    await this.page.locator('.editor-instance .view-line').first().waitFor();
  }

  async pick(text) {
    await this.row(text).click();
  }

  async type(text) {
    const input = this.page.locator('.quick-input-widget input').first();
    await input.waitFor({ state: 'visible' });
    await input.fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** The keyboard to the editor. */
  async focus() {
    await this.page.keyboard.press('Control+1');
  }

  /** The cursor at a line, counted from 1. */
  async cursor(line, column = 5) {
    await this.focus();
    await this.quick('Control+G', `:${line}:${column}`);
    await this.page.keyboard.press('Enter');
    await this.page.locator('#status\\.editor\\.selection').filter({ hasText: `Ln ${line}, Col ${column}` }).waitFor();
  }

  /**
   * The menu of the lightbulb at the cursor, once it has a row with that text. Ctrl+. in an open menu would pick
   * its first row, so the key is pressed only when none is open.
   */
  async actions(text) {
    const menu = this.page.locator('.action-widget');
    const row = menu.locator('.monaco-list-row').filter({ hasText: text }).first();
    const nothing = this.page.locator('.monaco-editor-overlaymessage').filter({ hasText: 'No code actions' });
    await until(`the lightbulb offers ${text}`, async () => {
      await this.page.keyboard.press('Control+.');
      await menu.locator('.monaco-list-row').or(nothing).first().waitFor({ timeout: 20_000 }).catch(() => undefined); // the key was lost
      if (await row.isVisible()) return true;
      await this.page.keyboard.press('Escape');
      await menu.waitFor({ state: 'hidden' });
      await this.focus(); // a view that opened late may have taken it
      return false;
    }, 150_000);
    return row;
  }

  /** Pick an action where the cursor stands. */
  async act(title) {
    await (await this.actions(title)).click();
  }

  /** Pick a row of the open context menu, which takes no click right after it has opened. */
  async menuItem(text, shot) {
    const item = this.page.locator('.monaco-menu .action-label').filter({ hasText: text }).first();
    await item.waitFor();
    if (shot) await this.shot(shot);
    await until('the menu is closed', async () => {
      await item.click({ timeout: 1000 }).catch(() => undefined);
      return (await item.count()) === 0;
    });
  }

  toast(text) {
    return this.page.locator('.notification-toast').filter({ hasText: text }).first();
  }

  /** A button of a message; one that has been there for long lies in the list of notifications. */
  async press(text, button) {
    const item = this.page.locator('.notification-list-item').filter({ hasText: text }).first();
    const listed = !(await item.isVisible());
    if (listed) await this.command('Notifications: Show Notifications');
    await item.hover();
    await item.locator('.monaco-button').filter({ hasText: button }).first().click();
    if (listed && (await this.page.locator('.notifications-center.visible').count())) await this.command('Notifications: Hide Notifications');
  }

  async clearToasts() {
    await this.command('Notifications: Clear All Notifications');
    await until('no toast is shown', async () => (await this.page.locator('.notification-toast').count()) === 0);
  }

  /** The lines of the editor that are on the screen. */
  async text() {
    return (await this.page.locator('.editor-instance .view-lines').first().innerText()).replaceAll('\u00a0', ' ');
  }

  line(text) {
    return this.page.locator('.view-line').filter({ hasText: blanks(text) }).first();
  }

  async save() {
    await this.focus();
    await this.page.keyboard.press('Control+S');
  }

  /** The workspace's folders are there. Now and then the editor believes for good that a window has none, until it is loaded anew. */
  async folders(names) {
    const shown = name => this.page.locator('.explorer-folders-view .monaco-list-row').filter({ hasText: name }).first();
    const none = this.page.getByText('You have not yet added a folder').first();
    for (let tries = 0; tries < 5; tries++) {
      await shown(names[0]).or(none).first().waitFor();
      const there = await shown(names[0]).waitFor({ timeout: 5000 }).then(() => true, () => false);
      if (there) break;
      await this.page.reload();
    }
    for (const name of names.slice(0, 3)) await shown(name).waitFor();
  }

  /** Nothing left over of what was done here, for what is done next. */
  async tidy() {
    await this.command('File: Save All');
    await until('everything is saved', async () => (await this.page.locator('.tab.dirty').count()) === 0); // else closing would ask
    for (const title of ['View: Close All Editors', 'SoA: Clear Ended Jobs', 'Notifications: Clear All Notifications']) await this.command(title);
    await until('no editor is open', async () => (await this.page.locator('.tab').count()) === 0);
  }

  /** Remember when an element of that selector first had that text, under a name. */
  async watch(watched) {
    await this.page.evaluate(given => window.witness(given), watched);
  }

  /** When each thing watched for was first seen, in milliseconds. */
  async seen(...names) {
    return until(`${names} are seen`, async () => {
      const times = await this.page.evaluate(() => window.witnessed ?? {});
      return names.every(name => name in times) && names.map(name => times[name]);
    });
  }

  lens(text) {
    return this.page.locator('.codelens-decoration a').filter({ hasText: text }).first();
  }

  status() {
    return this.page.locator('#soa\\.soa-language-server\\.soa\\.status, [id$="soa.status"]').first();
  }

  /** The icon that opens the agents view: there where the extension is on. */
  icon() {
    return this.page.locator('.activitybar .action-label[aria-label^="SoA"]');
  }

  /** A row of the agents view. */
  agent(text) {
    return this.page.locator('.pane-body .monaco-list-row[role=treeitem]').filter({ hasText: text }).first();
  }

  tab(text) {
    return this.page.locator('.tab').filter({ hasText: text }).first();
  }
}

function blanks(text) {
  return text instanceof RegExp ? text : new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/ /g, '\\s'));
}

/** Runs in the page: notes when what is watched for appears; the moment of a click is that of its `mousedown`. */
export function witness() {
  const times = (window.witnessed = {});
  let wanted = [];
  const look = () => {
    wanted = wanted.filter(([name, selector, text]) => {
      const found = [...document.querySelectorAll(selector)].some(each => each.textContent.replaceAll('\u00a0', ' ').includes(text));
      if (found) times[name] = performance.now();
      return !found;
    });
  };
  window.witness = given => {
    wanted = Object.entries(given).map(([name, [selector, text]]) => [name, selector, text]);
    new MutationObserver(() => wanted.length && look()).observe(document.body, { subtree: true, childList: true, characterData: true });
    document.addEventListener('mousedown', () => (times.clicked = performance.now()), { capture: true });
  };
}
