// A virtualized table of pulls, or a list of cards on narrow screens.

import { defaultRangeExtractor, type Range, useVirtualizer } from '@tanstack/react-virtual';
import { type FocusEvent, type RefObject, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Item } from '../../model/order';
import type { Sort } from '../../model/sort';
import { ariaSort, SortButton } from '../../ui/SortButton';
import { isTextInput } from '../../ui/shell/keys';
import { useFreeze } from '../../ui/useFreeze';
import { type AnyColumn, COLUMN_LAYOUTS, type Column, gridLayout } from './columns';
import { GroupHeading, GroupRow } from './GroupRow';
import { Card, Row } from './Row';
import styles from './Table.module.css';

const HEADER_HEIGHT = 32;
/** Group headings between cards. */
const GROUP_HEADING_HEIGHT = 44;
/** Rows rendered beyond the visible ones. */
const OVERSCAN = 6;

interface Props {
  items: readonly Item[];
  columns: readonly Column[];
  sort: Sort | undefined;
  /** True if grouped by state. */
  groupsAreStates: boolean;
  collapsed: ReadonlySet<string>;
  /** Opens or closes a group. */
  toggle: (key: string) => void;
  /** Cards instead of a table, on narrow screens. */
  showCards: boolean;
  rowHeight: number;
  /** Called when the pointer or focus enters or leaves. */
  setFrozen: (on: boolean) => void;
}

/** Scroll position and focused row when a pull was opened, restored on return. */
let savedPosition: { top: number; key: string } | undefined;

export function Table({
  items,
  columns,
  sort,
  groupsAreStates,
  collapsed,
  toggle,
  showCards,
  rowHeight,
  setFrozen,
}: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const [restored] = useState(() => savedPosition);
  const [focused, setFocused] = useState<string | undefined>(restored?.key);
  const head = showCards ? 0 : HEADER_HEIGHT;
  const shown = useMemo((): readonly AnyColumn[] => ['state', 'image', ...columns], [columns]);
  const focusedIndex = useMemo(
    () => (focused === undefined ? -1 : items.findIndex(({ key }) => key === focused)),
    [items, focused],
  );
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (showCards && items[index]?.kind === 'group' ? GROUP_HEADING_HEIGHT : rowHeight),
    getItemKey: useCallback((index: number) => items[index]?.key ?? index, [items]),
    overscan: OVERSCAN,
    scrollMargin: head,
    scrollPaddingStart: head,
    initialOffset: restored?.top ?? 0,
    // Keep the focused row rendered even if it is out of view, or the focus is lost.
    rangeExtractor: useCallback(
      (range: Range) => {
        const found = defaultRangeExtractor(range);
        if (focusedIndex < 0 || focusedIndex >= range.count || found.includes(focusedIndex)) return found;
        return [...found, focusedIndex].sort((a, b) => a - b);
      },
      [focusedIndex],
    ),
  });
  const rowKeys = useRowKeys(
    items,
    focusedIndex,
    setFocused,
    (index) => virtual.scrollToIndex(index),
    scroller,
  );
  useSavePosition(scroller, focused);

  const freezeEvents = useFreeze(setFrozen, scroller);
  const groupProps = (key: string) => ({ isState: groupsAreStates, isOpen: !collapsed.has(key), toggle });
  const rows = virtual.getVirtualItems().map(({ index, key, start }) => {
    const item = items[index];
    if (!item) return null;
    const top = start - head;
    if (item.kind === 'group') {
      return showCards ? (
        <GroupHeading key={key} group={item} top={top} {...groupProps(item.key)} />
      ) : (
        <GroupRow key={key} group={item} index={index} top={top} columns={shown} {...groupProps(item.key)} />
      );
    }
    return showCards ? (
      <Card key={key} id={item.id} index={index} total={items.length} top={top} />
    ) : (
      <Row key={key} id={item.id} index={index} top={top} columns={shown} />
    );
  });
  const { template, width } = gridLayout(shown);
  const size = { height: virtual.getTotalSize(), '--row-height': `${rowHeight}px` };
  const events = {
    ...freezeEvents,
    onFocus: (event: FocusEvent) => {
      freezeEvents.onFocus();
      rowKeys.onFocus(event);
    },
  };

  if (showCards) {
    return (
      <div className={styles.scroller} ref={scroller}>
        {/* biome-ignore lint/a11y/useSemanticElements: the list is virtualized. */}
        <div className={styles.body} role="list" aria-label="Pulls" style={size} {...events}>
          {rows}
        </div>
      </div>
    );
  }
  return (
    // biome-ignore lint/a11y/useSemanticElements: the table is virtualized.
    <div
      className={styles.scroller}
      ref={scroller}
      role="table"
      aria-label="Pulls"
      aria-rowcount={items.length + 1}
      style={{ '--columns': template, '--width': `${width}px` } as object}
    >
      <Header columns={shown} sort={sort} />
      {/* biome-ignore lint/a11y/useSemanticElements: as above. */}
      <div className={styles.body} role="rowgroup" style={size} {...events}>
        {rows}
      </div>
    </div>
  );
}

