// The pictures of the README, out of the simulation: npm run pictures
//
//   --out DIR    where to put them, ../docs/images where it is not said
//   --dist DIR   where the built page is
//
// The animation is made by `img2webp` of libwebp (Debian: `apt-get install webp`).

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { screens } from '../sim/screens';
import { FakeServer } from '../sim/server';
import { storyOf } from '../sim/stories';
import { ORIGIN } from '../sim/world';
import { type Options, open, picture, shutdown, sync, until } from '../test/e2e/browser';
import { shot } from './shots';

const STORY = storyOf('rollout');
const WIDE: Options = { width: 1280, height: 860, scale: 2 };

/** Name, screen and look of each picture. */
const PICTURES: readonly (readonly [string, string, Options])[] = [
  ['overview-dark', 'overview', { ...WIDE, colorScheme: 'dark' }],
  ['overview-light', 'overview', { ...WIDE, colorScheme: 'light' }],
  ['pull-dark', 'pull', { ...WIDE, colorScheme: 'dark' }],
  ['pull-light', 'pull', { ...WIDE, colorScheme: 'light' }],
];

/** Seconds of the story that are told, from one picture to the next, and for how long each is seen. */
const TOLD = 20;
const STEP = 0.5;
const SEEN_MS = 200;

async function frames(url: string, server: FakeServer, folder: string): Promise<string[]> {
  const clock = (t: number): number => ORIGIN + t * 1000;
  const { page, close } = await open(url, { ...WIDE, scale: 1, still: true, clock: clock(STORY.from) });
  await until('the snapshot is there', async () => (await sync(page)) === 'whole');
  const files: string[] = [];
  for (let t = STORY.from; t < STORY.from + TOLD; t += STEP) {
    await page.clock.setFixedTime(clock(t));
    server.feed.to(t);
    const file = join(folder, `${String(files.length).padStart(3, '0')}.png`);
    await writeFile(file, await picture(page));
    files.push(file);
  }
  await close();
  return files;
}

async function animation(url: string, server: FakeServer, out: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'pictures-'));
  try {
    const files = await frames(url, server, folder);
    const how = ['-loop', '0', '-min_size', '-d', String(SEEN_MS), '-lossy', '-q', '60', '-m', '4'];
    await promisify(execFile)('img2webp', [...how, ...files, '-o', out]);
  } finally {
    await rm(folder, { recursive: true });
  }
}

export async function main(args: string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: { out: { ...text, default: '../docs/images' }, dist: text },
  });
  const { out, dist } = values;
  await mkdir(out, { recursive: true });
  const server = new FakeServer({ story: STORY, ...(dist ? { dist } : {}) });
  const url = await server.start();
  try {
    for (const [name, screen, look] of PICTURES) {
      await writeFile(
        join(out, `${name}.png`),
        await shot(server, url, screens(STORY)[screen] ?? '#/', look),
      );
    }
    await animation(url, server, join(out, 'overview.webp'));
  } finally {
    await shutdown();
    await server.stop();
  }
}
