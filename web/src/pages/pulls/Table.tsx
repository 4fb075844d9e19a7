// All pulls that are looked at, of which only those in view are drawn: as a table, or as cards where there is no room
// for one.

import { defaultRangeExtractor, type Range, useVirtualizer } from '@tanstack/react-virtual';
import {
  type FocusEvent,
  type PointerEvent,
  type RefObject,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { type Item, nextSort, type Sort, sortText } from '../../model/order';
import { look } from '../../route';
import { Icon } from '../../ui/Icon';
import { types } from '../../ui/shell/keys';
import { type AnyColumn, type Column, LOOKS, layout } from './columns';
import { GroupHeading, GroupRow } from './GroupRow';
import { Card, Row } from './Row';
import styles from './Table.module.css';

const HEAD = 32;
/** Over cards, which are higher than it. */
const HEADING = 44;
/** So many rows beyond those in view are drawn. */
const BEYOND = 6;

interface Props {
  items: readonly Item[];
  columns: readonly Column[];
  sort: Sort | undefined;
  /** Whether the groups are states. */
  states: boolean;
  closed: ReadonlySet<string>;
  /** Opens or closes a group. */
  toggle: (key: string) => void;
  /** Cards, where there is no room for a table. */
  cards: boolean;
  rowHeight: number;
  /** Somebody points at it, or does no more. */
  hold: (on: boolean) => void;
}

/** Where the reader was when the page was left by a row: coming back leads there. */
let left: { top: number; key: string } | undefined;

export function Table({ items, columns, sort, states, closed, toggle, cards, rowHeight, hold }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const [back] = useState(() => left);
  const [focused, setFocused] = useState<string | undefined>(back?.key);
  const head = cards ? 0 : HEAD;
  const shown = useMemo((): readonly AnyColumn[] => ['state', 'image', ...columns], [columns]);
  const at = useMemo(
    () => (focused === undefined ? -1 : items.findIndex(({ key }) => key === focused)),
    [items, focused],
  );
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (cards && items[index]?.kind === 'group' ? HEADING : rowHeight),
    getItemKey: useCallback((index: number) => items[index]?.key ?? index, [items]),
    overscan: BEYOND,
    scrollMargin: head,
    scrollPaddingStart: head,
    initialOffset: back?.top ?? 0,
    // What has the focus stays, also out of sight: it would be lost with its row.
    rangeExtractor: useCallback(
      (range: Range) => {
        const found = defaultRangeExtractor(range);
        if (at < 0 || at >= range.count || found.includes(at)) return found;
        return [...found, at].sort((a, b) => a - b);
      },
      [at],
    ),
  });
  const keys = useKeys(items, at, setFocused, (index) => virtual.scrollToIndex(index), scroller);
  useLeft(scroller, focused);

  const over = useHold(hold, scroller);
  const group = (key: string) => ({ state: states, open: !closed.has(key), toggle });
  const rows = virtual.getVirtualItems().map(({ index, key, start }) => {
    const item = items[index];
    if (!item) return null;
    const top = start - head;
    if (item.kind === 'group') {
      return cards ? (
        <GroupHeading key={key} group={item} top={top} {...group(item.key)} />
      ) : (
        <GroupRow key={key} group={item} index={index} top={top} columns={shown} {...group(item.key)} />
      );
    }
    return cards ? (
      <Card key={key} id={item.id} index={index} total={items.length} top={top} />
    ) : (
      <Row key={key} id={item.id} index={index} top={top} columns={shown} />
    );
  });
  const { template, width } = layout(shown);
  const size = { height: virtual.getTotalSize(), '--row-height': `${rowHeight}px` };
  const events = {
    ...over,
    onFocus: (event: FocusEvent) => {
      over.onFocus();
      keys.onFocus(event);
    },
  };

  if (cards) {
    return (
      <div className={styles.scroller} ref={scroller}>
        {/* biome-ignore lint/a11y/useSemanticElements: a list of which most is not drawn. */}
        <div className={styles.body} role="list" aria-label="Pulls" style={size} {...events}>
          {rows}
        </div>
      </div>
    );
  }
  return (
    // biome-ignore lint/a11y/useSemanticElements: a real table cannot be drawn in part.
    <div
      className={styles.scroller}
      ref={scroller}
      role="table"
      aria-label="Pulls"
      aria-rowcount={items.length + 1}
      style={{ '--columns': template, '--width': `${width}px` } as object}
    >
      <Head columns={shown} sort={sort} />
      {/* biome-ignore lint/a11y/useSemanticElements: as above. */}
      <div className={styles.body} role="rowgroup" style={size} {...events}>
        {rows}
      </div>
    </div>
  );
}

