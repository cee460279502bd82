// pictures.mjs SHOTS OUT: the pictures of the READMEs and the walkthrough, cut from the scenarios' screenshots.
// Needs cwebp (Debian: webp), whose files without loss are half as large as the browser's.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { browser } from './workbench.mjs';

const [shots, out] = process.argv.slice(2);
const PICTURES = {
  // name: [screenshot, left, top, width, height]
  'walkthrough-generate': ['lightbulb', 334, 36, 720, 330],
  'walkthrough-agents': ['generated', 0, 36, 1120, 664],
  'walkthrough-model': ['choose-model', 340, 6, 602, 204],
  'walkthrough-check': ['menu', 340, 6, 602, 240],
};

const driven = await browser();
const page = await driven.newPage();
for (const [name, [shot, ...place]] of Object.entries(PICTURES)) {
  const file = path.join(shots, `${shot}.png`);
  if (!fs.existsSync(file)) continue;
  const source = `data:image/png;base64,${fs.readFileSync(file, 'base64')}`;
  const url = await page.evaluate(draw, { source, place });
  const target = path.join(out, `${name}.webp`);
  execFileSync('cwebp', ['-quiet', '-lossless', '-z', '9', '-o', target, '--', '-'], { input: Buffer.from(url.split(',')[1], 'base64') });
  console.log(`${target}: ${fs.statSync(target).size} bytes`);
}
await driven.close();

/** The part of a picture with fewer tones, as PNG; without loss from there on, text is sharper and the file smaller. */
async function draw({ source, place: [left, top, width, height] }) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const context = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d');
  context.drawImage(image, left, top, width, height, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  const tone = value => (value < 48 ? Math.round(value / 8) * 8 : Math.round(value / 32) * 32); // panels differ in dark tones
  pixels.data.forEach((value, index) => (pixels.data[index] = tone(value))); // the array cuts at 255
  context.putImageData(pixels, 0, 0);
  return context.canvas.toDataURL('image/png');
}
