// One node: how it stands, and its pulls on one axis of time.

import { type ReactNode, useMemo } from 'react';
import { useAll, useNode, useSync } from '../../live/hooks';
import { term } from '../../model/filter';
import { NONE } from '../../model/format';
import { type NodeEntry, nodes, pullsOf } from '../../model/nodes';
import { href } from '../../route';
import { Bytes } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { TableSkeleton } from '../../ui/Table';
import { Clock } from './Clock';
import { Heard, Report } from './Heard';
import styles from './OneNode.module.css';
import { Timeline } from './Timeline';

export function OneNode({ name }: { name: string }) {
  const all = useAll();
  const node = useNode(name);
  const sync = useSync();
  const pulls = useMemo(() => pullsOf(all.rows.values(), name), [all, name]);
  const entry = useMemo(() => nodes(node ? [node] : [], pulls)[0], [node, pulls]);
  return (
    <>
      <nav className={styles.path} aria-label="Where this is">
        <a href={href('nodes')}>Nodes</a>
        <Icon name="chevron" size={13} />
        <span title={name}>{name}</span>
      </nav>
      <h1 className="hidden">Node {name}</h1>
      {entry === undefined ? (
        sync === 'filling' ? (
          <TableSkeleton />
        ) : (
          <Message name="unknown-node" title="The server knows no node of this name">
            <p>Its agent has not reported, or is gone for so long that the server forgot it.</p>
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
            more={pulls.length.toLocaleString('en')}
            beside={
              <a className={styles.all} href={href('pulls', [], { q: term('node', name) })}>
                Among all pulls
                <Icon name="chevron" size={13} />
              </a>
            }
          >
            {pulls.length === 0 ? (
              <p className={styles.idle} data-message="idle">
                Nothing is pulled here, and nothing was
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
    <section className={styles.head} aria-label="How it stands">
      <dl className={styles.figures}>
        <Fact name="Agent" more={agent}>
          <Heard state={state} at={silentSince} />
        </Fact>
        <Fact name="Speed" more={state === 'lost' ? 'not seen' : undefined}>
          <Bytes value={speed} per="s" />
        </Fact>
        <Fact name="Pulling" more={`${queued.toLocaleString('en')} queued`}>
          {running.toLocaleString('en')}
        </Fact>
        <Fact name="Ended" more={failed > 0 ? <b className={styles.bad}>{failed} failed</b> : 'none failed'}>
          {ended.toLocaleString('en')}
        </Fact>
        <Fact name="Last report">
          <Report name={name} />
        </Fact>
        <Fact name="Runtime">{runtime ?? NONE}</Fact>
        <Fact name="Clock">
          <Clock offsetMs={offsetMs} />
        </Fact>
      </dl>
    </section>
  );
}

function Fact({ name, more, children }: { name: string; more?: ReactNode; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className={styles.value}>{children}</dd>
      {more !== undefined && <dd className={styles.more}>{more}</dd>}
    </div>
  );
}
