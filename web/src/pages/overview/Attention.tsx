// Problems to look at: failures with advice, slow and stalled pulls, silent nodes, and missing pod
// data.

import { type ReactNode, useMemo, useState } from 'react';
import type { ClusterStatus, NodeStatus } from '../../api/gen/wire';
import { useDataset, useNow, useServer } from '../../live/hooks';
import { type FailureGroup, nextRetry } from '../../model/failures';
import { formatTerm } from '../../model/filter';
import { count, parseInstant, seconds } from '../../model/format';
import { shortName } from '../../model/image';
import type { PullIssue } from '../../model/issues';
import { keepPositions } from '../../model/keepPositions';
import { failureTitle } from '../../model/pull';
import { capitalize, escapeHidden } from '../../model/text';
import { href } from '../../route';
import { RetryCountdown } from '../../ui/Ago';
import { Icon, type IconName, reasonIcon } from '../../ui/Icon';
import { Panel } from '../../ui/Panel';
import styles from './Attention.module.css';
import { HeadingLink } from './HeadingLink';

/** Limits of items shown. */
const MAX_FAILURES = 6;
const MAX_ISSUES = 4;
const MAX_NODES = 3;

interface Props {
  failures: readonly FailureGroup[];
  issues: readonly PullIssue[];
}

export function Attention({ failures, issues }: Props) {
  const ordered = useStableOrder(failures);
  const dataset = useDataset();
  const nodes = useMemo(() => problemNodes(dataset.nodes.values()), [dataset]);
  const cluster = useServer()?.cluster;
  const itemCount = failures.length + issues.length + (nodes.lost.length > 0 ? 1 : 0) + nodes.conflict.length;
  const hiddenCount = issues.length - MAX_ISSUES;
  return (
    <Panel
      className={styles.panel}
      title="Needs attention"
      summary={itemCount > 0 ? itemCount.toLocaleString('en') : undefined}
      actions={
        failures.length > 0 ? <HeadingLink to={href('failures')}>All failures</HeadingLink> : undefined
      }
    >
      {itemCount === 0 && (
        <p className={styles.calm} data-message="calm">
          <Icon name="completed" size={15} />
          No failed or stalled pulls
        </p>
      )}
      <ul className={styles.list}>
        {ordered.slice(0, MAX_FAILURES).map((group) => (
          <FailureItem key={group.key} group={group} />
        ))}
        {failures.length > MAX_FAILURES && (
          <li className={styles.more}>
            <a href={href('failures')}>{count(failures.length - MAX_FAILURES, 'more failure')}</a>
          </li>
        )}
        {issues.slice(0, MAX_ISSUES).map((issue) => (
          <IssueItem key={issue.pull.id} issue={issue} />
        ))}
        {hiddenCount > 0 && (
          <li className={styles.more}>
            <a href={href('pulls', [], { q: 'state:stalled state:slow' })}>
              {hiddenCount.toLocaleString('en')} more slow or stalled
            </a>
          </li>
        )}
        {nodes.lost.length > 0 && <SilentNodes nodes={nodes.lost} />}
        {nodes.conflict.map(({ name }) => (
          <AttentionItem
            key={name}
            kind="conflict"
            tone="warn"
            icon="warning"
            title={`${name}: name conflict`}
            to={href('nodes', [], { q: name })}
          >
            <p>Two agents report this node name; the older one is used.</p>
          </AttentionItem>
        ))}
        {cluster && <PodsUnavailable cluster={cluster} />}
      </ul>
    </Panel>
  );
}

/**
 * Failures are sorted by time, which changes with every attempt. Keeps their positions, so that
 * they can be read.
 */
function useStableOrder(failures: readonly FailureGroup[]): readonly FailureGroup[] {
  const [positions] = useState<{ keys: readonly string[] }>({ keys: [] });
  return useMemo(() => {
    const found = keepPositions(failures, positions.keys);
    positions.keys = found.map(({ key }) => key);
    return found;
  }, [failures, positions]);
}

/** Returns nodes that do not report properly, the longest silent first. */
function problemNodes(nodes: Iterable<NodeStatus>): Record<'lost' | 'conflict', NodeStatus[]> {
  const found = { lost: [] as NodeStatus[], conflict: [] as NodeStatus[] };
  for (const node of nodes)
    if (node.state === 'lost' || node.state === 'conflict') found[node.state].push(node);
  const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  found.lost.sort((a, b) => byText(a.lastReportAt, b.lastReportAt) || byText(a.name, b.name));
  return found;
}

interface AttentionItemProps {
  kind: 'failure' | 'slow' | 'stalled' | 'silent' | 'conflict' | 'pods';
  tone: 'bad' | 'warn' | 'quiet';
  icon: IconName;
  title: string;
  to?: string;
  /** At the end of the title, e.g. the time to the next retry. */
  aside?: ReactNode;
  children?: ReactNode;
}

