// How fast the page is under load, in a real browser on the built page: npm run bench
//
//   --dist DIR     where the built page is
//   --minutes N    how the heap grows within N minutes, instead
//   --seconds N    how long each window is, 20 where it is not said

import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { CDPSession, Page } from 'playwright-core';
import { Load, type LoadOptions } from '../sim/load';
import { PageServer } from '../sim/server';
import { open, shutdown, sync, until } from '../test/e2e/browser';

const SETTLE_MS = 8_000;
const KEYS = 12;
const MiB = 1024 * 1024;

interface Run extends LoadOptions {
  hash: string;
  /** The most of the main thread that it may take. */
  busy: number;
}

const RUNS: readonly Run[] = [
  { pulls: 5_000, updatesPerSecond: 2_000, hash: '#/pulls', busy: 0.1 },
  { pulls: 5_000, updatesPerSecond: 2_000, hash: '#/', busy: 0.1 },
  { pulls: 20_000, updatesPerSecond: 10_000, hash: '#/pulls', busy: 0.15 },
];
const FPS = 60;
/** What is taken for 60 frames a second: one that is counted at an edge of the window does not matter. */
const FPS_ENOUGH = 59;
/** The most that the heap may grow in a long run, as a share. */
const GROWTH = 0.1;

interface Found {
  fps: number;
  busy: number;
  /** Of that what the processor worked: less than `busy` where other programs took it away. */
  worked: number;
  longestTask: number;
  heap: number;
  elements: number;
  key: number;
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function metric(session: CDPSession, name: string): Promise<number> {
  const { metrics } = await session.send('Performance.getMetrics');
  return metrics.find((each) => each.name === name)?.value ?? Number.NaN;
}

async function heap(session: CDPSession): Promise<number> {
  await session.send('HeapProfiler.collectGarbage');
  return metric(session, 'JSHeapUsedSize');
}

/** Begins to count frames and to note long tasks and slow keys. */
const watch = (page: Page): Promise<void> =>
  page.evaluate(() => {
    const seen = { frames: 0, since: performance.now(), longestTask: 0, keys: [] as number[] };
    Object.assign(window, { pulltraceSeen: seen });
    const frame = (): void => {
      seen.frames += 1;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.longestTask = Math.max(seen.longestTask, duration);
    }).observe({ type: 'longtask' });
    new PerformanceObserver((list) => {
      for (const { name, duration } of list.getEntries()) if (name === 'keydown') seen.keys.push(duration);
    }).observe({ type: 'event', durationThreshold: 16 } as PerformanceObserverInit);
  });

interface Seen {
  frames: number;
  since: number;
  longestTask: number;
  keys: number[];
}

const seen = (page: Page): Promise<Seen & { now: number }> =>
  page.evaluate(() => ({
    ...(window as unknown as { pulltraceSeen: Seen }).pulltraceSeen,
    now: performance.now(),
  }));

async function opened<T>(
  run: Run,
  dist: string | undefined,
  measure: (page: Page, session: CDPSession, worked: CDPSession) => Promise<T>,
): Promise<T> {
  const server = new PageServer(new Load(run), dist ? { dist } : {});
  const url = await server.start();
  try {
    const { page } = await open(`${url}${run.hash}`);
    await until('all pulls are there', async () => (await sync(page)) === 'whole', 60_000);
    const session = await page.context().newCDPSession(page);
    await session.send('Performance.enable');
    await session.send('HeapProfiler.enable');
    const worked = await page.context().newCDPSession(page);
    await worked.send('Performance.enable', { timeDomain: 'threadTicks' });
    await wait(SETTLE_MS);
    return await measure(page, session, worked);
  } finally {
    await shutdown();
    await server.stop();
  }
}

const measured =
  (seconds: number) =>
  async (page: Page, session: CDPSession, worked: CDPSession): Promise<Found> => {
    await watch(page);
    const before = await seen(page);
    const tasks = () => Promise.all([session, worked].map((each) => metric(each, 'TaskDuration')));
    const [busyBefore = 0, workedBefore = 0] = await tasks();
    await wait(seconds * 1000);
    const [busyAfter = 0, workedAfter = 0] = await tasks();
    const after = await seen(page);
    const wall = (after.now - before.now) / 1000;
    for (let i = 0; i < KEYS; i += 1) {
      await page.keyboard.press('j');
      await wait(230);
    }
    const { keys } = await seen(page);
    return {
      fps: (after.frames - before.frames) / wall,
      busy: (busyAfter - busyBefore) / wall,
      worked: (workedAfter - workedBefore) / wall,
      longestTask: after.longestTask,
      heap: await heap(session),
      elements: await page.evaluate(() => document.querySelectorAll('*').length),
      // What is quicker than the shortest duration that is told is not told.
      key: Math.max(16, ...keys),
    };
  };

function line(run: Run, found: Found): string[] {
  const good = (is: boolean): string => (is ? 'ok' : 'NOT MET');
  return [
    `${run.pulls.toLocaleString('en')} x ${run.updatesPerSecond.toLocaleString('en')}/s`,
    run.hash,
    `${found.fps.toFixed(1)} (${FPS}, ${good(found.fps >= FPS_ENOUGH)})`,
    `${(found.busy * 100).toFixed(1)} % (${run.busy * 100} %, ${good(found.busy <= run.busy)})`,
    `${(found.worked * 100).toFixed(1)} %`,
    found.longestTask === 0 ? '< 50 ms' : `${found.longestTask.toFixed(0)} ms`,
    `${(found.heap / MiB).toFixed(1)} MiB`,
    found.elements.toLocaleString('en'),
    `${found.key.toFixed(0)} ms`,
  ];
}

function table(rows: readonly string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}

/** The heap after each minute. */
async function growth(minutes: number, dist: string | undefined): Promise<void> {
  const [run] = RUNS as [Run];
  await opened(run, dist, async (page, session) => {
    const sizes: number[] = [];
    for (let minute = 0; minute <= minutes; minute += 1) {
      if (minute > 0) await wait(60_000);
      sizes.push(await heap(session));
      const elements = await page.evaluate(() => document.querySelectorAll('*').length);
      console.log(`${minute} min  ${((sizes.at(-1) ?? 0) / MiB).toFixed(1)} MiB  ${elements} elements`);
    }
    // What is made lazily in the first minute is no growth.
    const [, first = Number.NaN] = sizes;
    const grown = (sizes.at(-1) ?? 0) / first - 1;
    console.log(
      `grown by ${(grown * 100).toFixed(1)} % (${grown <= GROWTH ? 'ok' : 'NOT MET'}: at most ${GROWTH * 100} %)`,
    );
  });
}

export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      dist: { type: 'string' },
      minutes: { type: 'string' },
      seconds: { type: 'string', default: '20' },
    },
  });
  if (values.minutes) return growth(Number(values.minutes), values.dist);
  const rows = [
    ['pulls x updates', 'screen', 'fps', 'busy', 'worked', 'longest task', 'heap', 'elements', 'key press'],
  ];
  for (const run of RUNS)
    rows.push(line(run, await opened(run, values.dist, measured(Number(values.seconds)))));
  console.log(table(rows));
  const [load = 0] = loadavg();
  if (load > availableParallelism())
    console.log(`The machine had other work (load ${load.toFixed(1)}): it is faster than that.`);
}
