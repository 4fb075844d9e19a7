// Controls of the table: filter, grouping, columns, export.

import { useId } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useLive } from '../../live/hooks';
import { toCsv, toJson } from '../../model/export';
import type { Filter } from '../../model/filter';
import { type Arrangement, parseGroup, TABLE_GROUPINGS, type TableGrouping } from '../../model/order';
import { updateQuery } from '../../route';
import { useFilterInput } from '../../ui/filterText';
import { Icon } from '../../ui/Icon';
import { COLUMNS, type Column, formatColumns, MENU_NAMES } from './columns';
import { Dropdown } from './Dropdown';
import styles from './Toolbar.module.css';

const GROUP_NAMES: Record<TableGrouping, string> = {
  image: 'Image',
  node: 'Node',
  namespace: 'Namespace',
  pod: 'Pod',
  state: 'State',
};

interface Props {
  query: URLSearchParams;
  filter: Filter;
  arranged: Arrangement;
  columns: readonly Column[];
  width: number;
  /** Offers the column menu. */
  showColumns: boolean;
}

export function Toolbar({ query, filter, arranged, columns, width, showColumns }: Props) {
  const group = useId();
  return (
    <>
      <FilterField query={query.get('q') ?? ''} unknown={filter.unknown} />
      <label className={styles.group} htmlFor={group}>
        <span>Group</span>
        <select
          id={group}
          value={parseGroup(query.get('group')) ?? ''}
          onChange={(event) => updateQuery({ group: event.target.value || undefined })}
        >
          <option value="">None</option>
          {TABLE_GROUPINGS.map((each) => (
            <option key={each} value={each}>
              {GROUP_NAMES[each]}
            </option>
          ))}
        </select>
      </label>
      {showColumns && <Columns columns={columns} width={width} />}
      <Export arranged={arranged} />
    </>
  );
}

function FilterField({ query, unknown }: { query: string; unknown: readonly string[] }) {
  const [text, setQuery] = useFilterInput(query);
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
        onChange={(event) => setQuery(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') setQuery(text, true);
          if (event.key !== 'Escape') return;
          event.stopPropagation();
          if (text === '') event.currentTarget.blur();
          else setQuery('', true);
        }}
      />
      {text !== '' && (
        <button
          type="button"
          className={styles.clear}
          aria-label="Clear filter"
          onClick={() => setQuery('', true)}
        >
          <Icon name="close" />
        </button>
      )}
      {unknown.length > 0 && (
        <small id={hint} className={styles.hint} data-field="unknown-keys">
          {unknown.map((word) => `“${word}:”`).join(', ')}{' '}
          {unknown.length > 1 ? 'unknown keys' : 'unknown key'}: searched as{' '}
          {unknown.length > 1 ? 'plain words' : 'a plain word'}
        </small>
      )}
      <Dropdown label="Filter help" icon="unknown">
        {() => <FilterHelp />}
      </Dropdown>
    </span>
  );
}

const EXAMPLES = [
  ['checkout', 'name of an image, node, namespace or pod'],
  ['node:gpu-*', '* matches any text'],
  ['node:"worker-1"', 'exactly this node, not worker-10'],
  ['ns:shop ns:cart', 'in either namespace'],
  ['ns:shop image:nginx', 'both conditions'],
  ['-state:done', 'all but ended pulls'],
  ['state:failed reason:tls', 'failed with a TLS error'],
  ['registry:docker.io', 'from this registry'],
] as const;

function FilterHelp() {
  return (
    <div className={styles.help}>
      <p>
        Words and keys: <code>node</code> <code>ns</code> <code>pod</code> <code>image</code>{' '}
        <code>registry</code> <code>state</code> <code>reason</code>
      </p>
      <dl>
        {EXAMPLES.map(([example, explanation]) => (
          <div key={example}>
            <dt>
              <button type="button" onClick={() => updateQuery({ q: example })}>
                {example}
              </button>
            </dt>
            <dd>{explanation}</dd>
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
  const choose = (column: Column, isChecked: boolean) => {
    const next = COLUMNS.filter((each) => (each === column ? isChecked : columns.includes(each)));
    updateQuery({ cols: formatColumns(next, width) });
  };
  return (
    <Dropdown label="Columns" icon="settings" showLabel>
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
              {MENU_NAMES[column]}
            </label>
          ))}
        </fieldset>
      )}
    </Dropdown>
  );
}

function Export({ arranged }: { arranged: Arrangement }) {
  const { store } = useLive();
  const exportPulls = (kind: 'csv' | 'json') => {
    // A pull may be in several groups; export it once.
    const ids = new Set(arranged.items.flatMap((item) => (item.kind === 'row' ? [item.id] : [])));
    const pulls = [...ids].map(store.row).filter((row): row is PullStatus => row !== undefined);
    const text = kind === 'csv' ? toCsv(pulls) : toJson(pulls);
    download(text, kind === 'csv' ? 'text/csv' : 'application/json', `pulls.${kind}`);
  };
  return (
    <Dropdown label="Export" icon="export" showLabel>
      {(close) => (
        <div className={styles.export}>
          <p>{arranged.matched.toLocaleString('en')} matching, in the order shown</p>
          {(['csv', 'json'] as const).map((kind) => (
            <button
              key={kind}
              type="button"
              onClick={() => {
                exportPulls(kind);
                close();
              }}
            >
              {kind.toUpperCase()}
            </button>
          ))}
        </div>
      )}
    </Dropdown>
  );
}

function download(text: string, type: string, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  // The download starts before the next task.
  setTimeout(() => URL.revokeObjectURL(link.href), 0);
}
