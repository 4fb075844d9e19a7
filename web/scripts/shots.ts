// Screenshots of stories at their view time, with a fixed clock: npm run shots
//
//     --out DIR       output directory, default shots/
//     --dist DIR      directory of the built page
//     --story NAME    only these stories, separated by commas
//     --screen NAME   only these screens
//     --look NAME     only these variants: dark, light, phone
//     --check DIR     retake the accepted images in DIR and report differences

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { screens } from '../sim/screens';
import { FakeServer } from '../sim/server';
import { STORIES } from '../sim/stories';
import { ORIGIN } from '../sim/world';
import {
  openPage,
  type PageOptions,
  shutdown,
  stableScreenshot,
  syncState,
  waitUntil,
} from '../test/e2e/browser';
import { ImageComparer } from './differ';

/** Maximum share of differing pixels. */
export const MAX_DIFFERENCE = 0.001;

export const VARIANTS: Record<string, PageOptions> = {
  dark: { colorScheme: 'dark', width: 1440, height: 1000 },
  light: { colorScheme: 'light', width: 1440, height: 1000 },
  phone: { colorScheme: 'dark', width: 390, height: 844 },
};

/** Takes a screenshot of one screen. */
export async function captureScreen(
  { feed }: FakeServer,
  url: string,
  hash: string,
  look: PageOptions,
): Promise<Buffer> {
  const { viewAt, openAt = viewAt, unfinished } = feed.story;
  feed.advanceTo(openAt);
  const clock = (t: number): number => ORIGIN + t * 1000;
  const { page, close } = await openPage(url + hash, { ...look, reducedMotion: true, clock: clock(openAt) });
  try {
    const synced = async () => (await syncState(page)) === (unfinished ? 'loading' : 'synced');
    await waitUntil('snapshot loaded', synced);
    if (openAt < viewAt) {
      await waitUntil('server status loaded', () => (feed.requestCounts.get('server') ?? 0) > 0);
      feed.requestCounts.clear();
      await page.clock.setFixedTime(clock(viewAt));
      feed.advanceTo(viewAt);
      await waitUntil('server status reloaded', () => (feed.requestCounts.get('server') ?? 0) > 0);
      await waitUntil('snapshot loaded', synced);
    }
    return await stableScreenshot(page);
  } finally {
    await close();
  }
}

/** Returns whether the comma-separated list includes the name; an absent list includes all. */
const isSelected = (names: string | undefined, name: string): boolean =>
  names === undefined || names.split(',').includes(name);

export async function main(args: string[]): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: {
      out: { ...text, default: 'shots' },
      dist: text,
      story: text,
      screen: text,
      look: text,
      check: text,
    },
  });
  const { out, dist, check } = values;
  await mkdir(out, { recursive: true });
  const accepted = check === undefined ? undefined : new Set(await readdir(check));
  const comparer = new ImageComparer();
  let differing = 0;
  try {
    for (const story of STORIES.filter(({ name }) => isSelected(values.story, name))) {
      const server = new FakeServer({ story, ...(dist ? { dist } : {}) });
      const url = await server.start();
      for (const [screen, hash] of Object.entries(screens(story))) {
        if (!isSelected(values.screen, screen)) continue;
        for (const [name, look] of Object.entries(VARIANTS)) {
          if (!isSelected(values.look, name)) continue;
          const file = `${story.name}-${screen}-${name}.png`;
          if (accepted && !accepted.has(file)) continue;
          const image = await captureScreen(server, url, hash, look);
          await writeFile(join(out, file), image);
          const share =
            check === undefined ? 0 : await comparer.share(await readFile(join(check, file)), image);
          if (share > MAX_DIFFERENCE) differing += 1;
          console.log(`${file}${share > MAX_DIFFERENCE ? `  differs: ${(share * 100).toFixed(2)} %` : ''}`);
        }
      }
      await server.stop();
    }
  } finally {
    await comparer.close();
    await shutdown();
  }
  if (differing > 0) {
    console.log(`${differing} images differ from the accepted ones; see ${out}`);
    process.exitCode = 1;
  }
}
