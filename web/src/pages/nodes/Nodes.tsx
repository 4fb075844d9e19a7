// All nodes, or the one in the URL.

import { useMemo } from 'react';
import { useDataset, useSyncState } from '../../live/hooks';
import { UNKNOWN } from '../../model/format';
import {
  matchesFilter,
  NODE_FILTERS,
  type NodeEntry,
  type NodeFilter,
  nodeEntries,
  nodeMatches,
} from '../../model/nodes';
import { parseSort, type Sort } from '../../model/sort';
import { href, type PageProps, updateQuery } from '../../route';
import { Bytes, Figure } from '../../ui/Figure';
import { Filter, splitWords } from '../../ui/Filter';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { SegmentedControl } from '../../ui/SegmentedControl';
import { type Column, Table, TableSkeleton } from '../../ui/Table';
import { AgentState, LastReport } from './AgentState';
import { ClockOffset } from './ClockOffset';
import styles from './Nodes.module.css';
import { OneNode } from './OneNode';

/** Zeros are muted, so that other counts stand out. */
const countCell = (value: number) => (
  <span className={value === 0 ? styles.quiet : undefined}>
    <Figure value={value.toLocaleString('en')} />
  </span>
);

const COLUMNS: readonly Column<NodeEntry>[] = [
  {
    key: 'node',
    name: 'Node',
    sortValue: ({ name }) => name,
    cell: ({ name }) => (
      <a className={styles.name} href={href('nodes', [name])} title={name}>
        {name}
      </a>
    ),
  },
  {
    key: 'state',
    name: 'Agent',
    title: 'State of the agent',
    sortValue: ({ state }) => ['conflict', 'lost', undefined, 'live'].indexOf(state),
    width: 168,
    cell: ({ state, silentSince }) => <AgentState state={state} at={silentSince} />,
  },
  {
    key: 'speed',
    name: 'Speed',
    sortValue: ({ speed }) => speed,
    descending: true,
    isNumeric: true,
    width: 112,
    cell: ({ speed }) => <Bytes value={speed} per="s" />,
  },
  {
    key: 'pulling',
    name: 'Pulling',
    sortValue: ({ running }) => running,
    descending: true,
    isNumeric: true,
    needs: 'middle',
    width: 78,
    cell: ({ running }) => countCell(running),
  },
  {
    key: 'queued',
    name: 'Queued',
    title: 'Pulls in the kubelet queue',
    sortValue: ({ queued }) => queued,
    descending: true,
    isNumeric: true,
    needs: 'middle',
    width: 82,
    cell: ({ queued }) => countCell(queued),
  },
  {
    key: 'stalled',
    name: 'Stalled',
    sortValue: ({ stalled }) => stalled,
    descending: true,
    isNumeric: true,
    needs: 'wide',
    width: 80,
    cell: ({ stalled }) => (stalled > 0 ? <ProblemCount value={stalled} isWarning /> : countCell(0)),
  },
  {
    key: 'failed',
    name: 'Failed',
    sortValue: ({ failed }) => failed,
    descending: true,
    isNumeric: true,
    needs: 'middle',
    width: 76,
    cell: ({ failed }) => (failed > 0 ? <ProblemCount value={failed} /> : countCell(0)),
  },
  {
    key: 'ended',
    name: 'Ended',
    title: 'Ended pulls in the history',
    sortValue: ({ ended }) => ended,
    descending: true,
    isNumeric: true,
    needs: 'wide',
    width: 76,
    cell: ({ ended }) => countCell(ended),
  },
  {
    key: 'runtime',
    name: 'Runtime',
    sortValue: ({ runtime }) => runtime,
    needs: 'wide',
    width: 148,
    cell: ({ runtime }) => <Version text={runtime} />,
  },
  {
    key: 'agent',
    name: 'Version',
    title: 'Agent version',
    sortValue: ({ agent }) => agent,
    needs: 'wide',
    width: 92,
    cell: ({ agent }) => <Version text={agent} />,
  },
  {
    key: 'clock',
    name: 'Clock',
    title: "Offset from the server's clock",
    sortValue: ({ offsetMs }) => (offsetMs === undefined ? undefined : Math.abs(offsetMs)),
    descending: true,
    isNumeric: true,
    needs: 'wide',
    width: 152,
    cell: ({ offsetMs }) => <ClockOffset offsetMs={offsetMs} />,
  },
  {
    key: 'report',
    name: 'Last report',
    title: 'Age of the last report, oldest first',
    // Live nodes rank equal, after the silent ones.
    sortValue: ({ state, silentSince }) => (state === 'live' ? '~' : silentSince),
    isNumeric: true,
    needs: 'middle',
    width: 122,
    cell: ({ name }) => <LastReport name={name} />,
  },
];

