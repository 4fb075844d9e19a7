// All pulls in one table: picked, ordered and grouped as the address says.

import { useCallback, useMemo, useState } from 'react';
import { useAll, useSync } from '../../live/hooks';
import { count } from '../../model/format';
import { isMoving, opened } from '../../model/order';
import { look, type PageProps } from '../../route';
import { useSettings } from '../../settings';
import { Message } from '../../ui/Message';
import { NoAgents } from '../../ui/NoAgents';
import { columnsOf, TABLE_FROM, useWidth } from './columns';
import styles from './Pulls.module.css';
import { Table } from './Table';
import { Toolbar } from './Toolbar';
import { useArranged, useView } from './view';

const ROW = { comfortable: 40, compact: 28 };
const CARD = 132;

export function Pulls({ route: { query } }: PageProps) {
  const view = useView(query);
  const [held, hold] = useState(false);
  const arranged = useArranged(view, held);
  const width = useWidth();
  const { density } = useSettings();
  const { nodes } = useAll();
  const whole = useSync() !== 'filling';
  const { matched, total, items } = arranged;
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback(
    (key: string) =>
      setClosed((now) => new Set(now.has(key) ? [...now].filter((each) => each !== key) : [...now, key])),
    [],
  );
  const shown = useMemo(() => opened(items, closed), [items, closed]);
  const cards = width < TABLE_FROM;
  const columns = columnsOf(query.get('cols'), width);
  const rowHeight = cards ? CARD : ROW[density];
  const text = query.get('q') ?? '';
  return (
    <>
      <h1 className="hidden">Image pulls</h1>
      {total === 0 ? (
        <Nothing nodes={nodes.size} whole={whole} />
      ) : (
        <section className={styles.panel} aria-labelledby="pulls">
          <header className={styles.head}>
            <h2 id="pulls">Pulls</h2>
            <span className={styles.count} data-field="count">
              {matched === total
                ? total.toLocaleString('en')
                : `${matched.toLocaleString('en')} of ${total.toLocaleString('en')}`}
            </span>
            {held && isMoving(view.sort) && (
              <span className={styles.held}>order held while you are in it</span>
            )}
            <Toolbar
              query={query}
              filter={view.filter}
              arranged={arranged}
              columns={columns}
              width={width}
              table={!cards}
            />
          </header>
          {matched === 0 ? (
            <NoMatch text={text} total={total} />
          ) : (
            <Table
              key={rowHeight}
              items={shown}
              columns={columns}
              sort={view.sort}
              states={view.group === 'state'}
              closed={closed}
              toggle={toggle}
              cards={cards}
              rowHeight={rowHeight}
              hold={hold}
            />
          )}
        </section>
      )}
    </>
  );
}

function NoMatch({ text, total }: { text: string; total: number }) {
  return (
    <div className={styles.none}>
      <Message name="no-match" title="No pull matches">
        <p>
          <code>{text}</code>
        </p>
        <p>{count(total, 'pull is', 'pulls are')} known. </p>
        <button type="button" onClick={() => look({ q: undefined })}>
          Clear the filter
        </button>
      </Message>
    </div>
  );
}

/** Why there are no rows. */
function Nothing({ nodes, whole }: { nodes: number; whole: boolean }) {
  if (!whole) return <Skeleton />;
  if (nodes > 0) {
    return (
      <Message name="idle" title="Nothing is being pulled">
        <p>
          {count(nodes, 'node is', 'nodes are')} watched. A pull shows up here by itself, within a second of
          its start.
        </p>
      </Message>
    );
  }
  return <NoAgents />;
}

const BONES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

function Skeleton() {
  return (
    <div className={styles.skeleton} aria-hidden="true" data-message="loading">
      {BONES.map((bone) => (
        <i key={bone} />
      ))}
    </div>
  );
}