function Head({ columns, sort }: { columns: readonly AnyColumn[]; sort: Sort | undefined }) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: as above.
    <div className={styles.head} role="rowgroup">
      {/* biome-ignore lint/a11y/useSemanticElements: as above. */}
      {/* biome-ignore lint/a11y/useFocusableInteractive: its buttons have the focus. */}
      <div className={styles.headings} role="row" aria-rowindex={1}>
        {columns.map((column) => {
          const { name, sort: key, figure } = LOOKS[column];
          const on = sort?.key === key;
          return (
            // biome-ignore lint/a11y/useSemanticElements: as above.
            // biome-ignore lint/a11y/useFocusableInteractive: its button has the focus.
            <div
              key={column}
              role="columnheader"
              className={figure ? styles.figure : styles.column}
              aria-sort={on ? (sort.down ? 'descending' : 'ascending') : undefined}
            >
              <button
                type="button"
                title={name}
                onClick={() => look({ sort: sortText(nextSort(sort, key)) })}
              >
                <span>{name}</span>
                {on && (
                  <span className={sort.down ? styles.down : styles.up}>
                    <Icon name="chevron" size={12} />
                  </span>
                )}
              </button>
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** Whether a pointer or the focus is in it. */
function useHold(hold: (on: boolean) => void, scroller: RefObject<HTMLDivElement | null>) {
  const by = useRef({ pointer: false, focus: false });
  const say = (change: Partial<typeof by.current>) => {
    Object.assign(by.current, change);
    hold(by.current.pointer || by.current.focus);
  };
  // A row that goes takes the focus with it, and nobody is told.
  useEffect(() => {
    if (by.current.focus && !scroller.current?.contains(document.activeElement)) say({ focus: false });
  });
  useEffect(() => () => hold(false), [hold]);
  return {
    // A finger does not stay.
    onPointerEnter: (event: PointerEvent) => say({ pointer: event.pointerType !== 'touch' }),
    onPointerLeave: () => say({ pointer: false }),
    onFocus: () => say({ focus: true }),
    onBlur: (event: FocusEvent) =>
      say({ focus: event.currentTarget.contains(event.relatedTarget as Node | null) }),
  };
}

/** `j` and `k`: the focus goes to the next row, and the row before; Enter then opens it, as it does any link. */
function useKeys(
  items: readonly Item[],
  at: number,
  setFocused: (key: string) => void,
  scrollTo: (index: number) => void,
  scroller: RefObject<HTMLDivElement | null>,
) {
  const last = useRef(-1);
  if (at >= 0) last.current = at;
  const wanted = useRef<number>(undefined);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'j' && event.key !== 'k') return;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || types(event.target))
        return;
      const step = event.key === 'j' ? 1 : -1;
      const here = scroller.current?.contains(document.activeElement) ?? false;
      // The first press goes to where the reader was.
      let next = here || last.current < 0 ? last.current + step : last.current;
      while (items[next]?.kind === 'group') next += step;
      const item = items[next];
      if (!item) return;
      event.preventDefault();
      wanted.current = next;
      setFocused(item.key);
      scrollTo(next);
      link(scroller.current, next)?.focus({ preventScroll: true });
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  });

  // A row that was out of sight is there only now.
  useEffect(() => {
    if (wanted.current === undefined || wanted.current !== at) return;
    if (!isFree(scroller.current)) wanted.current = undefined;
    if (wanted.current === undefined) return;
    const found = link(scroller.current, at);
    found?.focus({ preventScroll: true });
    if (found) wanted.current = undefined;
  });

  // Back from a row: on it, once it is drawn.
  const returning = useRef(at >= 0);
  useEffect(() => {
    if (!isFree(scroller.current)) returning.current = false;
    if (!returning.current) return;
    const found = link(scroller.current, at);
    found?.focus({ preventScroll: true });
    // It may be elsewhere by now.
    if (found) scrollTo(at);
    if (found || at < 0) returning.current = false;
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

/** Whether the focus is nobody's: a reader who is elsewhere by now is not called back. */
function isFree(scroller: HTMLElement | null): boolean {
  const { activeElement: on, body } = document;
  return on === null || on === body || on.id === 'main' || (scroller?.contains(on) ?? false);
}

const link = (scroller: HTMLElement | null, index: number): HTMLElement | null =>
  scroller?.querySelector<HTMLElement>(`[data-index="${index}"] [data-link]`) ?? null;

function useLeft(scroller: RefObject<HTMLDivElement | null>, focused: string | undefined): void {
  const now = useRef(focused);
  now.current = focused;
  useEffect(() => {
    const element = scroller.current;
    left = undefined;
    const onScroll = () => {
      if (element) top = element.scrollTop;
    };
    let top = element?.scrollTop ?? 0;
    element?.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      element?.removeEventListener('scroll', onScroll);
      const opened = window.location.hash.startsWith('#/pulls/');
      left = opened && now.current !== undefined ? { top, key: now.current } : undefined;
    };
  }, [scroller]);
}
