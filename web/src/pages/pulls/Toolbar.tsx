// What picks, groups and takes away: the filter and its help, groups, columns, files.

import { useId } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useLive } from '../../live/hooks';
import { toCsv, toJson } from '../../model/export';
import type { Filter } from '../../model/filter';
import { type Arranged, GROUPS, type GroupBy, parseGroup } from '../../model/order';
import { look } from '../../route';
import { useFilterText } from '../../ui/filterText';
import { Icon } from '../../ui/Icon';
import { COLUMNS, type Column, columnsText, NAMES } from './columns';
import { Drop } from './Drop';
import styles from './Toolbar.module.css';

const GROUP_NAMES: Record<GroupBy, string> = {
  image: 'Image',
  node: 'Node',
  namespace: 'Namespace',
  pod: 'Pod',
  state: 'State',
};

interface Props {
  query: URLSearchParams;
  filter: Filter;
  arranged: Arranged;
  columns: readonly Column[];
  width: number;
  /** Whether the columns are the reader's to choose. */
  table: boolean;
}

export function Toolbar({ query, filter, arranged, columns, width, table }: Props) {
  const group = useId();
  return (
    <>
      <FilterField query={query.get('q') ?? ''} unknown={filter.unknown} />
      <label className={styles.group} htmlFor={group}>
        <span>Group</span>
        <select
          id={group}
          value={parseGroup(query.get('group')) ?? ''}
          onChange={(event) => look({ group: event.target.value || undefined })}
        >
          <option value="">None</option>
          {GROUPS.map((each) => (
            <option key={each} value={each}>
              {GROUP_NAMES[each]}
            </option>
          ))}
        </select>
      </label>
      {table && <Columns columns={columns} width={width} />}
      <Export arranged={arranged} />
    </>
  );
}

function FilterField({ query, unknown }: { query: string; unknown: readonly string[] }) {
  const [text, type] = useFilterText(query);
  const hint = useId();
  return (
    <span className={styles.filter} data-filter>
      <Icon name="search" />
      <input
        type="search"
        aria-label="Filter pulls"
        aria-describedby={unknown.length > 0 ? hint : undefined}
        placeholder="node:gpu-* -state:done"
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        value={text}
        onChange={(event) => type(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') type(text, true);
          if (event.key !== 'Escape') return;
          event.stopPropagation();
          if (text === '') event.currentTarget.blur();
          else type('', true);
        }}
      />
      {text !== '' && (
        <button
          type="button"
          className={styles.clear}
          aria-label="Clear the filter"
          onClick={() => type('', true)}
        >
          <Icon name="close" />
        </button>
      )}
      {unknown.length > 0 && (
        <small id={hint} className={styles.hint} data-field="unknown-keys">
          {unknown.map((word) => `“${word}:”`).join(', ')} {unknown.length > 1 ? 'are no keys' : 'is no key'}:
          looked for as {unknown.length > 1 ? 'they stand' : 'it stands'}
        </small>
      )}
      <Drop label="How to filter" icon="unknown">
        {() => <Help />}
      </Drop>
    </span>
  );
}

const EXAMPLES = [
  ['checkout', 'image, node, namespace or pod has it in its name'],
  ['node:gpu-*', '* stands for anything'],
  ['node:"worker-1"', 'this node, and not worker-10'],
  ['ns:shop ns:cart', 'one or the other'],
  ['ns:shop image:nginx', 'both'],
  ['-state:done', 'not so: without what is over'],
  ['state:failed reason:tls', 'failed for that reason'],
  ['registry:docker.io', 'from there'],
] as const;

function Help() {
  return (
    <div className={styles.help}>
      <p>
        Words and keys: <code>node</code> <code>ns</code> <code>pod</code> <code>image</code>{' '}
        <code>registry</code> <code>state</code> <code>reason</code>
      </p>
      <dl>
        {EXAMPLES.map(([example, words]) => (
          <div key={example}>
            <dt>
              <button type="button" onClick={() => look({ q: example })}>
                {example}
              </button>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
      <p>
        States: <code>queued</code> <code>downloading</code> <code>extracting</code> <code>waiting</code>{' '}
        <code>stalled</code> <code>slow</code> <code>failed</code> <code>completed</code> <code>live</code>{' '}
        <code>done</code>
      </p>
    </div>
  );
}

function Columns({ columns, width }: { columns: readonly Column[]; width: number }) {
  const choose = (column: Column, on: boolean) => {
    const next = COLUMNS.filter((each) => (each === column ? on : columns.includes(each)));
    look({ cols: columnsText(next, width) });
  };
  return (
    <Drop label="Columns" icon="settings" words>
      {() => (
        <fieldset className={styles.columns}>
          <legend className="hidden">Columns</legend>
          {COLUMNS.map((column) => (
            <label key={column}>
              <input
                type="checkbox"
                checked={columns.includes(column)}
                onChange={(event) => choose(column, event.target.checked)}
              />
              {NAMES[column]}
            </label>
          ))}
        </fieldset>
      )}
    </Drop>
  );
}

function Export({ arranged }: { arranged: Arranged }) {
  const { store } = useLive();
  const take = (kind: 'csv' | 'json') => {
    // A pull that is in several groups is one pull.
    const ids = new Set(arranged.items.flatMap((item) => (item.kind === 'row' ? [item.id] : [])));
    const pulls = [...ids].map(store.row).filter((row): row is PullStatus => row !== undefined);
    const text = kind === 'csv' ? toCsv(pulls) : toJson(pulls);
    save(text, kind === 'csv' ? 'text/csv' : 'application/json', `pulls.${kind}`);
  };
  return (
    <Drop label="Export" icon="export" words>
      {(close) => (
        <div className={styles.export}>
          <p>{arranged.matched.toLocaleString('en')} pulls, as they are filtered and ordered</p>
          {(['csv', 'json'] as const).map((kind) => (
            <button
              key={kind}
              type="button"
              onClick={() => {
                take(kind);
                close();
              }}
            >
              {kind.toUpperCase()}
            </button>
          ))}
        </div>
      )}
    </Drop>
  );
}

function save(text: string, type: string, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  // The browser has taken it by the next turn.
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}
