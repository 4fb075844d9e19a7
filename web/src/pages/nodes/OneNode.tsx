// One node: its state, and its pulls on a timeline.

import { type ReactNode, useMemo } from 'react';
import { useDataset, useNode, useSyncState } from '../../live/hooks';
import { formatTerm } from '../../model/filter';
import { UNKNOWN } from '../../model/format';
import { type NodeEntry, nodeEntries, pullsOfNode } from '../../model/nodes';
import { href } from '../../route';
import { Breadcrumbs } from '../../ui/Breadcrumbs';
import { Bytes } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { TableSkeleton } from '../../ui/Table';
import { AgentState, LastReport } from './AgentState';
import { ClockOffset } from './ClockOffset';
import styles from './OneNode.module.css';
import { Timeline } from './Timeline';

export function OneNode({ name }: { name: string }) {
  const dataset = useDataset();
  const node = useNode(name);
  const sync = useSyncState();
  const pulls = useMemo(() => pullsOfNode(dataset.rows.values(), name), [dataset, name]);
  const entry = useMemo(() => nodeEntries(node ? [node] : [], pulls)[0], [node, pulls]);
  return (
    <>
      <div className={styles.path}>
        <Breadcrumbs items={[{ text: 'Nodes', href: href('nodes') }, { text: name }]} />
      </div>
      <h1 className="hidden">Node {name}</h1>
      {entry === undefined ? (
        sync === 'loading' ? (
          <TableSkeleton />
        ) : (
          <Message name="unknown-node" title="Unknown node">
            <p>Its agent never reported, or the node was removed after a long time without reports.</p>
            <p>
              <a href={href('nodes')}>All nodes</a>
            </p>
          </Message>
        )
      ) : (
        <>
          <Head entry={entry} />
          <Panel
            title="Pulls"
            summary={pulls.length.toLocaleString('en')}
            actions={
              <a className={styles.all} href={href('pulls', [], { q: formatTerm('node', name) })}>
                Show in pulls
                <Icon name="chevron" size={13} />
              </a>
            }
          >
            {pulls.length === 0 ? (
              <p className={styles.idle} data-message="idle">
                No pulls on this node
              </p>
            ) : (
              <Timeline pulls={pulls} />
            )}
          </Panel>
        </>
      )}
    </>
  );
}

function Head({ entry }: { entry: NodeEntry }) {
  const { name, state, silentSince, speed, running, queued, ended, failed, agent, runtime, offsetMs } = entry;
  return (
    <section className={styles.head} aria-label="Status">
      <dl className={styles.figures}>
        <Fact name="Agent" note={agent}>
          <AgentState state={state} at={silentSince} />
        </Fact>
        <Fact name="Speed" note={state === 'lost' ? 'no data' : undefined}>
          <Bytes value={speed} per="s" />
        </Fact>
        <Fact name="Pulling" note={`${queued.toLocaleString('en')} queued`}>
          {running.toLocaleString('en')}
        </Fact>
        <Fact name="Ended" note={failed > 0 ? <b className={styles.bad}>{failed} failed</b> : 'none failed'}>
          {ended.toLocaleString('en')}
        </Fact>
        <Fact name="Last report">
          <LastReport name={name} />
        </Fact>
        <Fact name="Runtime">{runtime ?? UNKNOWN}</Fact>
        <Fact name="Clock">
          <ClockOffset offsetMs={offsetMs} />
        </Fact>
      </dl>
    </section>
  );
}

function Fact({ name, note, children }: { name: string; note?: ReactNode; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className={styles.value}>{children}</dd>
      {note !== undefined && <dd className={styles.more}>{note}</dd>}
    </div>
  );
}