function Header({ columns, sort }: { columns: readonly AnyColumn[]; sort: Sort | undefined }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: as above.
    <div className={styles.head} role="rowgroup">
      {/* biome-ignore lint/a11y/useSemanticElements: as above. */}
      {/* biome-ignore lint/a11y/useFocusableInteractive: its buttons are focusable. */}
      <div className={styles.headings} role="row" aria-rowindex={1}>
        {columns.map((key) => {
          const layout = COLUMN_LAYOUTS[key];
          // Narrow columns cut their names.
          const heading = { key, title: layout.name, ...layout };
          return (
            // biome-ignore lint/a11y/useSemanticElements: as above.
            // biome-ignore lint/a11y/useFocusableInteractive: its button is focusable.
            <div
              key={key}
              role="columnheader"
              className={heading.isNumeric ? styles.figure : styles.column}
              aria-sort={ariaSort(key, sort)}
            >
              <SortButton heading={heading} sort={sort} isOptional />
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** `j` and `k` focus the next and previous row; Enter opens it, like any link. */
function useRowKeys(
  items: readonly Item[],
  focusedIndex: number,
  setFocused: (key: string) => void,
  scrollTo: (index: number) => void,
  scroller: RefObject<HTMLDivElement | null>,
) {
  const lastIndex = useRef(-1);
  if (focusedIndex >= 0) lastIndex.current = focusedIndex;
  const pendingFocus = useRef<number>(undefined);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'j' && event.key !== 'k') return;
      if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        event.defaultPrevented ||
        isTextInput(event.target)
      )
        return;
      const step = event.key === 'j' ? 1 : -1;
      const hasFocus = scroller.current?.contains(document.activeElement) ?? false;
      // The first press returns to the last position.
      let next = hasFocus || lastIndex.current < 0 ? lastIndex.current + step : lastIndex.current;
      while (items[next]?.kind === 'group') next += step;
      const item = items[next];
      if (!item) return;
      event.preventDefault();
      pendingFocus.current = next;
      setFocused(item.key);
      scrollTo(next);
      rowLink(scroller.current, next)?.focus({ preventScroll: true });
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  });

  // Rows out of view are rendered only after scrolling.
  useEffect(() => {
    if (pendingFocus.current === undefined || pendingFocus.current !== focusedIndex) return;
    if (!canTakeFocus(scroller.current)) pendingFocus.current = undefined;
    if (pendingFocus.current === undefined) return;
    const found = rowLink(scroller.current, focusedIndex);
    found?.focus({ preventScroll: true });
    if (found) pendingFocus.current = undefined;
  });

  // Restore the focus after returning from a pull.
  const returning = useRef(focusedIndex >= 0);
  useEffect(() => {
    if (!canTakeFocus(scroller.current)) returning.current = false;
    if (!returning.current) return;
    const found = rowLink(scroller.current, focusedIndex);
    found?.focus({ preventScroll: true });
    // The row may have moved meanwhile.
    if (found) scrollTo(focusedIndex);
    if (found || focusedIndex < 0) returning.current = false;
  });

  return {
    onFocus: (event: FocusEvent) => {
      returning.current = false;
      const row = (event.target as HTMLElement).closest<HTMLElement>('[data-index]');
      const item = items[Number(row?.dataset.index ?? -1)];
      if (item) setFocused(item.key);
    },
  };
}

/** Reports whether the table may take the focus: not if the user has moved it elsewhere. */
function canTakeFocus(scroller: HTMLElement | null): boolean {
  const { activeElement: active, body } = document;
  return active === null || active === body || active.id === 'main' || (scroller?.contains(active) ?? false);
}

const rowLink = (scroller: HTMLElement | null, index: number): HTMLElement | null =>
  scroller?.querySelector<HTMLElement>(`[data-index="${index}"] [data-link]`) ?? null;

function useSavePosition(scroller: RefObject<HTMLDivElement | null>, focused: string | undefined): void {
  const focusedNow = useRef(focused);
  focusedNow.current = focused;
  useEffect(() => {
    const element = scroller.current;
    savedPosition = undefined;
    const onScroll = () => {
      if (element) top = element.scrollTop;
    };
    let top = element?.scrollTop ?? 0;
    element?.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      element?.removeEventListener('scroll', onScroll);
      const opened = window.location.hash.startsWith('#/pulls/');
      savedPosition =
        opened && focusedNow.current !== undefined ? { top, key: focusedNow.current } : undefined;
    };
  }, [scroller]);
}
