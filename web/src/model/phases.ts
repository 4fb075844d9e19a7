// Durations of the phases of a pull.

import type { PullStatus } from '../api/gen/wire';
import { parseInstant } from './format';
import { isLive } from './pull';
import { lastObserved } from './waterfall';

export interface PhaseDuration {
  phase: 'queued' | 'resolving' | 'downloading' | 'extracting';
  seconds: number;
  /** True if the phase has not ended. */
  ongoing: boolean;
}

/** Phases in order; those with unknown or unordered ends are omitted. */
export function phaseDurations(pull: PullStatus, now: number): PhaseDuration[] {
  const started = parseInstant(pull.startedAt);
  const end = lastObserved(pull, now);
  // A queued pull has not started: its start time is that of the announcement.
  const phaseStarts: [PhaseDuration['phase'], number | undefined][] =
    pull.phase === 'queued'
      ? [['queued', parseInstant(pull.queuedAt) ?? started]]
      : [
          ['queued', parseInstant(pull.queuedAt)],
          ['resolving', started],
          ['downloading', parseInstant(pull.downloadingAt)],
          ['extracting', parseInstant(pull.extractingAt)],
        ];
  const knownStarts = phaseStarts.filter(
    (mark): mark is [PhaseDuration['phase'], number] => mark[1] !== undefined,
  );
  return knownStarts.flatMap(([phase, from], index) => {
    const last = index === knownStarts.length - 1;
    const to = last ? end : (knownStarts[index + 1]?.[1] ?? end);
    return to < from ? [] : [{ phase, seconds: (to - from) / 1000, ongoing: last && isLive(pull) }];
  });
}

/** Time since the start, or since the announcement for a queued pull. */
export function elapsed(pull: PullStatus, now: number): number | undefined {
  const from =
    pull.phase === 'queued'
      ? (parseInstant(pull.queuedAt) ?? parseInstant(pull.startedAt))
      : parseInstant(pull.startedAt);
  const to = lastObserved(pull, now);
  return from === undefined || to < from ? undefined : (to - from) / 1000;
}
