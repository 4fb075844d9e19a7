// The screens look as a person last accepted them, at a fixed seed, with the clock standing still.
//
// Where that is not so, what was seen lies in test/e2e/out. To accept another look, after looking at it:
// npm run shots -- --story rollout --out test/e2e/accepted

import { mkdirSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Differ } from '../../scripts/differ';
import { LOOKS, MOST, shot } from '../../scripts/shots';
import { screens } from '../../sim/screens';
import { FakeServer } from '../../sim/server';
import { storyOf } from '../../sim/stories';
import { shutdown } from './browser';

const ACCEPTED = `${import.meta.dirname}/accepted`;
const OUT = `${import.meta.dirname}/out`;
const differ = new Differ();
const story = storyOf('rollout');
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
  Object.keys(LOOKS).map((look) => [`${story.name}-${screen}-${look}.png`, screen, look] as const),
);

test('each screen has an accepted look in both themes and on a telephone', () => {
  expect(readdirSync(ACCEPTED).sort()).toEqual(files.map(([file]) => file).sort());
});

test.each(files)('%s looks as accepted', async (file, screen, look) => {
  const image = await shot(server, url, screens(story)[screen] ?? '', LOOKS[look] ?? {});
  const share = await differ.share(await readFile(`${ACCEPTED}/${file}`), image);
  if (share > MOST) await writeFile(`${OUT}/${file}`, image);
  expect(share, `share of pixels that differ; what was seen is in ${OUT}/${file}`).toBeLessThanOrEqual(MOST);
});
