// What somebody should look at: what fails and what to do about it, pulls that hang, nodes that are silent, and what
// the server itself does not hear.

import { type ReactNode, useMemo, useState } from 'react';
import type { ClusterStatus, NodeStatus } from '../../api/gen/wire';
import { useAll, useNow, useServer } from '../../live/hooks';
import { type FailureGroup, nextRetry } from '../../model/failures';
import { term } from '../../model/filter';
import { count, instant, seconds } from '../../model/format';
import { shortName } from '../../model/image';
import { stay } from '../../model/places';
import { why } from '../../model/pull';
import { upper, visible } from '../../model/text';
import type { Trouble } from '../../model/trouble';
import { href } from '../../route';
import { Retry } from '../../ui/Ago';
import { Icon, type IconName, reasonIcon } from '../../ui/Icon';
import { Panel } from '../../ui/Panel';
import styles from './Attention.module.css';
import { Open } from './Open';

/** So many of each are shown. */
const FAILURES = 6;
const TROUBLES = 4;
const NODES = 3;

interface Props {
  failing: readonly FailureGroup[];
  troubles: readonly Trouble[];
}

export function Attention({ failing, troubles }: Props) {
  const failed = useStaying(failing);
  const all = useAll();
  const nodes = useMemo(() => odd(all.nodes.values()), [all]);
  const cluster = useServer()?.cluster;
  const parts = failing.length + troubles.length + (nodes.lost.length > 0 ? 1 : 0) + nodes.conflict.length;
  const more = troubles.length - TROUBLES;
  return (
    <Panel
      className={styles.panel}
      title="Needs attention"
      more={parts > 0 ? parts.toLocaleString('en') : undefined}
      beside={failing.length > 0 ? <Open to={href('failures')}>All failures</Open> : undefined}
    >
      {parts === 0 && (
        <p className={styles.calm} data-message="calm">
          <Icon name="completed" size={15} />
          Nothing fails, and nothing hangs
        </p>
      )}
      <ul className={styles.list}>
        {failed.slice(0, FAILURES).map((group) => (
          <Failing key={group.key} group={group} />
        ))}
        {failing.length > FAILURES && (
          <li className={styles.more}>
            <a href={href('failures')}>{count(failing.length - FAILURES, 'more failure')}</a>
          </li>
        )}
        {troubles.slice(0, TROUBLES).map((trouble) => (
          <Hanging key={trouble.pull.id} trouble={trouble} />
        ))}
        {more > 0 && (
          <li className={styles.more}>
            <a href={href('pulls', [], { q: 'state:stalled state:slow' })}>
              {more.toLocaleString('en')} more slow or stalled
            </a>
          </li>
        )}
        {nodes.lost.length > 0 && <Silent nodes={nodes.lost} />}
        {nodes.conflict.map(({ name }) => (
          <Item
            key={name}
            look="warn"
            icon="warning"
            title={`${name} is reported twice`}
            to={href('nodes', [], { q: name })}
          >
            <p>Two agents report under this name; the older one is believed.</p>
          </Item>
        ))}
        {cluster && <Deaf cluster={cluster} />}
      </ul>
    </Panel>
  );
}

/** Failures are told with the last one first, which each try changes: to read them, they must not change places. */
function useStaying(failing: readonly FailureGroup[]): readonly FailureGroup[] {
  const [places] = useState<{ keys: readonly string[] }>({ keys: [] });
  return useMemo(() => {
    const found = stay(failing, places.keys);
    places.keys = found.map(({ key }) => key);
    return found;
  }, [failing, places]);
}

/** The nodes that do not report as they should, those that are silent longest first. */
function odd(nodes: Iterable<NodeStatus>): Record<'lost' | 'conflict', NodeStatus[]> {
  const found = { lost: [] as NodeStatus[], conflict: [] as NodeStatus[] };
  for (const node of nodes)
    if (node.state === 'lost' || node.state === 'conflict') found[node.state].push(node);
  const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  found.lost.sort((a, b) => byText(a.lastReportAt, b.lastReportAt) || byText(a.name, b.name));
  return found;
}

interface ItemProps {
  look: 'bad' | 'warn' | 'quiet';
  icon: IconName;
  title: string;
  to?: string;
  /** At the end of the title: when it goes on. */
  beside?: ReactNode;
  children?: ReactNode;
}

