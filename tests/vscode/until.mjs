// Waiting for what will be seen, at the pace of a machine that may be busy.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Wait until something holds; what it was is said when it does not. */
export async function until(what, holds, milliseconds = 90_000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${milliseconds / 1000} s: ${what}`);
    await sleep(50);
  }
}

export function onDisk(file, holds, what = `${file} is as expected`) {
  return until(what, () => fs.existsSync(file) && holds(fs.readFileSync(file, 'utf8')), 60_000);
}
