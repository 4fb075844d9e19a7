// Pictures of stories at their look, with the clock standing still: npm run shots
//
//   --out DIR       where to put them, shots/ where it is not said
//   --dist DIR      where the built page is
//   --story NAME    only these stories, joined by commas
//   --screen NAME   only these screens
//   --look NAME     only these looks: dark, light, phone
//   --check DIR     take those pictures anew that are there, and tell which look otherwise: a person has accepted them

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { screens } from '../sim/screens';
import { FakeServer } from '../sim/server';
import { STORIES } from '../sim/stories';
import { ORIGIN } from '../sim/world';
import { type Options, open, picture, shutdown, sync, until } from '../test/e2e/browser';
import { Differ } from './differ';

/** The most that a picture may differ from the accepted one, as a share of its pixels. */
export const MOST = 0.001;

export const LOOKS: Record<string, Options> = {
  dark: { colorScheme: 'dark', width: 1440, height: 1000 },
  light: { colorScheme: 'light', width: 1440, height: 1000 },
  phone: { colorScheme: 'dark', width: 390, height: 844 },
};

/** A picture of one screen. */
export async function shot({ feed }: FakeServer, url: string, hash: string, look: Options): Promise<Buffer> {
  const { from, opens = from, unfinished } = feed.story;
  feed.to(opens);
  const clock = (t: number): number => ORIGIN + t * 1000;
  const { page, close } = await open(url + hash, { ...look, still: true, clock: clock(opens) });
  try {
    const there = async () => (await sync(page)) === (unfinished ? 'filling' : 'whole');
    await until('the snapshot is there', there);
    if (opens < from) {
      await until('the page knows the server', () => (feed.counts.get('server') ?? 0) > 0);
      feed.counts.clear();
      await page.clock.setFixedTime(clock(from));
      feed.to(from);
      await until('the page asked again', () => (feed.counts.get('server') ?? 0) > 0);
      await until('the snapshot is there', there);
    }
    return await picture(page);
  } finally {
    await close();
  }
}

/** Whether one of the names that are asked for is this one; all are, where none is asked for. */
const asked = (names: string | undefined, name: string): boolean =>
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
  const differ = new Differ();
  let otherwise = 0;
  try {
    for (const story of STORIES.filter(({ name }) => asked(values.story, name))) {
      const server = new FakeServer({ story, ...(dist ? { dist } : {}) });
      const url = await server.start();
      for (const [screen, hash] of Object.entries(screens(story))) {
        if (!asked(values.screen, screen)) continue;
        for (const [name, look] of Object.entries(LOOKS)) {
          if (!asked(values.look, name)) continue;
          const file = `${story.name}-${screen}-${name}.png`;
          if (accepted && !accepted.has(file)) continue;
          const image = await shot(server, url, hash, look);
          await writeFile(join(out, file), image);
          const share =
            check === undefined ? 0 : await differ.share(await readFile(join(check, file)), image);
          if (share > MOST) otherwise += 1;
          console.log(`${file}${share > MOST ? `  looks otherwise: ${(share * 100).toFixed(2)} %` : ''}`);
        }
      }
      await server.stop();
    }
  } finally {
    await differ.close();
    await shutdown();
  }
  if (otherwise > 0) {
    console.log(`${otherwise} pictures look otherwise than those that were accepted: look at them in ${out}`);
    process.exitCode = 1;
  }
}
