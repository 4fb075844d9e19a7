// The page over a real server, agent and containerd. The testkit's `fleet` starts this test, passes
// the server's URL, and performs the steps that the test writes to `$PULLTRACE_STAGE`.

import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { Page } from 'playwright-core';
import { afterAll, expect, test } from 'vitest';
import { FAILURE_TITLES } from '../../src/api/gen/failures';
import type { PullList, PullStatus } from '../../src/api/gen/wire';
import { imageName } from '../../src/model/image';
import { isLive } from '../../src/model/pull';
import { connectionState, openPage, rows, type ShownRow, shutdown, syncState, waitUntil } from './browser';
import { expectedBytes } from './expectRows';

const OUT = `${import.meta.dirname}/out`;
mkdirSync(OUT, { recursive: true });

const { PULLTRACE_URL: url = '', PULLTRACE_STAGE: stage = '' } = process.env;
if (!url || !stage) {
  throw new Error(
    'PULLTRACE_URL or PULLTRACE_STAGE not set; run `cargo test -p pulltrace-testkit --test fleet`',
  );
}

/** The pulls table; there are few enough pulls to render all. */
const pulls = `${url}/#/pulls`;

const [host = '', port = ''] = stage.split(':');
const socket = connect(Number(port), host);
const answers = createInterface(socket)[Symbol.asyncIterator]();

/** Runs a step of the testkit and waits until it is done. */
async function runStep(line: string): Promise<void> {
  socket.write(`${line}\n`);
  expect((await answers.next()).value, line).toBe('done');
}

afterAll(async () => {
  socket.destroy();
  await shutdown();
});

async function list(): Promise<PullStatus[]> {
  const answer = await fetch(`${url}/api/v1/pulls`);
  return ((await answer.json()) as PullList).pulls;
}

/** NaN for ended rows, which show no percentage. */
const share = (row: ShownRow | undefined): number => Number.parseInt(row?.percent ?? '', 10);
const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);

/** Fields of a row that must match the API. */
const expectedRow = (pull: PullStatus) => {
  const { name, version } = imageName(pull);
  return {
    id: pull.id,
    node: pull.nodeName,
    phase: pull.phase as string,
    image: [name, version].filter(Boolean).join(' '),
    amount: expectedBytes(pull),
  };
};

const shown = ({ id, node, phase, image, bytes: amount }: ShownRow) => ({ id, node, phase, image, amount });

/** Waits until the page shows the pulls of the API, with at most the API's progress. */
async function expectAgreement(page: Page): Promise<PullStatus[]> {
  let listed: PullStatus[] = [];
  let drawn: ShownRow[] = [];
  const same = async () => {
    drawn = (await rows(page)).sort(byId);
    listed = (await list()).sort(byId);
    return JSON.stringify(drawn.map(shown)) === JSON.stringify(listed.map(expectedRow));
  };
  await waitUntil('page matches the API', same).catch(() => {});
  expect(drawn.map(shown)).toEqual(listed.map(expectedRow));
  for (const row of drawn) {
    const { percent = 0 } = listed.find(({ id }) => id === row.id) ?? {};
    if (share(row) >= 0) expect(share(row), row.image).toBeLessThanOrEqual(percent);
  }
  return listed;
}

/** Polls the page and records contradictions. */
class ConsistencyWatch {
  #stopped = false;
  #done: Promise<void>;
  readonly contradictions: string[] = [];

  constructor(page: Page, ids: Set<string>) {
    this.#done = this.#watch(page, ids);
  }

  async #watch(page: Page, ids: Set<string>): Promise<void> {
    const before = new Map<string, ShownRow>();
    while (!this.#stopped) {
      const now = await rows(page);
      const shown = now.map((row) => row.id).sort();
      if (shown.join() !== [...ids].sort().join()) {
        this.contradictions.push(
          `${await connectionState(page)}, ${await syncState(page)}: ${shown.length} rows: ${shown}`,
        );
      }
      for (const row of now) {
        const previous = before.get(row.id);
        if (share(previous) >= 0 && row.percent && !(share(row) >= share(previous))) {
          this.contradictions.push(`${row.image} decreased from ${previous?.percent} to ${row.percent}`);
        }
        if (previous && !previous.percent && previous.phase !== row.phase) {
          this.contradictions.push(`${row.image} changed from ${previous.phase} to ${row.phase}`);
        }
        before.set(row.id, row);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

test('page stays correct across server and agent restarts', async () => {
  const { page, problems, close } = await openPage(pulls);
  await page.evaluate(() => Object.assign(window, { pulltraceSame: true }));
  await waitUntil('snapshot loaded', async () => (await syncState(page)) === 'synced');
  const started = await expectAgreement(page);
  expect(started.filter(isLive)).toHaveLength(5);
  const ids = new Set(started.map(({ id }) => id));
  const watch = new ConsistencyWatch(page, ids);
  await page.screenshot({ path: `${OUT}/real-dark.png`, fullPage: true });

  // Three pulls end while the server is down.
  await runStep('kill server');
  await waitUntil('page is disconnected', async () => (await connectionState(page)) === 'lost');
  await runStep('release shared');
  await runStep('start server');
  const phase = async (name: string) =>
    (await list()).find((pull) => imageName(pull).name === name)?.phase as string | undefined;
  const all = async (names: string[], word: string) => {
    const phases = await Promise.all(names.map(phase));
    return phases.every((found) => found === word);
  };
  await waitUntil('ended pulls reported', () => all(['one', 'two', 'quick'], 'completed'), 60_000);
  await waitUntil('page is live', async () => (await connectionState(page)) === 'live', 60_000);
  expect(new Set((await expectAgreement(page)).map(({ id }) => id))).toEqual(ids);

  await runStep('kill agent');
  await runStep('start agent');
  await waitUntil('other pulls downloading', () => all(['held', 'broken'], 'downloading'), 60_000);
  await expectAgreement(page);
  await runStep('break');
  await waitUntil('broken pull failed', () => all(['broken'], 'failed'), 60_000);
  await expectAgreement(page);
  const light = await openPage(pulls, { colorScheme: 'light' });
  await waitUntil('snapshot loaded', async () => (await syncState(light.page)) === 'synced');
  await expectAgreement(light.page);
  await light.page.screenshot({ path: `${OUT}/real-light.png`, fullPage: true });
  expect(await light.problems()).toEqual([]);
  await light.close();
  await runStep('release held');
  await waitUntil('last pull completed', () => all(['held'], 'completed'), 60_000);
  const ended = await expectAgreement(page);
  await watch.stop();

  expect(watch.contradictions).toEqual([]);
  expect(ended.map(expectedRow).sort(byId)).toEqual((await list()).map(expectedRow).sort(byId));
  const outcome = (name: string) => ended.find((pull) => imageName(pull).name === name)?.outcome;
  expect(['one', 'two', 'quick', 'held', 'broken'].map(outcome)).toEqual([
    'completed',
    'completed',
    'completed',
    'completed',
    'failed',
  ]);
  const broken = (await rows(page)).find(({ phase: word }) => word === 'failed');
  expect(broken).toMatchObject({ state: 'failed', reason: FAILURE_TITLES.unexplained });
  // The page was never reloaded.
  expect(await page.evaluate(() => 'pulltraceSame' in window)).toBe(true);
  expect(await problems()).toEqual([]);
  await close();
});
