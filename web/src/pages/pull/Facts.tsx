// What else is known of a pull: its times, what the kubelet measured, what was fetched twice.

import type { ReactNode } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useNode } from '../../live/hooks';
import { duration, instant } from '../../model/format';
import { kubelet, took } from '../../model/pull';
import { useFormat } from '../../settings';
import { Copy } from '../../ui/Copy';
import { Icon } from '../../ui/Icon';
import { Panel } from '../../ui/Panel';
import styles from './Side.module.css';

export function Facts({ pull }: { pull: PullStatus }) {
  const { bytes } = useFormat();
  const node = useNode(pull.nodeName);
  const ours = took(pull);
  return (
    <Panel title="Details">
      <dl className={styles.facts}>
        {pull.kubelet && (
          <Fact name="The kubelet says">
            <span data-field="kubelet">{kubelet(pull.kubelet)}</span>
            {pull.kubelet.agrees === false && (
              <span className={styles.disagrees} data-field="disagrees">
                <Icon name="warning" size={13} />
                far from {ours === undefined ? 'what was' : `the ${duration(ours)} that were`} seen here
              </span>
            )}
          </Fact>
        )}
        {pull.totalBytes !== undefined && <Fact name="Size">{bytes(pull.totalBytes)} compressed</Fact>}
        {pull.wastedBytes ? (
          <Fact name="Fetched again">{bytes(pull.wastedBytes)} came, and were lost</Fact>
        ) : null}
        <Moment name="Announced" at={pull.queuedAt} />
        <Moment name="Started" at={pull.phase === 'queued' ? undefined : pull.startedAt} />
        <Moment name="Manifest here" at={pull.downloadingAt} />
        <Moment name="All bytes here" at={pull.extractingAt} />
        <Moment name="Ended" at={pull.completedAt} />
        <Digest name="Index" digest={pull.rootDigest === pull.manifestDigest ? undefined : pull.rootDigest} />
        <Digest name="Manifest" digest={pull.manifestDigest} />
        {node?.runtimeVersion && <Fact name="Runtime">{node.runtimeVersion}</Fact>}
        {node?.agentVersion && <Fact name="Agent">{node.agentVersion}</Fact>}
      </dl>
    </Panel>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Moment({ name, at }: { name: string; at: string | undefined }) {
  const { clock, zone } = useFormat();
  const when = instant(at);
  if (when === undefined) return null;
  return (
    <Fact name={name}>
      <time dateTime={at} title={at}>
        {clock(when)} {zone}
      </time>
    </Fact>
  );
}

function Digest({ name, digest }: { name: string; digest: string | undefined }) {
  if (digest === undefined) return null;
  return (
    <Fact name={name}>
      <span className={styles.digest}>
        <code title={digest}>{digest}</code>
        <Copy text={digest} label={`Copy the digest: ${name}`} />
      </span>
    </Fact>
  );
}
