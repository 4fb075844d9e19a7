// Compares screenshots of the simulation, with a fixed seed and clock, with the accepted images.
//
// On a mismatch the new image is in test/e2e/out. To accept it after review:
// npm run shots -- --story rollout --out test/e2e/accepted

import { mkdirSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ImageComparer } from '../../scripts/differ';
import { captureScreen, MAX_DIFFERENCE, VARIANTS } from '../../scripts/shots';
import { screens } from '../../sim/screens';
import { FakeServer } from '../../sim/server';
import { storyByName } from '../../sim/stories';
import { shutdown } from './browser';

const ACCEPTED = `${import.meta.dirname}/accepted`;
const OUT = `${import.meta.dirname}/out`;
const differ = new ImageComparer();
const story = storyByName('rollout');
let server: FakeServer;
let url: string;

beforeAll(async () => {
  mkdirSync(OUT, { recursive: true });
  server = new FakeServer({ story });
  url = await server.start();
});
afterAll(async () => {
  await server.stop();
  await differ.close();
  await shutdown();
});

const files = Object.keys(screens(story)).flatMap((screen) =>
  Object.keys(VARIANTS).map((look) => [`${story.name}-${screen}-${look}.png`, screen, look] as const),
);

test('every screen has an accepted image per variant', () => {
  expect(readdirSync(ACCEPTED).sort()).toEqual(files.map(([file]) => file).sort());
});

test.each(files)('%s matches the accepted image', async (file, screen, look) => {
  const image = await captureScreen(server, url, screens(story)[screen] ?? '', VARIANTS[look] ?? {});
  const share = await differ.share(await readFile(`${ACCEPTED}/${file}`), image);
  if (share > MAX_DIFFERENCE) await writeFile(`${OUT}/${file}`, image);
  expect(share, `share of differing pixels; the new image is ${OUT}/${file}`).toBeLessThanOrEqual(
    MAX_DIFFERENCE,
  );
});
