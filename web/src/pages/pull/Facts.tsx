// Further details of a pull: times, the kubelet's measurement, bytes downloaded again.

import type { ReactNode } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useNode } from '../../live/hooks';
import { duration, parseInstant } from '../../model/format';
import { kubeletDuration, pullDuration } from '../../model/pull';
import { useFormat } from '../../settings';
import { Copy } from '../../ui/Copy';
import { Icon } from '../../ui/Icon';
import { Panel } from '../../ui/Panel';
import styles from './Side.module.css';

export function Facts({ pull }: { pull: PullStatus }) {
  const { bytes } = useFormat();
  const node = useNode(pull.nodeName);
  const observed = pullDuration(pull);
  return (
    <Panel title="Details">
      <dl className={styles.facts}>
        {pull.kubelet && (
          <Fact name="Kubelet duration">
            <span data-field="kubelet">{kubeletDuration(pull.kubelet)}</span>
            {pull.kubelet.agrees === false && (
              <span className={styles.disagrees} data-field="disagrees">
                <Icon name="warning" size={13} />
                differs from {observed === undefined ? 'the time' : `the ${duration(observed)}`} observed
              </span>
            )}
          </Fact>
        )}
        {pull.totalBytes !== undefined && <Fact name="Size">{bytes(pull.totalBytes)} compressed</Fact>}
        {pull.wastedBytes ? <Fact name="Lost bytes">{bytes(pull.wastedBytes)} downloaded again</Fact> : null}
        <TimeFact name="Queued" at={pull.queuedAt} />
        <TimeFact name="Started" at={pull.phase === 'queued' ? undefined : pull.startedAt} />
        <TimeFact name="Resolved" at={pull.downloadingAt} />
        <TimeFact name="Downloaded" at={pull.extractingAt} />
        <TimeFact name="Ended" at={pull.completedAt} />
        <DigestFact
          name="Index"
          digest={pull.rootDigest === pull.manifestDigest ? undefined : pull.rootDigest}
        />
        <DigestFact name="Manifest" digest={pull.manifestDigest} />
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

function TimeFact({ name, at }: { name: string; at: string | undefined }) {
  const { clock, zone } = useFormat();
  const instant = parseInstant(at);
  if (instant === undefined) return null;
  return (
    <Fact name={name}>
      <time dateTime={at} title={at}>
        {clock(instant)} {zone}
      </time>
    </Fact>
  );
}

function DigestFact({ name, digest }: { name: string; digest: string | undefined }) {
  if (digest === undefined) return null;
  return (
    <Fact name={name}>
      <span className={styles.digest}>
        <code title={digest}>{digest}</code>
        <Copy text={digest} label={`Copy digest: ${name}`} />
      </span>
    </Fact>
  );
}
