// All pulls in one table, filtered, sorted and grouped by the URL.

import { useCallback, useMemo, useState } from 'react';
import { useDataset, useSyncState } from '../../live/hooks';
import { count } from '../../model/format';
import { isVolatile, withoutCollapsed } from '../../model/order';
import { type PageProps, updateQuery } from '../../route';
import { useSettings } from '../../settings';
import { Message } from '../../ui/Message';
import { NoAgents } from '../../ui/NoAgents';
import { TABLE_MIN_WIDTH, useWidth, visibleColumns } from './columns';
import styles from './Pulls.module.css';
import { Table } from './Table';
import { Toolbar } from './Toolbar';
import { useArrangement, useView } from './view';

const ROW_HEIGHT = { comfortable: 40, compact: 28 };
const CARD_HEIGHT = 132;

export function Pulls({ route: { query } }: PageProps) {
  const view = useView(query);
  const [isFrozen, setFrozen] = useState(false);
  const arranged = useArrangement(view, isFrozen);
  const width = useWidth();
  const { density } = useSettings();
  const { nodes } = useDataset();
  const isLoaded = useSyncState() !== 'loading';
  const { matched, total, items } = arranged;
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback(
    (key: string) =>
      setCollapsed((now) => new Set(now.has(key) ? [...now].filter((each) => each !== key) : [...now, key])),
    [],
  );
  const shown = useMemo(() => withoutCollapsed(items, collapsed), [items, collapsed]);
  const showCards = width < TABLE_MIN_WIDTH;
  const columns = visibleColumns(query.get('cols'), width);
  const rowHeight = showCards ? CARD_HEIGHT : ROW_HEIGHT[density];
  const text = query.get('q') ?? '';
  return (
    <>
      <h1 className="hidden">Image pulls</h1>
      {total === 0 ? (
        <NoPulls nodes={nodes.size} isLoaded={isLoaded} />
      ) : (
        <section className={styles.panel} aria-labelledby="pulls">
          <header className={styles.head}>
            <h2 id="pulls">Pulls</h2>
            <span className={styles.count} data-field="count">
              {matched === total
                ? total.toLocaleString('en')
                : `${matched.toLocaleString('en')} of ${total.toLocaleString('en')}`}
            </span>
            {isFrozen && isVolatile(view.sort) && (
              <span className={styles.held}>order frozen while in use</span>
            )}
            <Toolbar
              query={query}
              filter={view.filter}
              arranged={arranged}
              columns={columns}
              width={width}
              showColumns={!showCards}
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
              groupsAreStates={view.group === 'state'}
              collapsed={collapsed}
              toggle={toggle}
              showCards={showCards}
              rowHeight={rowHeight}
              setFrozen={setFrozen}
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
      <Message name="no-match" title="No matching pulls">
        <p>
          <code>{text}</code>
        </p>
        <p>{count(total, 'pull', 'pulls')} in total</p>
        <button type="button" onClick={() => updateQuery({ q: undefined })}>
          Clear filter
        </button>
      </Message>
    </div>
  );
}

/** The empty state. */
function NoPulls({ nodes, isLoaded }: { nodes: number; isLoaded: boolean }) {
  if (!isLoaded) return <Skeleton />;
  if (nodes > 0) {
    return (
      <Message name="idle" title="No pulls running">
        <p>{count(nodes, 'node', 'nodes')} watched. Pulls appear within a second of starting.</p>
      </Message>
    );
  }
  return <NoAgents />;
}

const SKELETON_ROWS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

function Skeleton() {
  return (
    <div className={styles.skeleton} aria-hidden="true" data-message="loading">
      {SKELETON_ROWS.map((row) => (
        <i key={row} />
      ))}
    </div>
  );
}
