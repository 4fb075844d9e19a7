// The page over a real server, a real agent and a real containerd. Whoever starts this (the testkit's `fleet`)
// says where the server is, and does what is asked for by a line to `$PULLTRACE_STAGE`.

import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import type { Page } from 'playwright-core';
import { afterAll, expect, test } from 'vitest';
import type { PullList, PullStatus } from '../../src/api/gen/wire';
import { bytes } from '../../src/model/format';
import { imageName } from '../../src/model/image';
import { isLive } from '../../src/model/pull';
import { connection, open, rows, type ShownRow, shutdown, sync, until } from './browser';

const OUT = `${import.meta.dirname}/out`;
mkdirSync(OUT, { recursive: true });

const { PULLTRACE_URL: url = '', PULLTRACE_STAGE: stage = '' } = process.env;
if (!url || !stage) {
  throw new Error(
    'PULLTRACE_URL and PULLTRACE_STAGE are not set: cargo test -p pulltrace-testkit --test fleet',
  );
}

/** The table of all pulls: few enough of them to be drawn all. */
const pulls = `${url}/#/pulls`;

const [host = '', port = ''] = stage.split(':');
const socket = connect(Number(port), host);
const answers = createInterface(socket)[Symbol.asyncIterator]();

/** Asks for something to happen, and waits until it has. */
async function ask(line: string): Promise<void> {
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

/** An ended row shows none. */
const share = (row: ShownRow | undefined): number => Number.parseInt(row?.percent ?? '', 10);
const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);

/** What of a row must be as the list says. */
const said = (pull: PullStatus) => {
  const { name, version } = imageName(pull);
  // In the place of what a failed one weighs is why it failed.
  const ended = pull.phase === 'failed' ? '' : bytes(pull.totalBytes);
  return {
    id: pull.id,
    node: pull.nodeName,
    phase: pull.phase as string,
    image: [name, version].filter(Boolean).join(' '),
    amount: isLive(pull)
      ? pull.totalKnown
        ? `${bytes(pull.downloadedBytes)} of ${bytes(pull.toDownloadBytes)}`
        : 'size not known yet'
      : ended,
  };
};

const shown = ({ id, node, phase, image, bytes: amount }: ShownRow) => ({ id, node, phase, image, amount });

/** Waits until the page shows what the list says: the same pulls, each as far, and none further. */
async function agrees(page: Page): Promise<PullStatus[]> {
  let of: PullStatus[] = [];
  let on: ShownRow[] = [];
  const same = async () => {
    on = (await rows(page)).sort(byId);
    of = (await list()).sort(byId);
    return JSON.stringify(on.map(shown)) === JSON.stringify(of.map(said));
  };
  await until('the page shows what the list says', same).catch(() => {});
  expect(on.map(shown)).toEqual(of.map(said));
  for (const row of on) {
    const { percent = 0 } = of.find(({ id }) => id === row.id) ?? {};
    if (share(row) >= 0) expect(share(row), row.image).toBeLessThanOrEqual(percent);
  }
  return of;
}

/** Looks at the page again and again, and writes down what cannot be true. */
class Watch {
  #over = false;
  #done: Promise<void>;
  readonly untrue: string[] = [];

  constructor(page: Page, ids: Set<string>) {
    this.#done = this.#watch(page, ids);
  }

  async #watch(page: Page, ids: Set<string>): Promise<void> {
    const before = new Map<string, ShownRow>();
    while (!this.#over) {
      const now = await rows(page);
      const shown = now.map((row) => row.id).sort();
      if (shown.join() !== [...ids].sort().join()) {
        this.untrue.push(`${await connection(page)}, ${await sync(page)}: ${shown.length} rows: ${shown}`);
      }
      for (const row of now) {
        const was = before.get(row.id);
        if (share(was) >= 0 && row.percent && !(share(row) >= share(was))) {
          this.untrue.push(`${row.image} went from ${was?.percent} to ${row.percent}`);
        }
        if (was && !was.percent && was.phase !== row.phase) {
          this.untrue.push(`${row.image} was ${was.phase} and is ${row.phase}`);
        }
        before.set(row.id, row);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.#done;
  }
}

test('over restarts of server and agent the page shows what is true', async () => {
  const { page, faults, close } = await open(pulls);
  await page.evaluate(() => Object.assign(window, { pulltraceSame: true }));
  await until('the snapshot is whole', async () => (await sync(page)) === 'whole');
  const begun = await agrees(page);
  expect(begun.filter(isLive)).toHaveLength(5);
  const ids = new Set(begun.map(({ id }) => id));
  const watch = new Watch(page, ids);
  await page.screenshot({ path: `${OUT}/real-dark.png`, fullPage: true });

  // Three end while nobody can tell it.
  await ask('kill server');
  await until('the page says that it is cut off', async () => (await connection(page)) === 'lost');
  await ask('release shared');
  await ask('start server');
  const phase = async (name: string) =>
    (await list()).find((pull) => imageName(pull).name === name)?.phase as string | undefined;
  const all = async (names: string[], word: string) => {
    const phases = await Promise.all(names.map(phase));
    return phases.every((found) => found === word);
  };
  await until('the ends arrived', () => all(['one', 'two', 'quick'], 'completed'), 60_000);
  await until('the page is live', async () => (await connection(page)) === 'live', 60_000);
  expect(new Set((await agrees(page)).map(({ id }) => id))).toEqual(ids);

  await ask('kill agent');
  await ask('start agent');
  await until('the others load', () => all(['held', 'broken'], 'downloading'), 60_000);
  await agrees(page);
  await ask('break');
  await until('one failed', () => all(['broken'], 'failed'), 60_000);
  await agrees(page);
  const light = await open(pulls, { colorScheme: 'light' });
  await until('the snapshot is whole', async () => (await sync(light.page)) === 'whole');
  await agrees(light.page);
  await light.page.screenshot({ path: `${OUT}/real-light.png`, fullPage: true });
  expect(await light.faults()).toEqual([]);
  await light.close();
  await ask('release held');
  await until('the last is completed', () => all(['held'], 'completed'), 60_000);
  const ended = await agrees(page);
  await watch.stop();

  expect(watch.untrue).toEqual([]);
  expect(ended.map(said).sort(byId)).toEqual((await list()).map(said).sort(byId));
  const outcome = (name: string) => ended.find((pull) => imageName(pull).name === name)?.outcome;
  expect(['one', 'two', 'quick', 'held', 'broken'].map(outcome)).toEqual([
    'completed',
    'completed',
    'completed',
    'completed',
    'failed',
  ]);
  const broken = (await rows(page)).find(({ phase: word }) => word === 'failed');
  expect(broken).toMatchObject({ state: 'Failed', reason: 'the runtime does not say why' });
  // Never loaded again.
  expect(await page.evaluate(() => 'pulltraceSame' in window)).toBe(true);
  expect(await faults()).toEqual([]);
  await close();
});
