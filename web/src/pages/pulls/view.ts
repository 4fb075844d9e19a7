// What the address says of how the pulls are looked at, and the pulls so.

import { useEffect, useMemo, useRef, useState } from 'react';
import { useAll, useLive } from '../../live/hooks';
import { compile } from '../../model/filter';
import {
  type Arranged,
  arrange,
  isMoving,
  NOTHING,
  parseGroup,
  parseSort,
  type View,
} from '../../model/order';

/** Rows change places at most this often where the order is by something that moves. */
const REORDER_MS = 1_000;

export function useView(query: URLSearchParams): View {
  const text = query.get('q') ?? '';
  const sort = query.get('sort');
  const group = query.get('group');
  return useMemo(
    () => ({ filter: compile(text), sort: parseSort(sort), group: parseGroup(group) }),
    [text, sort, group],
  );
}

interface Before {
  view: View | undefined;
  arranged: Arranged;
  /** When rows last might change places. */
  at: number;
}

/** `held`: nothing changes places, since somebody points at it. */
export function useArranged(view: View, held: boolean): Arranged {
  const { lines } = useLive().store;
  const all = useAll();
  const before = useRef<Before>({ view: undefined, arranged: NOTHING, at: Number.NEGATIVE_INFINITY });
  const [late, setLate] = useState(0);
  const next = useMemo((): Before & { stays: boolean } => {
    // Worked out again also where only the time has come.
    void late;
    const last = before.current;
    const at = performance.now();
    const same = last.view === view;
    const stays = same && (held || (isMoving(view.sort) && at - last.at < REORDER_MS));
    const arranged = arrange(all.rows, view, lines.first, same ? last.arranged : NOTHING, stays);
    return { view, arranged, at: stays ? last.at : at, stays };
  }, [all, view, held, late, lines]);
  useEffect(() => {
    before.current = next;
    if (!next.stays || held) return;
    const timer = setTimeout(() => setLate((n) => n + 1), next.at + REORDER_MS - performance.now());
    return () => clearTimeout(timer);
  }, [next, held]);
  return next.arranged;
}
