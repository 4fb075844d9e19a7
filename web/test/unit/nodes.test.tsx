import { screen, within } from '@testing-library/react';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NodeState } from '../../src/api/gen/wire';
import {
  axisShare,
  formatClockOffset,
  matchesFilter,
  needsAttention,
  nodeEntries,
  nodeMatches,
  pullsOfNode,
  timelineAxis,
  timelineSpans,
} from '../../src/model/nodes';
import { OPTION, REGION } from '../names';
import { at, ended, node, pull, T0 } from './fixtures';
import { type TestPage, testPage } from './testPage';

const ms = (seconds: number): number => Date.parse(at(seconds));

test('node entry counts pulls by state', () => {
  const [n1, n2, n3] = nodeEntries(
    [node('n1', { bytesPerSec: 7, agentVersion: '0.2.0' }), node('n2', { state: 'lost', bytesPerSec: 7 })],
    [
      pull('a'),
      pull('b', { stalledSince: at(1) }),
      pull('c', { phase: 'queued' }),
      ended('d'),
      ended('e', { outcome: 'failed', phase: 'failed' }),
      pull('f', { nodeName: 'n3' }),
    ],
  );
  expect(n1).toMatchObject({ running: 2, queued: 1, stalled: 1, ended: 2, failed: 1, speed: 7 });
  // The state of a silent node is unknown.
  expect(n2).toMatchObject({ state: 'lost', speed: undefined, running: 0, silentSince: T0 });
  expect(n1?.silentSince).toBeUndefined();
  expect(n3).toMatchObject({ name: 'n3', state: undefined, running: 1, silentSince: undefined });
});

test('nodes are filtered by problem and by text', () => {
  const [well, silent, off, busy] = nodeEntries(
    [
      node('well', { clockOffsetMs: 400 }),
      node('silent', { state: 'lost' }),
      node('off', { clockOffsetMs: -3_600_000 }),
      node('busy', { runtimeVersion: 'containerd://2.4' }),
    ],
    [pull('a', { nodeName: 'busy' })],
  );
  if (!well || !silent || !off || !busy) throw new Error('no nodes');
  expect([well, silent, off, busy].map(needsAttention)).toEqual([false, true, true, false]);
  expect([well, silent, off, busy].map((each) => matchesFilter(each, 'pulling'))).toEqual([
    false,
    false,
    false,
    true,
  ]);
  expect(nodeMatches(silent, ['lost'])).toBe(true);
  expect(nodeMatches(busy, ['bus', 'containerd'])).toBe(true);
  expect(nodeMatches(busy, ['lost'])).toBe(false);
});

test('clock offset is formatted with its direction', () => {
  expect(formatClockOffset(undefined)).toBeUndefined();
  expect(formatClockOffset(-40)).not.toMatch(/\d/);
  const [behind, ahead] = [formatClockOffset(2_500), formatClockOffset(-2_500)];
  expect(behind).toMatch(/^2\.5 s /);
  expect(ahead).toMatch(/^2\.5 s /);
  expect(ahead).not.toBe(behind);
  expect(formatClockOffset(-3_600_000)).toMatch(/^1 h 00 m /);
});

test('node pulls list running, queued, then ended', () => {
  const ids = pullsOfNode(
    [
      ended('old', { completedAt: at(5) }),
      pull('second', { phase: 'queued', startedAt: at(2) }),
      ended('new', { completedAt: at(9) }),
      pull('first', { phase: 'queued', startedAt: at(1) }),
      pull('runs', { startedAt: at(3) }),
      pull('other', { nodeName: 'n2' }),
    ],
    'n1',
  ).map(({ id }) => id);
  expect(ids).toEqual(['runs', 'first', 'second', 'new', 'old']);
});

test('timeline axis covers all pulls in round steps', () => {
  const axis = timelineAxis([pull('a', { startedAt: at(3), etaSeconds: 20 })], ms(33));
  expect(axis.start).toBeLessThanOrEqual(ms(3));
  expect(axis.end).toBeGreaterThanOrEqual(ms(53));
  expect(axis.ticks.length).toBeGreaterThan(2);
  for (const tick of axis.ticks) expect(tick % 10_000).toBe(0);
  // The future does not squeeze the past.
  const far = timelineAxis([pull('a', { startedAt: at(0), etaSeconds: 90_000 })], ms(60));
  expect(axisShare(far, ms(60))).toBeGreaterThan(0.4);
  // Clocks that are behind do no harm.
  const skewed = timelineAxis([pull('a', { startedAt: at(90) }), pull('b', { startedAt: 'never' })], ms(60));
  expect(skewed.end).toBeGreaterThan(skewed.start);
});

