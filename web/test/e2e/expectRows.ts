// Compares the pulls table with the server's rows.

import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import type { PullStatus } from '../../src/api/gen/wire';
import { bytes, duration, percent, speed } from '../../src/model/format';
import { imageName } from '../../src/model/image';
import { failureText, isFresh, isLive, pullDuration } from '../../src/model/pull';
import { rows, type ShownRow, waitUntil } from './browser';

/** The table with all comparable columns, in a window that fits the rows. */
export const TABLE = '#/pulls?cols=node,progress,bytes,speed,eta,layers,pods';
export const TALL = { width: 1900, height: 2000 };

/** The sizes that a row shows; unknown ones are not shown. A failed row shows its reason instead. */
export function expectedBytes(row: PullStatus): string[] {
  if (isLive(row)) return row.totalKnown ? known(row.downloadedBytes, row.toDownloadBytes) : [];
  return row.outcome === 'failed' ? [] : known(row.totalBytes);
}
const known = (...values: (number | undefined)[]): string[] =>
  values.filter((value) => value !== undefined).map((value) => bytes(value));

/** Progress of a live pull, or the result of an ended one, as displayed. */
export function expectedRow(row: PullStatus): Partial<ShownRow> {
  const { name, version } = imageName(row);
  const shown = {
    id: row.id,
    node: row.nodeName,
    phase: row.phase,
    image: [name, version].filter(Boolean).join(' '),
  };
  if (isLive(row)) {
    return {
      ...shown,
      percent: percent(row.percent),
      bytes: expectedBytes(row),
      speed: speed(isFresh(row) ? row.bytesPerSec : undefined),
    };
  }
  if (row.outcome === 'failed')
    return { ...shown, reason: failureText(row) ?? '', hint: row.failure?.hint ?? '' };
  return { ...shown, bytes: expectedBytes(row), took: duration(pullDuration(row)) };
}

const byId = (a: { id?: string }, b: { id?: string }): number => ((a.id ?? '') < (b.id ?? '') ? -1 : 1);
const sorted = (list: readonly object[]): object[] =>
  list.map((row) => Object.fromEntries(Object.entries(row).sort()));

/**
 * Waits until the page shows the server's rows; on a timeout the assertion reports the difference.
 */
export async function expectRows(page: Page, serverRows: () => readonly PullStatus[]): Promise<void> {
  const expected = () => serverRows().map(expectedRow).sort(byId);
  const shown = async () => {
    const fields = new Map(expected().map((row) => [row.id, Object.keys(row)]));
    return (await rows(page))
      .sort(byId)
      .map((row): object =>
        Object.fromEntries(
          Object.entries(row).filter(([field]) => fields.get(row.id)?.includes(field) ?? field === 'id'),
        ),
      );
  };
  const same = async () => JSON.stringify(sorted(await shown())) === JSON.stringify(sorted(expected()));
  await waitUntil('rows match the server', same, 10_000).catch(() => {});
  expect(await shown()).toEqual(expected());
}
