// Filter, order and grouping from the URL, applied to the pulls.

import { useEffect, useMemo, useRef, useState } from 'react';
import { useDataset, useLive } from '../../live/hooks';
import { compileFilter } from '../../model/filter';
import { type Arrangement, arrange, EMPTY, isVolatile, parseGroup, type TableView } from '../../model/order';
import { parseSort } from '../../model/sort';
import { SORT_KEYS } from './columns';

/** Minimum time between reorderings by values that change all the time. */
const REORDER_MS = 1_000;

export function useView(query: URLSearchParams): TableView {
  const text = query.get('q') ?? '';
  const sort = query.get('sort');
  const group = query.get('group');
  return useMemo(
    () => ({ filter: compileFilter(text), sort: parseSort(sort, SORT_KEYS), group: parseGroup(group) }),
    [text, sort, group],
  );
}

interface ArrangementState {
  view: TableView | undefined;
  arranged: Arrangement;
  /** Time of the last reordering. */
  reorderedAt: number;
}

/** `isFrozen`: rows keep their order while the user is in the table. */
export function useArrangement(view: TableView, isFrozen: boolean): Arrangement {
  const { stableIds } = useLive().store;
  const dataset = useDataset();
  const previous = useRef<ArrangementState>({
    view: undefined,
    arranged: EMPTY,
    reorderedAt: Number.NEGATIVE_INFINITY,
  });
  const [tick, setTick] = useState(0);
  const next = useMemo((): ArrangementState & { keepsOrder: boolean } => {
    // Runs again when a delayed reordering is due.
    void tick;
    const last = previous.current;
    const at = performance.now();
    const sameView = last.view === view;
    const keepsOrder =
      sameView && (isFrozen || (isVolatile(view.sort) && at - last.reorderedAt < REORDER_MS));
    const arranged = arrange(
      dataset.rows,
      view,
      stableIds.stableId,
      sameView ? last.arranged : EMPTY,
      keepsOrder,
    );
    return { view, arranged, reorderedAt: keepsOrder ? last.reorderedAt : at, keepsOrder };
  }, [dataset, view, isFrozen, tick, stableIds]);
  useEffect(() => {
    previous.current = next;
    if (!next.keepsOrder || isFrozen) return;
    const timer = setTimeout(() => setTick((n) => n + 1), next.reorderedAt + REORDER_MS - performance.now());
    return () => clearTimeout(timer);
  }, [next, isFrozen]);
  return next.arranged;
}
