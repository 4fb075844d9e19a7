// All nodes, or the one that the address names.

import { useMemo } from 'react';
import { useAll, useSync } from '../../live/hooks';
import { type Order, parseOrder } from '../../model/columns';
import { NONE } from '../../model/format';
import { isShown, type NodeEntry, nodeMatches, nodes, SHOWS, type Show } from '../../model/nodes';
import { href, look, type PageProps } from '../../route';
import { Choice } from '../../ui/Choice';
import { Bytes, Figure } from '../../ui/Figure';
import { Filter, wordsOf } from '../../ui/Filter';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { type Column, Table, TableSkeleton } from '../../ui/Table';
import { Clock } from './Clock';
import { Heard, Report } from './Heard';
import styles from './Nodes.module.css';
import { OneNode } from './OneNode';

/** Most are none, and of those that are not one must be seen. */
const figure = (value: number) => (
  <span className={value === 0 ? styles.quiet : undefined}>
    <Figure value={value.toLocaleString('en')} />
  </span>
);

const COLUMNS: readonly Column<NodeEntry>[] = [
  {
    key: 'node',
    name: 'Node',
    by: ({ name }) => name,
    cell: ({ name }) => (
      <a className={styles.name} href={href('nodes', [name])} title={name}>
        {name}
      </a>
    ),
  },
  {
    key: 'state',
    name: 'Agent',
    title: 'Whether its agent is heard',
    by: ({ state }) => ['conflict', 'lost', undefined, 'live'].indexOf(state),
    width: 168,
    cell: ({ state, silentSince }) => <Heard state={state} at={silentSince} />,
  },
  {
    key: 'speed',
    name: 'Speed',
    by: ({ speed }) => speed,
    down: true,
    figure: true,
    width: 112,
    cell: ({ speed }) => <Bytes value={speed} per="s" />,
  },
  {
    key: 'pulling',
    name: 'Pulling',
    by: ({ running }) => running,
    down: true,
    figure: true,
    needs: 'middle',
    width: 78,
    cell: ({ running }) => figure(running),
  },
  {
    key: 'queued',
    name: 'Queued',
    title: 'Pulls in the queue of its kubelet',
    by: ({ queued }) => queued,
    down: true,
    figure: true,
    needs: 'middle',
    width: 82,
    cell: ({ queued }) => figure(queued),
  },
  {
    key: 'stalled',
    name: 'Stalled',
    by: ({ stalled }) => stalled,
    down: true,
    figure: true,
    needs: 'wide',
    width: 80,
    cell: ({ stalled }) => (stalled > 0 ? <Bad value={stalled} warn /> : figure(0)),
  },
  {
    key: 'failed',
    name: 'Failed',
    by: ({ failed }) => failed,
    down: true,
    figure: true,
    needs: 'middle',
    width: 76,
    cell: ({ failed }) => (failed > 0 ? <Bad value={failed} /> : figure(0)),
  },
  {
    key: 'ended',
    name: 'Ended',
    title: 'Pulls that ended and are still known',
    by: ({ ended }) => ended,
    down: true,
    figure: true,
    needs: 'wide',
    width: 76,
    cell: ({ ended }) => figure(ended),
  },
  {
    key: 'runtime',
    name: 'Runtime',
    by: ({ runtime }) => runtime,
    needs: 'wide',
    width: 148,
    cell: ({ runtime }) => <Version text={runtime} />,
  },
  {
    key: 'agent',
    name: 'Version',
    title: 'Of its agent',
    by: ({ agent }) => agent,
    needs: 'wide',
    width: 92,
    cell: ({ agent }) => <Version text={agent} />,
  },
  {
    key: 'clock',
    name: 'Clock',
    title: "How far the node's clock is from the server's",
    by: ({ offsetMs }) => (offsetMs === undefined ? undefined : Math.abs(offsetMs)),
    down: true,
    figure: true,
    needs: 'wide',
    width: 152,
    cell: ({ offsetMs }) => <Clock offsetMs={offsetMs} />,
  },
  {
    key: 'report',
    name: 'Last report',
    title: 'When its agent was last heard: the longest silence first',
    // Those that are heard are so as much as one another.
    by: ({ state, silentSince }) => (state === 'live' ? '~' : silentSince),
    figure: true,
    needs: 'middle',
    width: 122,
    cell: ({ name }) => <Report name={name} />,
  },
];

const NAMES: Record<Show, string> = { all: 'All', pulling: 'Pulling', trouble: 'In trouble' };
const USUAL: Order = { key: 'node', down: false };
const keyOf = (entry: NodeEntry): string => entry.name;
const rowOf = (entry: NodeEntry) => ({ 'data-node-row': entry.name, 'data-state': entry.state });

export function Nodes({ route }: PageProps) {
  const [name] = route.path;
  return name === undefined ? <List query={route.query} /> : <OneNode name={name} />;
}

function List({ query }: { query: URLSearchParams }) {
  const all = useAll();
  const sync = useSync();
  const every = useMemo(() => nodes(all.nodes.values(), all.rows.values()), [all]);
  const sort = query.get('sort');
  const order = useMemo(() => parseOrder(sort, COLUMNS, USUAL), [sort]);
  const q = query.get('q') ?? '';
  const show = SHOWS.find((known) => known === query.get('show')) ?? 'all';
  const shown = useMemo(() => {
    const words = wordsOf(q);
    return every.filter((node) => isShown(node, show) && nodeMatches(node, words));
  }, [every, q, show]);
  const choices = useMemo(
    () =>
      SHOWS.map((each): [Show, string] => {
        const count = every.reduce((sum, node) => sum + Number(isShown(node, each)), 0);
        return [each, `${NAMES[each]} ${count.toLocaleString('en')}`];
      }),
    [every],
  );
  return (
    <>
      <h1 className="hidden">Nodes</h1>
      <Panel
        title="Nodes"
        more={
          shown.length === every.length
            ? every.length.toLocaleString('en')
            : `${shown.length.toLocaleString('en')} of ${every.length.toLocaleString('en')}`
        }
        beside={
          <>
            <Choice
              label="Which nodes"
              value={show}
              choices={choices}
              choose={(next) => look({ show: next === 'all' ? undefined : next })}
            />
            <Filter label="Name, state or version" value={q} />
          </>
        }
      >
        {every.length === 0 ? (
          sync === 'filling' ? (
            <TableSkeleton />
          ) : (
            <Message name="no-agents" title="No agent has reported yet">
              <p>
                <a href={href('overview')}>How to start one</a>
              </p>
            </Message>
          )
        ) : shown.length === 0 ? (
          <Message
            name="no-match"
            title={show === 'trouble' && q === '' ? 'All nodes are well' : 'No node is like that'}
          >
            <button type="button" onClick={() => look({ q: undefined, show: undefined })}>
              Show all {every.length.toLocaleString('en')}
            </button>
          </Message>
        ) : (
          <Table
            label="Nodes"
            columns={COLUMNS}
            items={shown}
            keyOf={keyOf}
            order={order}
            what={['node', 'nodes']}
            rowOf={rowOf}
          />
        )}
      </Panel>
    </>
  );
}

function Version({ text }: { text: string | undefined }) {
  return (
    <span className={styles.version} title={text}>
      {text ?? NONE}
    </span>
  );
}

function Bad({ value, warn }: { value: number; warn?: boolean }) {
  return (
    <span className={warn ? styles.warn : styles.bad}>
      <Icon name={warn ? 'warning' : 'failed'} size={13} />
      {value.toLocaleString('en')}
    </span>
  );
}
