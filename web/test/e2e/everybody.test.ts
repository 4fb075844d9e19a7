// Each story on each screen, in both themes and on a telephone: everybody can use it, nothing is loaded from elsewhere,
// nothing breaks the policy, nothing sticks out of the window.

import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { screens } from '../../sim/screens';
import { FakeServer } from '../../sim/server';
import { STORIES } from '../../sim/stories';
import { accessibility, go, type Opened, open, overflow, shutdown, sync, until } from './browser';

let server: FakeServer;
let opened: Opened | undefined;

afterEach(async () => {
  await opened?.close();
  opened = undefined;
  await server.stop();
});
afterAll(shutdown);

/** Stories that show something on all screens; of the others three are looked at. */
const ALL = ['rollout', 'failed', 'hostile', 'init-pod', 'idle', 'no-agents', 'pods-off'];
const FEW = ['overview', 'pulls', 'pull'];

const looked = STORIES.map((story) => {
  const where = Object.entries(screens(story));
  return [
    story.name,
    story,
    ALL.includes(story.name) ? where : where.filter(([name]) => FEW.includes(name)),
  ] as const;
});

describe.each(looked)('%s', (_, story, where) => {
  test(story.shows, async () => {
    server = new FakeServer({ story });
    opened = await open(await server.start(), { still: true });
    const { page, faults } = opened;
    await until(
      'the snapshot is there',
      async () => (await sync(page)) === (story.unfinished ? 'filling' : 'whole'),
    );
    server.feed.to(story.from);
    const found: string[] = [];
    for (const [screen, hash] of where) {
      await go(page, hash);
      for (const colorScheme of ['dark', 'light'] as const) {
        await page.emulateMedia({ colorScheme });
        for (const fault of await accessibility(page)) found.push(`${screen}, ${colorScheme}: ${fault}`);
      }
      if ((await overflow(page)) !== 0) found.push(`${screen}: it is wider than the window`);
      await page.setViewportSize({ width: 390, height: 844 });
      if ((await overflow(page)) !== 0) found.push(`${screen}: it is wider than a telephone`);
      for (const fault of await accessibility(page)) found.push(`${screen}, on a telephone: ${fault}`);
      await page.setViewportSize({ width: 1440, height: 900 });
    }
    expect(found).toEqual([]);
    expect(await faults()).toEqual([]);
  });
});
