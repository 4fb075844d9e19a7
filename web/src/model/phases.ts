// How long a pull was in each of its phases.

import type { PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { isLive } from './pull';
import { lastSeen } from './waterfall';

export interface Spell {
  phase: 'queued' | 'resolving' | 'downloading' | 'extracting';
  seconds: number;
  /** Whether it goes on. */
  open: boolean;
}

/** In the order of time; those of which both ends are known, and in order. */
export function spells(pull: PullStatus, now: number): Spell[] {
  const started = instant(pull.startedAt);
  const end = lastSeen(pull, now);
  // One that is queued has not begun: its start is when it was announced.
  const marks: [Spell['phase'], number | undefined][] =
    pull.phase === 'queued'
      ? [['queued', instant(pull.queuedAt) ?? started]]
      : [
          ['queued', instant(pull.queuedAt)],
          ['resolving', started],
          ['downloading', instant(pull.downloadingAt)],
          ['extracting', instant(pull.extractingAt)],
        ];
  const known = marks.filter((mark): mark is [Spell['phase'], number] => mark[1] !== undefined);
  return known.flatMap(([phase, from], index) => {
    const last = index === known.length - 1;
    const to = last ? end : (known[index + 1]?.[1] ?? end);
    return to < from ? [] : [{ phase, seconds: (to - from) / 1000, open: last && isLive(pull) }];
  });
}

/** From its start to now, or its end; of one that is queued, from its announcement on. */
export function elapsed(pull: PullStatus, now: number): number | undefined {
  const from =
    pull.phase === 'queued' ? (instant(pull.queuedAt) ?? instant(pull.startedAt)) : instant(pull.startedAt);
  const to = lastSeen(pull, now);
  return from === undefined || to < from ? undefined : (to - from) / 1000;
}