const FILTER_NAMES: Record<NodeFilter, string> = { all: 'All', pulling: 'Pulling', trouble: 'Unhealthy' };
const DEFAULT_SORT: Sort = { key: 'node', descending: false };
const keyOf = (entry: NodeEntry): string => entry.name;
const rowOf = (entry: NodeEntry) => ({ 'data-node-row': entry.name, 'data-state': entry.state });

export function Nodes({ route }: PageProps) {
  const [name] = route.path;
  return name === undefined ? <NodeList query={route.query} /> : <OneNode name={name} />;
}

function NodeList({ query }: { query: URLSearchParams }) {
  const dataset = useDataset();
  const sync = useSyncState();
  const entries = useMemo(() => nodeEntries(dataset.nodes.values(), dataset.rows.values()), [dataset]);
  const sortText = query.get('sort');
  const sort = useMemo(() => parseSort(sortText, COLUMNS) ?? DEFAULT_SORT, [sortText]);
  const q = query.get('q') ?? '';
  const filter = NODE_FILTERS.find((known) => known === query.get('show')) ?? 'all';
  const shown = useMemo(() => {
    const terms = splitWords(q);
    return entries.filter((node) => matchesFilter(node, filter) && nodeMatches(node, terms));
  }, [entries, q, filter]);
  const options = useMemo(
    () =>
      NODE_FILTERS.map((nodeFilter): [NodeFilter, string] => {
        const count = entries.reduce((sum, node) => sum + Number(matchesFilter(node, nodeFilter)), 0);
        return [nodeFilter, `${FILTER_NAMES[nodeFilter]} ${count.toLocaleString('en')}`];
      }),
    [entries],
  );
  return (
    <>
      <h1 className="hidden">Nodes</h1>
      <Panel
        title="Nodes"
        summary={
          shown.length === entries.length
            ? entries.length.toLocaleString('en')
            : `${shown.length.toLocaleString('en')} of ${entries.length.toLocaleString('en')}`
        }
        actions={
          <>
            <SegmentedControl
              label="Filter nodes"
              value={filter}
              options={options}
              onSelect={(next) => updateQuery({ show: next === 'all' ? undefined : next })}
            />
            <Filter label="Name, state or version" value={q} />
          </>
        }
      >
        {entries.length === 0 ? (
          sync === 'loading' ? (
            <TableSkeleton />
          ) : (
            <Message name="no-agents" title="No agents connected">
              <p>
                <a href={href('overview')}>Install the agent</a>
              </p>
            </Message>
          )
        ) : shown.length === 0 ? (
          <Message
            name="no-match"
            title={filter === 'trouble' && q === '' ? 'All nodes healthy' : 'No matching nodes'}
          >
            <button type="button" onClick={() => updateQuery({ q: undefined, show: undefined })}>
              Show all {entries.length.toLocaleString('en')}
            </button>
          </Message>
        ) : (
          <Table
            label="Nodes"
            columns={COLUMNS}
            items={shown}
            keyOf={keyOf}
            sort={sort}
            noun={['node', 'nodes']}
            rowAttributes={rowOf}
          />
        )}
      </Panel>
    </>
  );
}

function Version({ text }: { text: string | undefined }) {
  return (
    <span className={styles.version} title={text}>
      {text ?? UNKNOWN}
    </span>
  );
}

function ProblemCount({ value, isWarning }: { value: number; isWarning?: boolean }) {
  return (
    <span className={isWarning ? styles.warn : styles.bad}>
      <Icon name={isWarning ? 'warning' : 'failed'} size={13} />
      {value.toLocaleString('en')}
    </span>
  );
}