function AttentionItem({ kind, tone, icon, title, to, aside, children }: AttentionItemProps) {
  return (
    <li className={`${styles.item} ${styles[tone]}`} data-attention={kind}>
      <Icon name={icon} size={16} />
      <h3>{to === undefined ? escapeHidden(title) : <a href={to}>{escapeHidden(title)}</a>}</h3>
      {aside && (
        <span className={styles.beside} data-field="aside">
          {aside}
        </span>
      )}
      <div className={styles.body}>{children}</div>
    </li>
  );
}

function FailureItem({ group }: { group: FailureGroup }) {
  const { last, image, pods, nodes, attempts, retrying } = group;
  const namespaces = [...new Set(pods.map((pod) => pod.slice(0, pod.indexOf('/'))))];
  const facts = [
    pods.length > 0 &&
      `${count(pods.length, 'pod')} in ${namespaces.slice(0, 2).join(', ')}${namespaces.length > 2 ? ', …' : ''}`,
    count(nodes, 'node'),
    count(attempts, 'attempt', 'attempts'),
  ];
  const explanation = last.failure?.hint ?? last.failure?.message ?? last.error;
  return (
    <AttentionItem
      kind="failure"
      tone="bad"
      icon={reasonIcon(group.reason)}
      title={capitalize(failureTitle(last) ?? 'failed')}
      to={href('failures', [], { q: image.known ? formatTerm('image', shortName(last)) : undefined })}
      aside={retrying.length >= group.pulls.length ? 'retrying' : <NextRetry group={group} />}
    >
      <p className={styles.image}>
        <span className={styles.name} title={escapeHidden(last.imageRef ?? '')}>
          {escapeHidden(image.name)}
        </span>
        {image.version && <span className={styles.version}>{escapeHidden(image.version)}</span>}
        <span className={styles.facts}>{facts.filter(Boolean).join(' · ')}</span>
      </p>
      {explanation && (
        <p className={styles.said} title={escapeHidden(explanation)}>
          {escapeHidden(capitalize(explanation))}
        </p>
      )}
    </AttentionItem>
  );
}

function NextRetry({ group }: { group: FailureGroup }) {
  const at = nextRetry(group, useNow());
  return at === undefined ? null : <RetryCountdown at={at} />;
}

function IssueItem({ issue: { pull, kind, since, slowdown } }: { issue: PullIssue }) {
  const image = escapeHidden(shortName(pull));
  if (kind === 'slow') {
    return (
      <AttentionItem
        kind="slow"
        tone="warn"
        icon="slow"
        title={
          slowdown === undefined
            ? `${pull.nodeName} is slow`
            : `${pull.nodeName} is ${slowdown.toFixed(1)}× slower`
        }
        to={href('pulls', [pull.id])}
      >
        <p className={styles.said}>
          {slowdown === undefined
            ? `Far below the usual registry speed: ${image}`
            : `Compared with the other nodes that pull ${image}`}
        </p>
      </AttentionItem>
    );
  }
  return (
    <AttentionItem
      kind="stalled"
      tone="warn"
      icon="warning"
      title={`Stalled on ${pull.nodeName}`}
      to={href('pulls', [pull.id])}
      aside={<DurationSince since={since} />}
    >
      <p className={styles.said}>
        {pull.phase === 'extracting' ? 'No unpack progress' : 'No data received'}: {image}
      </p>
    </AttentionItem>
  );
}

function SilentNodes({ nodes }: { nodes: readonly NodeStatus[] }) {
  const more = nodes.length - MAX_NODES;
  return (
    <AttentionItem
      kind="silent"
      tone="warn"
      icon="silent"
      title={`${count(nodes.length, 'node is', 'nodes are')} not reporting`}
      to={href('nodes', [], { q: 'lost' })}
    >
      {nodes.slice(0, MAX_NODES).map(({ name, lastReportAt }) => (
        <p key={name} className={styles.line}>
          <span title={escapeHidden(name)}>{escapeHidden(name)}</span>: no report for{' '}
          <DurationSince since={parseInstant(lastReportAt)} />
        </p>
      ))}
      {more > 0 && <p>and {more.toLocaleString('en')} more</p>}
    </AttentionItem>
  );
}

function DurationSince({ since }: { since: number | undefined }) {
  const now = useNow();
  return since === undefined ? 'unknown' : seconds(Math.max(0, now - since) / 1000);
}

const POD_SOURCE_PROBLEMS: Record<string, string> = {
  off: 'does not watch pods',
  forbidden: 'is not allowed to watch pods',
  unauthorized: 'is unauthorized at the Kubernetes API',
  unreachable: 'cannot reach the Kubernetes API',
  odd: 'received malformed data from the Kubernetes API',
};

/** Without pods it is unknown which pods wait; no pull is at fault. */
function PodsUnavailable({ cluster }: { cluster: ClusterStatus }) {
  const problem = POD_SOURCE_PROBLEMS[cluster.pods];
  if (problem === undefined) return null;
  return (
    <AttentionItem kind="pods" tone="quiet" icon="pod" title="Pods unavailable">
      <p>The server {problem}.</p>
      {cluster.podsReason && <p className={styles.said}>{escapeHidden(cluster.podsReason)}</p>}
    </AttentionItem>
  );
}
