// Every story on its screens, in both themes and on a phone: accessible, no requests to other
// origins, no policy violations, no horizontal overflow.

import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { screens } from '../../sim/screens';
import { FakeServer } from '../../sim/server';
import { STORIES } from '../../sim/stories';
import {
  accessibility,
  goTo,
  type OpenedPage,
  openPage,
  overflow,
  shutdown,
  syncState,
  waitUntil,
} from './browser';

let server: FakeServer;
let opened: OpenedPage | undefined;

afterEach(async () => {
  await opened?.close();
  opened = undefined;
  await server.stop();
});
afterAll(shutdown);

/** Stories that are checked on all screens; the others are checked on three. */
const ALL_SCREENS = ['rollout', 'failed', 'hostile', 'init-pod', 'idle', 'no-agents', 'pods-off'];
const MAIN_SCREENS = ['overview', 'pulls', 'pull'];

const cases = STORIES.map((story) => {
  const screensShown = Object.entries(screens(story));
  return [
    story.name,
    story,
    ALL_SCREENS.includes(story.name)
      ? screensShown
      : screensShown.filter(([name]) => MAIN_SCREENS.includes(name)),
  ] as const;
});

describe.each(cases)('%s', (_, story, screensShown) => {
  test(story.description, async () => {
    server = new FakeServer({ story });
    opened = await openPage(await server.start(), { reducedMotion: true });
    const { page, problems } = opened;
    await waitUntil(
      'snapshot loaded',
      async () => (await syncState(page)) === (story.unfinished ? 'loading' : 'synced'),
    );
    server.feed.advanceTo(story.viewAt);
    const found: string[] = [];
    for (const [screen, hash] of screensShown) {
      await goTo(page, hash);
      for (const colorScheme of ['dark', 'light'] as const) {
        await page.emulateMedia({ colorScheme });
        for (const fault of await accessibility(page)) found.push(`${screen}, ${colorScheme}: ${fault}`);
      }
      if ((await overflow(page)) !== 0) found.push(`${screen}: wider than the window`);
      await page.setViewportSize({ width: 390, height: 844 });
      if ((await overflow(page)) !== 0) found.push(`${screen}: wider than a phone`);
      for (const fault of await accessibility(page)) found.push(`${screen}, phone: ${fault}`);
      await page.setViewportSize({ width: 1440, height: 900 });
    }
    expect(found).toEqual([]);
    expect(await problems()).toEqual([]);
  });
});
