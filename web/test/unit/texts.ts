// Compares the texts of a surface in all its states with `golden`. Other tests assert data, not wording.
//
// After a change of wording: npm run texts, and review the difference.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { answer } from '../../sim/answer';
import { withoutLayers } from '../../sim/change';
import { screens } from '../../sim/screens';
import { storyByName } from '../../sim/stories';
import type { ServerStatus } from '../../src/api/gen/wire';
import { at, ended, node, T0 } from './fixtures';
import { pageText } from './pageText';
import { stubDialogs, stubLayout, type TestPage, testPage } from './testPage';

vi.setConfig({ testTimeout: 60_000 });
export let page: TestPage;
let width = 1440;
/** Sets the width of the window. */
export const setWidth = (pixels: number): void => {
  width = pixels;
};
beforeEach(() => {
  stubLayout(() => width);
  stubDialogs();
});
afterEach(() => page?.close());

export const main = (): string => pageText(document.querySelector('main') ?? document.body);
export const part = (selector: string): string => {
  const found = document.querySelector(selector);
  if (!found) throw new Error(`no ${selector}`);
  return pageText(found);
};

/** Starts a page that shows nothing yet. */
export function newPage(): void {
  page = testPage();
}

/** Shows a screen of a story at its view time, which is second 0 of the test clock. */
export async function story(name: string, screenName: string, hash?: string): Promise<void> {
  newPage();
  const found = storyByName(name);
  const world = found.world(found.viewAt, Date.parse(T0) - found.viewAt * 1000);
  page.serve = (path, query) => {
    const { status, body } = answer(world, 1, path.replace('api/v1/', ''), query);
    return status === 200 ? body : undefined;
  };
  await import('../../src/pages/lazyPages');
  await import('../../src/pages/pulls/Pulls');
  window.location.hash = hash ?? screens(found, world)[screenName] ?? '';
  await page.show();
  if (!found.unfinished) {
    const rows = world.rows.map(withoutLayers);
    page.pushFrame(1, { now: world.server.now, rows, nodes: [...world.nodes] });
  }
  await page.advance(300);
}

/** Shows rows at this path. */
export async function show(
  hash: string,
  more: Parameters<TestPage['pushFrame']>[1] = {},
  prepare: () => void = () => {},
): Promise<void> {
  newPage();
  prepare();
  await import('../../src/pages/lazyPages');
  await import('../../src/pages/pulls/Pulls');
  window.location.hash = hash;
  await page.show();
  page.pushFrame(1, { nodes: [node('n1')], ...more });
  await page.advance(300);
}

/** A state of a surface, and its text. */
export type State = [title: string, text: () => Promise<string>];
export const ofStory = (screenName: string, ...names: string[]): State[] =>
  names.map((name) => [
    `story ${name}`,
    async () => {
      await story(name, screenName);
      return main();
    },
  ]);

/** Compares the texts of a surface in all its states with its golden file. */
export function surface(name: string, states: readonly State[]): void {
  test(`${name} has the accepted texts`, async () => {
    const sections: string[] = [];
    for (const [title, text] of states) {
      sections.push(`=== ${title}\n\n${await text()}\n`);
      page?.close();
    }
    await expect(sections.join('\n')).toMatchFileSnapshot(`golden/${name}.txt`);
  });
}

export const link = (podName: string, more = {}) => ({
  namespace: 'shop',
  podName,
  uid: podName,
  container: 'app',
  image: 'x',
  ...more,
});
export const failed = (id: string, more: Parameters<typeof ended>[1] = {}) =>
  ended(id, {
    phase: 'failed',
    outcome: 'failed',
    failure: { reason: 'not_found', message: 'no such manifest', hint: 'check the tag', nextRetryAt: at(41) },
    ...more,
  });
export const server = (more: Partial<ServerStatus> = {}): ServerStatus => ({
  epoch: 'e',
  seq: 1,
  now: T0,
  version: '0.1.0 (0123456789ab)',
  page: 'aaaa',
  startedAt: at(-3600),
  keepsEndedSeconds: 900,
  cluster: { pods: 'live', events: 'live' },
  throughput: { stepSeconds: 2, bytesPerSec: [] },
  ...more,
});
