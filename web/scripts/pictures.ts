// Screenshots for the README, from the simulation: npm run pictures
//
//     --out DIR    output directory, default ../docs/images
//     --dist DIR   directory of the built page
//
// The animation requires `img2webp` of libwebp (Debian: `apt-get install webp`).

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { screens } from '../sim/screens';
import { FakeServer } from '../sim/server';
import { storyByName } from '../sim/stories';
import { ORIGIN } from '../sim/world';
import {
  openPage,
  type PageOptions,
  shutdown,
  stableScreenshot,
  syncState,
  waitUntil,
} from '../test/e2e/browser';
import { captureScreen } from './shots';

const STORY = storyByName('rollout');
const WIDE: PageOptions = { width: 1280, height: 860, deviceScale: 2 };

/** Name, screen and page options of each image. */
const PICTURES: readonly (readonly [string, string, PageOptions])[] = [
  ['overview-dark', 'overview', { ...WIDE, colorScheme: 'dark' }],
  ['overview-light', 'overview', { ...WIDE, colorScheme: 'light' }],
  ['pull-dark', 'pull', { ...WIDE, colorScheme: 'dark' }],
  ['pull-light', 'pull', { ...WIDE, colorScheme: 'light' }],
];

/** Length of the animation in story seconds, seconds per frame, and display time per frame. */
const ANIMATION_SECONDS = 20;
const FRAME_STEP = 0.5;
const FRAME_MS = 200;

async function captureFrames(url: string, server: FakeServer, folder: string): Promise<string[]> {
  const clock = (t: number): number => ORIGIN + t * 1000;
  const { page, close } = await openPage(url, {
    ...WIDE,
    deviceScale: 1,
    reducedMotion: true,
    clock: clock(STORY.viewAt),
  });
  await waitUntil('snapshot loaded', async () => (await syncState(page)) === 'synced');
  const files: string[] = [];
  for (let t = STORY.viewAt; t < STORY.viewAt + ANIMATION_SECONDS; t += FRAME_STEP) {
    await page.clock.setFixedTime(clock(t));
    server.feed.advanceTo(t);
    const file = join(folder, `${String(files.length).padStart(3, '0')}.png`);
    await writeFile(file, await stableScreenshot(page));
    files.push(file);
  }
  await close();
  return files;
}

async function animation(url: string, server: FakeServer, out: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'pictures-'));
  try {
    const files = await captureFrames(url, server, folder);
    const options = ['-loop', '0', '-min_size', '-d', String(FRAME_MS), '-lossy', '-q', '60', '-m', '4'];
    await promisify(execFile)('img2webp', [...options, ...files, '-o', out]);
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
        await captureScreen(server, url, screens(STORY)[screen] ?? '#/', look),
      );
    }
    await animation(url, server, join(out, 'overview.webp'));
  } finally {
    await shutdown();
    await server.stop();
  }
}
