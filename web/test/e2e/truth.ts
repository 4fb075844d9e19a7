// What the table of pulls must show of a row, from what the server says of it.

import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import type { PullStatus } from '../../src/api/gen/wire';
import { bytes, duration, percent, speed } from '../../src/model/format';
import { imageName } from '../../src/model/image';
import { isLive, isSeen, reason, took } from '../../src/model/pull';
import { rows, type ShownRow, until } from './browser';

/** The table with all that can be compared, and room for some rows. */
export const TABLE = '#/pulls?cols=node,progress,bytes,speed,eta,layers,pods';
export const TALL = { width: 1900, height: 2000 };

/** Texts that tell how far a live pull is, or what became of one that is over. */
export function expected(row: PullStatus): Partial<ShownRow> {
  const { name, version } = imageName(row);
  const shown = {
    id: row.id,
    node: row.nodeName,
    phase: row.phase,
    image: [name, version].filter(Boolean).join(' '),
  };
  if (isLive(row)) {
    const amount = `${bytes(row.downloadedBytes)} of ${bytes(row.toDownloadBytes)}`;
    return {
      ...shown,
      percent: percent(row.percent),
      bytes: row.totalKnown ? amount : row.phase === 'queued' ? 'not begun yet' : 'size not known yet',
      speed: speed(isSeen(row) ? row.bytesPerSec : undefined),
    };
  }
  if (row.outcome === 'failed') return { ...shown, reason: reason(row) ?? '', hint: row.failure?.hint ?? '' };
  const how = row.outcome === 'completed' ? 'in' : 'after';
  return { ...shown, bytes: bytes(row.totalBytes), took: `${how} ${duration(took(row))}` };
}

const byId = (a: { id?: string }, b: { id?: string }): number => ((a.id ?? '') < (b.id ?? '') ? -1 : 1);
const sorted = (list: readonly object[]): object[] =>
  list.map((row) => Object.fromEntries(Object.entries(row).sort()));

/** Waits until the page shows what `truth` says, and tells what differs where it does not. */
export async function showsTruth(page: Page, truth: () => readonly PullStatus[]): Promise<void> {
  const wanted = () => truth().map(expected).sort(byId);
  const shown = async () => {
    const fields = new Map(wanted().map((row) => [row.id, Object.keys(row)]));
    return (await rows(page))
      .sort(byId)
      .map((row): object =>
        Object.fromEntries(
          Object.entries(row).filter(([field]) => fields.get(row.id)?.includes(field) ?? field === 'id'),
        ),
      );
  };
  const same = async () => JSON.stringify(sorted(await shown())) === JSON.stringify(sorted(wanted()));
  await until('the page shows the truth', same, 10_000).catch(() => {});
  expect(await shown()).toEqual(wanted());
}
