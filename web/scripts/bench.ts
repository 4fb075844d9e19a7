// Measures the built page under load in a real browser: npm run bench
//
//     --dist DIR     directory of the built page
//     --minutes N    measure heap growth over N minutes instead
//     --seconds N    length of each measurement, default 20

import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { CDPSession, Page } from 'playwright-core';
import { Load, type LoadOptions } from '../sim/load';
import { PageServer } from '../sim/server';
import { openPage, shutdown, syncState, waitUntil } from '../test/e2e/browser';

const SETTLE_MS = 8_000;
const KEY_PRESSES = 12;
const MiB = 1024 * 1024;

interface Scenario extends LoadOptions {
  hash: string;
  /** Maximum share of the main thread. */
  busy: number;
}

const SCENARIOS: readonly Scenario[] = [
  { pulls: 5_000, updatesPerSecond: 2_000, hash: '#/pulls', busy: 0.1 },
  { pulls: 5_000, updatesPerSecond: 2_000, hash: '#/', busy: 0.1 },
  { pulls: 20_000, updatesPerSecond: 10_000, hash: '#/pulls', busy: 0.15 },
];
const FPS = 60;
/** Accepted as 60 fps: a frame at the edge of the measurement may be missed. */
const FPS_TOLERATED = 59;
/** Maximum heap growth in a long run, as a share. */
const MAX_GROWTH = 0.1;

interface Measurement {
  fps: number;
  busy: number;
  /** CPU time of the main thread; less than `busy` if other processes competed. */
  cpu: number;
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

/** Starts counting frames and recording long tasks and slow keys. */
const startCounting = (page: Page): Promise<void> =>
  page.evaluate(() => {
    const counters = { frames: 0, since: performance.now(), longestTask: 0, keys: [] as number[] };
    Object.assign(window, { pulltraceSeen: counters });
    const frame = (): void => {
      counters.frames += 1;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries())
        counters.longestTask = Math.max(counters.longestTask, duration);
    }).observe({ type: 'longtask' });
    new PerformanceObserver((list) => {
      for (const { name, duration } of list.getEntries())
        if (name === 'keydown') counters.keys.push(duration);
    }).observe({ type: 'event', durationThreshold: 16 } as PerformanceObserverInit);
  });

interface Counters {
  frames: number;
  since: number;
  longestTask: number;
  keys: number[];
}

const readCounters = (page: Page): Promise<Counters & { now: number }> =>
  page.evaluate(() => ({
    ...(window as unknown as { pulltraceSeen: Counters }).pulltraceSeen,
    now: performance.now(),
  }));

async function withLoadedPage<T>(
  run: Scenario,
  dist: string | undefined,
  measure: (page: Page, session: CDPSession, worked: CDPSession) => Promise<T>,
): Promise<T> {
  const server = new PageServer(new Load(run), dist ? { dist } : {});
  const url = await server.start();
  try {
    const { page } = await openPage(`${url}${run.hash}`);
    await waitUntil('all pulls loaded', async () => (await syncState(page)) === 'synced', 60_000);
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

const measureFor =
  (seconds: number) =>
  async (page: Page, session: CDPSession, worked: CDPSession): Promise<Measurement> => {
    await startCounting(page);
    const before = await readCounters(page);
    const tasks = () => Promise.all([session, worked].map((each) => metric(each, 'TaskDuration')));
    const [busyBefore = 0, workedBefore = 0] = await tasks();
    await wait(seconds * 1000);
    const [busyAfter = 0, workedAfter = 0] = await tasks();
    const after = await readCounters(page);
    const wall = (after.now - before.now) / 1000;
    for (let i = 0; i < KEY_PRESSES; i += 1) {
      await page.keyboard.press('j');
      await wait(230);
    }
    const { keys } = await readCounters(page);
    return {
      fps: (after.frames - before.frames) / wall,
      busy: (busyAfter - busyBefore) / wall,
      cpu: (workedAfter - workedBefore) / wall,
      longestTask: after.longestTask,
      heap: await heap(session),
      elements: await page.evaluate(() => document.querySelectorAll('*').length),
      // Events shorter than the threshold are not reported.
      key: Math.max(16, ...keys),
    };
  };

function tableRow(run: Scenario, found: Measurement): string[] {
  const verdict = (is: boolean): string => (is ? 'ok' : 'NOT MET');
  return [
    `${run.pulls.toLocaleString('en')} x ${run.updatesPerSecond.toLocaleString('en')}/s`,
    run.hash,
    `${found.fps.toFixed(1)} (${FPS}, ${verdict(found.fps >= FPS_TOLERATED)})`,
    `${(found.busy * 100).toFixed(1)} % (${run.busy * 100} %, ${verdict(found.busy <= run.busy)})`,
    `${(found.cpu * 100).toFixed(1)} %`,
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

/** Prints the heap after each minute. */
async function measureGrowth(minutes: number, dist: string | undefined): Promise<void> {
  const [run] = SCENARIOS as [Scenario];
  await withLoadedPage(run, dist, async (page, session) => {
    const sizes: number[] = [];
    for (let minute = 0; minute <= minutes; minute += 1) {
      if (minute > 0) await wait(60_000);
      sizes.push(await heap(session));
      const elements = await page.evaluate(() => document.querySelectorAll('*').length);
      console.log(`${minute} min  ${((sizes.at(-1) ?? 0) / MiB).toFixed(1)} MiB  ${elements} elements`);
    }
    // Lazy initialization in the first minute does not count as growth.
    const [, first = Number.NaN] = sizes;
    const growth = (sizes.at(-1) ?? 0) / first - 1;
    console.log(
      `heap growth ${(growth * 100).toFixed(1)} % (${growth <= MAX_GROWTH ? 'ok' : 'NOT MET'}: at most ${MAX_GROWTH * 100} %)`,
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
  if (values.minutes) return measureGrowth(Number(values.minutes), values.dist);
  const rows = [
    ['pulls x updates', 'screen', 'fps', 'busy', 'worked', 'longest task', 'heap', 'elements', 'key press'],
  ];
  for (const run of SCENARIOS)
    rows.push(tableRow(run, await withLoadedPage(run, values.dist, measureFor(Number(values.seconds)))));
  console.log(table(rows));
  const [load = 0] = loadavg();
  if (load > availableParallelism())
    console.log(`The system was busy (load ${load.toFixed(1)}): results are pessimistic.`);
}