test('timeline spans follow observed phases without overlap', () => {
  const complete = ended('a', {
    queuedAt: at(0),
    startedAt: at(10),
    downloadingAt: at(11),
    extractingAt: at(20),
    completedAt: at(30),
  });
  const axis = timelineAxis([complete], ms(60));
  const parts = timelineSpans(complete, axis);
  expect(parts.map(({ kind }) => kind)).toEqual(['queued', 'resolving', 'downloading', 'extracting']);
  for (const [index, { from, to }] of parts.entries()) {
    expect(to).toBeGreaterThanOrEqual(from);
    if (index > 0) expect(from).toBe(parts[index - 1]?.to);
  }
  const live = pull('b', { startedAt: at(10), downloadingAt: at(12), etaSeconds: 5 });
  expect(timelineSpans(live, axis).map(({ kind }) => kind)).toEqual([
    'resolving',
    'downloading',
    'projected',
  ]);
  // The start of the download was not observed.
  expect(timelineSpans(pull('d', { startedAt: at(10) }), axis).map(({ kind }) => kind)).toEqual([
    'downloading',
  ]);
  // The state of a stale pull is unknown.
  const [, stale] = timelineSpans({ ...live, staleSince: at(20) }, axis);
  expect(stale?.to).toBeCloseTo(axisShare(axis, ms(20)));
  expect(timelineSpans({ ...live, staleSince: at(20) }, axis)).toHaveLength(2);
  expect(timelineSpans(pull('c', { phase: 'queued', startedAt: at(5) }), axis)).toMatchObject([
    { kind: 'queued' },
  ]);
});

let page: TestPage;
beforeEach(() => {
  page = testPage();
});
afterEach(() => page.close());

const show = async (hash: string) => {
  window.location.hash = hash;
  await import('../../src/pages/lazyPages');
  await page.show();
};
const row = (name: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(`[data-node-row="${name}"]`);
  if (!found) throw new Error(`no row ${name}`);
  return found;
};
const names = () =>
  [...document.querySelectorAll<HTMLElement>('[data-node-row]')].map((each) => each.dataset.nodeRow);

test('page lists nodes with their problems', async () => {
  await show('#/nodes');
  page.pushFrame(1, {
    nodes: [
      node('well', { runtimeVersion: 'containerd://2.4.2', bytesPerSec: 2 ** 20 }),
      node('silent', { state: 'lost', lastReportAt: at(-40), bytesPerSec: 2 ** 20 }),
      node('twice', { state: 'conflict' }),
      node('later', { state: 'resting_now' as NodeState }),
      node('off', { clockOffsetMs: 60_000 }),
    ],
    rows: [
      pull('a', { nodeName: 'well' }),
      ended('b', { nodeName: 'well', phase: 'failed', outcome: 'failed' }),
    ],
  });
  // Speed, then the numbers of running, queued, stalled and failed pulls.
  expect(row('well').textContent).toContain('1.00 MiB/s1001');
  expect(row('silent').textContent).toMatch(/ 41 s–/);
  expect(['well', 'silent', 'twice'].map((name) => row(name).dataset.state)).toEqual([
    'live',
    'lost',
    'conflict',
  ]);
  expect(row('later').textContent).toContain('resting now');
  expect(row('off').textContent).toContain('1 m 00 s ');
  expect(within(row('well')).getByRole('link').getAttribute('href')).toBe('#/nodes/well');
  await page.user.click(screen.getByRole('radio', { name: `${OPTION.pulling} 1` }));
  expect(names()).toEqual(['well']);
  await page.user.click(screen.getByRole('radio', { name: `${OPTION.unhealthy} 5` }));
  expect(names()).toHaveLength(5);
  expect(window.location.hash).toBe('#/nodes?show=trouble');
});

test('node page shows pulls on one axis', async () => {
  await show('#/nodes/n1');
  page.pushFrame(1, {
    nodes: [node('n1', { agentVersion: '0.2.0', lastReportAt: T0 })],
    rows: [
      pull('a', { percent: 40, startedAt: at(-30), downloadingAt: at(-28), etaSeconds: 20 }),
      ended('b', { startedAt: at(-60), downloadingAt: at(-59), extractingAt: at(-50), completedAt: at(-40) }),
      pull('c', { nodeName: 'n2' }),
    ],
  });
  const lines = [...document.querySelectorAll<HTMLElement>('[data-timeline]')];
  expect(lines.map((line) => line.dataset.timeline)).toEqual(['a', 'b']);
  expect(lines.map((line) => line.dataset.state)).toEqual(['downloading', 'completed']);
  expect(lines[0]?.textContent).toMatch(/40 %~20 s/);
  // The durations of the phases, for screen readers.
  expect(lines[1]?.textContent).toMatch(/ 1\.0 s\D+ 9\.0 s\D+ 10\.0 s/);
  expect(
    within(lines[0] as HTMLElement)
      .getByRole('link')
      .getAttribute('href'),
  ).toBe('#/pulls/a');
  expect(screen.getByRole('region', { name: REGION.status }).textContent).toContain('0.2.0');
  await page.navigate('#/nodes/n9');
  expect(document.querySelector('[data-message="unknown-node"]')).toBeTruthy();
});
