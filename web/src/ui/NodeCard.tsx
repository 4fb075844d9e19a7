// One node: whether it is heard, what it does in sum, its pulls.

import { memo } from 'react';
import type { NodeStatus } from '../api/gen/wire';
import { useLive, useNode } from '../live/hooks';
import { bytes, count } from '../model/format';
import type { NodeOutline } from '../model/outline';
import { Ago } from './Ago';
import { Bytes } from './Figure';
import { Icon } from './Icon';
import { More } from './More';
import styles from './NodeCard.module.css';
import { PullRow } from './PullRow';

interface Props {
  node: NodeOutline;
  /** How many of its live pulls, and of its ended ones, are shown before anybody asks for more. */
  liveLimit: number;
  endedLimit: number;
  /** How many of its live pulls show their layers. */
  open: number;
}

export const NodeCard = memo(({ node, liveLimit, endedLimit, open }: Props) => {
  const status = useNode(node.name);
  const { lines } = useLive().store;
  return (
    <section
      className={`${styles.card} ${status?.state === 'lost' ? styles.lost : ''}`}
      aria-label={`Node ${node.name}`}
      data-node-card={node.name}
      data-node-state={status?.state ?? ''}
    >
      <header className={styles.head}>
        <h2>{node.name}</h2>
        {status && <NodeState status={status} />}
        <Sums node={node} status={status} />
      </header>
      {node.live.length > 0 && (
        <ul className={styles.pulls} aria-label={`Pulls that go on, on ${node.name}`}>
          <More ids={node.live} limit={liveLimit} what="live pulls">
            {(id, index) => <PullRow key={lines.first(id)} id={id} open={index < open} />}
          </More>
        </ul>
      )}
      {node.ended.length > 0 && (
        <ul className={`${styles.pulls} ${styles.ended}`} aria-label={`Pulls that are over, on ${node.name}`}>
          <More ids={node.ended} limit={endedLimit} what="ended pulls">
            {(id) => <PullRow key={lines.first(id)} id={id} open={false} />}
          </More>
        </ul>
      )}
    </section>
  );
});

/** Nothing where all is well: silence is what must be seen. */
function NodeState({ status }: { status: NodeStatus }) {
  if (status.state === 'lost') {
    return (
      <span className={styles.warn}>
        <Icon name="unknown" /> last heard <Ago at={status.lastReportAt} />
      </span>
    );
  }
  if (status.state === 'conflict') {
    return (
      <span className={styles.warn}>
        <Icon name="warning" /> two agents report under this name
      </span>
    );
  }
  return <span className={styles.runtime}>{runtime(status)}</span>;
}

const runtime = ({ runtimeVersion }: NodeStatus): string =>
  runtimeVersion === undefined ? '' : runtimeVersion.replace('://', ' ');

function Sums({ node, status }: { node: NodeOutline; status: NodeStatus | undefined }) {
  if (node.live.length === 0) {
    return <span className={styles.sums}>{count(node.ended.length, 'pull')} over</span>;
  }
  return (
    <span className={styles.sums}>
      <span>{(node.live.length - node.queued).toLocaleString('en')} pulling</span>
      {node.queued > 0 && <span>{node.queued.toLocaleString('en')} queued</span>}
      {status && status.toDownloadBytes > 0 && (
        <span>
          {bytes(status.downloadedBytes)} of {bytes(status.toDownloadBytes)}
        </span>
      )}
      {status?.bytesPerSec !== undefined && status.state !== 'lost' && (
        <b>
          <Bytes value={status.bytesPerSec} per="s" />
        </b>
      )}
    </span>
  );
}