function Item({ look, icon, title, to, beside, children }: ItemProps) {
  return (
    <li className={`${styles.item} ${styles[look]}`}>
      <Icon name={icon} size={16} />
      <h3>{to === undefined ? visible(title) : <a href={to}>{visible(title)}</a>}</h3>
      {beside && <span className={styles.beside}>{beside}</span>}
      <div className={styles.body}>{children}</div>
    </li>
  );
}

function Failing({ group }: { group: FailureGroup }) {
  const { last, image, pods, nodes, tries, retrying } = group;
  const spaces = [...new Set(pods.map((pod) => pod.slice(0, pod.indexOf('/'))))];
  const facts = [
    pods.length > 0 &&
      `${count(pods.length, 'pod')} in ${spaces.slice(0, 2).join(', ')}${spaces.length > 2 ? ', …' : ''}`,
    count(nodes, 'node'),
    count(tries, 'try', 'tries'),
  ];
  const said = last.failure?.hint ?? last.failure?.message ?? last.error;
  return (
    <Item
      look="bad"
      icon={reasonIcon(group.reason)}
      title={upper(why(last) ?? 'it failed')}
      to={href('failures', [], { q: image.known ? term('image', shortName(last)) : undefined })}
      beside={retrying.length >= group.pulls.length ? 'tried again now' : <Next group={group} />}
    >
      <p className={styles.image}>
        <span className={styles.name} title={visible(last.imageRef ?? '')}>
          {visible(image.name)}
        </span>
        {image.version && <span className={styles.version}>{visible(image.version)}</span>}
        <span className={styles.facts}>{facts.filter(Boolean).join(' · ')}</span>
      </p>
      {said && (
        <p className={styles.said} title={visible(said)}>
          {visible(upper(said))}
        </p>
      )}
    </Item>
  );
}

function Next({ group }: { group: FailureGroup }) {
  const at = nextRetry(group, useNow());
  return at === undefined ? null : <Retry at={at} />;
}

function Hanging({ trouble: { pull, kind, since, slower } }: { trouble: Trouble }) {
  const image = visible(shortName(pull));
  if (kind === 'slow') {
    return (
      <Item
        look="warn"
        icon="slow"
        title={
          slower === undefined
            ? `${pull.nodeName} is slow`
            : `${pull.nodeName} is ${slower.toFixed(1)}× slower`
        }
        to={href('pulls', [pull.id])}
      >
        <p className={styles.said}>
          {slower === undefined
            ? `far slower than usual from the registry of ${image}`
            : `than the other nodes that pull ${image}`}
        </p>
      </Item>
    );
  }
  return (
    <Item
      look="warn"
      icon="warning"
      title={`Stalled on ${pull.nodeName}`}
      to={href('pulls', [pull.id])}
      beside={<For since={since} />}
    >
      <p className={styles.said}>
        {pull.phase === 'extracting' ? 'Unpacking has not got on' : 'No byte has come'}: {image}
      </p>
    </Item>
  );
}

function Silent({ nodes }: { nodes: readonly NodeStatus[] }) {
  const more = nodes.length - NODES;
  return (
    <Item
      look="warn"
      icon="silent"
      title={`${count(nodes.length, 'node is', 'nodes are')} not reporting`}
      to={href('nodes', [], { q: 'lost' })}
    >
      {nodes.slice(0, NODES).map(({ name, lastReportAt }) => (
        <p key={name} className={styles.line}>
          <span title={visible(name)}>{visible(name)}</span> silent for <For since={instant(lastReportAt)} />
        </p>
      ))}
      {more > 0 && <p>and {more.toLocaleString('en')} more</p>}
    </Item>
  );
}

function For({ since }: { since: number | undefined }) {
  const now = useNow();
  return since === undefined ? 'long' : seconds(Math.max(0, now - since) / 1000);
}

const DEAF: Record<string, string> = {
  off: 'is not told to watch them',
  forbidden: 'may not watch them',
  unauthorized: 'is not known to the API server',
  unreachable: 'does not reach the API server',
  odd: 'does not understand the API server',
};

/** Without pods nobody knows who waits; that is no fault of any pull. */
function Deaf({ cluster }: { cluster: ClusterStatus }) {
  const words = DEAF[cluster.pods];
  if (words === undefined) return null;
  return (
    <Item look="quiet" icon="pod" title="Pods are not shown">
      <p>The server {words}, so nobody knows which pods wait.</p>
      {cluster.podsReason && <p className={styles.said}>{visible(cluster.podsReason)}</p>}
    </Item>
  );
}
