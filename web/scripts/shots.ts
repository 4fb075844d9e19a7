// Pictures of stories at their look, with the clock standing still: npm run shots
//
//   --out DIR       where to put them, shots/ where it is not said
//   --dist DIR      where the built page is
//   --story NAME    only these stories, joined by commas
//   --screen NAME   only these screens
//   --look NAME     only these looks: dark, light, phone

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { screens } from '../sim/screens';
import { FakeServer } from '../sim/server';
import { STORIES } from '../sim/stories';
import { ORIGIN } from '../sim/world';
import { type Options, open, picture, shutdown, sync, until } from '../test/e2e/browser';

const LOOKS: Record<string, Options> = {
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
    options: { out: { ...text, default: 'shots' }, dist: text, story: text, screen: text, look: text },
  });
  const { out, dist } = values;
  await mkdir(out, { recursive: true });
  try {
    for (const story of STORIES.filter(({ name }) => asked(values.story, name))) {
      const server = new FakeServer({ story, ...(dist ? { dist } : {}) });
      const url = await server.start();
      for (const [screen, hash] of Object.entries(screens(story))) {
        if (!asked(values.screen, screen)) continue;
        for (const [name, look] of Object.entries(LOOKS)) {
          if (!asked(values.look, name)) continue;
          const file = join(out, `${story.name}-${screen}-${name}.png`);
          await writeFile(file, await shot(server, url, hash, look));
          console.log(file);
        }
      }
      await server.stop();
    }
  } finally {
    await shutdown();
  }
}
