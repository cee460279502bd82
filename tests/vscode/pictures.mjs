// pictures.mjs SHOTS OUT: the pictures of the READMEs and the walkthrough, cut from the scenarios' screenshots.
import fs from 'node:fs';
import path from 'node:path';
import { browser } from './workbench.mjs';

const [shots, out] = process.argv.slice(2);
const QUALITY = 0.72;
const PICTURES = {
  // name: [screenshot, left, top, width, height, scale]
  'walkthrough-generate': ['lightbulb', 352, 60, 800, 440, 0.75],
  'walkthrough-agents': ['generated', 0, 36, 1280, 764, 0.75],
  'walkthrough-model': ['choose-model', 340, 6, 602, 204, 0.9],
  'walkthrough-check': ['menu', 340, 6, 602, 240, 0.9],
};

const driven = await browser();
const page = await driven.newPage();
for (const [name, [shot, left, top, width, height, scale]] of Object.entries(PICTURES)) {
  const file = path.join(shots, `${shot}.png`);
  if (!fs.existsSync(file)) continue;
  const source = `data:image/png;base64,${fs.readFileSync(file, 'base64')}`;
  const url = await page.evaluate(draw, { source, left, top, width, height, scale, quality: QUALITY });
  const target = path.join(out, `${name}.webp`);
  fs.writeFileSync(target, Buffer.from(url.split(',')[1], 'base64'));
  console.log(`${target}: ${fs.statSync(target).size} bytes`);
}
await driven.close();

async function draw({ source, left, top, width, height, scale, quality }) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/webp', quality);
}
