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
import { FakeServer } from '../sim/server';
import { STORIES, type Story } from '../sim/stories';
import { ORIGIN } from '../sim/world';
import { type Options, open, picture, shutdown, sync, until } from '../test/e2e/browser';

export const LOOKS: Record<string, Options> = {
  dark: { colorScheme: 'dark', width: 1440, height: 1000 },
  light: { colorScheme: 'light', width: 1440, height: 1000 },
  phone: { colorScheme: 'dark', width: 390, height: 844 },
};

/** The screens on which a story is worth a look, with their addresses. */
export function screens(story: Story): Record<string, string> {
  const { rows, pods } = story.world(story.from);
  const pull = rows.find((row) => !row.outcome && row.layers) ?? rows.find((row) => row.phase !== 'queued');
  const pod = pods.find(({ images }) => images.length > 1) ?? pods.find(({ ready }) => !ready);
  return {
    overview: '#/',
    pulls: '#/pulls',
    images: '#/images',
    nodes: '#/nodes',
    failures: '#/failures',
    ...(pull ? { pull: `#/pulls/${encodeURIComponent(pull.id)}` } : {}),
    ...(pod ? { pod: `#/pods/${encodeURIComponent(pod.namespace)}/${encodeURIComponent(pod.podName)}` } : {}),
  };
}

/** A picture of one screen. */
export async function shot(url: string, hash: string, story: Story, look: Options): Promise<Buffer> {
  const opened = await open(url + hash, { ...look, still: true, clock: ORIGIN + story.from * 1000 });
  try {
    const wanted = story.unfinished ? 'filling' : 'whole';
    await until('the snapshot is there', async () => (await sync(opened.page)) === wanted);
    return await picture(opened.page);
  } finally {
    await opened.close();
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
          await writeFile(file, await shot(url, hash, story, look));
          console.log(file);
        }
      }
      await server.stop();
    }
  } finally {
    await shutdown();
  }
}
