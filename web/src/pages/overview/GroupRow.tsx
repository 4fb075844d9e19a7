// One group of pulls in progress.

import type { ReactNode } from 'react';
import { formatTerm } from '../../model/filter';
import { count, percent, timeLeft, UNKNOWN } from '../../model/format';
import type { DotState, RolloutGrouping, RolloutSummary } from '../../model/groups';
import { imageName, shortName } from '../../model/image';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { Bar, type Tone } from '../../ui/Bar';
import { Dots } from '../../ui/Dots';
import { Bytes, Figure } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import styles from './GroupRow.module.css';

interface Props {
  group: RolloutSummary;
  by: RolloutGrouping;
  /** False if the server does not watch pods: the number of waiting pods is unknown. */
  arePodsKnown: boolean;
}

export function GroupRow({ group, by, arePodsKnown }: Props) {
  const name = groupName(group, by);
  return (
    <tr data-group={group.key} data-live={group.live}>
      <th scope="row" className={styles.name}>
        <GroupName group={group} by={by} name={name} />
      </th>
      <td className={styles.progress} title={describeProgress(group)}>
        <div className={styles.bar}>
          <Bar
            downloaded={group.downloaded}
            extracted={group.extracted}
            tone={barTone(group)}
            label={`Pulls of ${name}`}
            valueText={describeProgress(group)}
            percent={group.percent}
          />
          <Figure value={percent(group.percent)} field="percent" />
        </div>
        <Dots dots={group.dots} />
      </td>
      <td className={styles.ready} title={`${group.ready} of ${count(group.all, 'pull')} completed`}>
        <Figure value={group.ready.toLocaleString('en')} field="ready" />
        <span className={styles.of}> / {group.all.toLocaleString('en')}</span>
      </td>
      <td className={styles.speed}>
        <Bytes value={group.speed} per="s" field="speed" />
      </td>
      <td className={styles.eta}>
        <Eta group={group} by={by} />
      </td>
      {by !== 'pod' && (
        <td className={styles.pods}>
          <Figure
            value={group.pods > 0 || arePodsKnown ? group.pods.toLocaleString('en') : UNKNOWN}
            field="pods"
          />
        </td>
      )}
    </tr>
  );
}

const UNGROUPED_NAMES: Record<RolloutGrouping, string> = {
  image: 'Unknown image',
  node: '',
  namespace: 'No waiting pod',
  pod: 'No waiting pod',
};

function groupName({ key, example }: RolloutSummary, by: RolloutGrouping): string {
  if (key === '') return UNGROUPED_NAMES[by];
  return escapeHidden(by === 'image' ? shortName(example) : key);
}

/** Returns the link to the whole group; undefined for pulls without a group. */
function groupHref({ key }: RolloutSummary, by: RolloutGrouping): string | undefined {
  if (key === '') return undefined;
  if (by === 'pod') return href('pods', key.split('/'));
  return href('pulls', [], { q: formatTerm(by === 'namespace' ? 'ns' : by, key) });
}

function GroupName({ group, by, name }: { group: RolloutSummary; by: RolloutGrouping; name: string }) {
  const to = groupHref(group, by);
  const image = by === 'image' && group.key !== '' ? imageName(group.example) : undefined;
  const [first, second] = image
    ? [escapeHidden(image.name), escapeHidden(image.version)]
    : splitName(name, by);
  return (
    <>
      <a className={styles.link} href={to} title={image ? escapeHidden(group.key) : name} data-field="name">
        <b>{first}</b>
        {second && <span className={image ? styles.version : styles.namespace}>{second}</span>}
      </a>
      <small className={styles.more}>{context(group, by, image?.registry)}</small>
    </>
  );
}

/** Splits a pod into name and namespace. */
function splitName(name: string, by: RolloutGrouping): [string, string] {
  const slash = by === 'pod' ? name.indexOf('/') : -1;
  return slash < 0 ? [name, ''] : [name.slice(slash + 1), name.slice(0, slash)];
}

const MAX_NAMES = 3;

/** `a, b, c and 4 more` */
function summarizeNames(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  return more > 0
    ? `${names.slice(0, MAX_NAMES).join(', ')} and ${more.toLocaleString('en')} more`
    : names.join(', ');
}

function context(
  { images, nodes, namespaces }: RolloutSummary,
  by: RolloutGrouping,
  registry: string | undefined,
): string {
  const parts: Record<RolloutGrouping, (string | undefined)[]> = {
    image: [registry, summarizeNames(namespaces)],
    node: [summarizeNames(images)],
    namespace: [count(nodes.length, 'node'), summarizeNames(images)],
    pod: [summarizeNames(nodes), summarizeNames(images)],
  };
  return escapeHidden(parts[by].filter(Boolean).join(' · '));
}

function barTone({ live, all, dots, queued, downloaded }: RolloutSummary): Tone {
  if (live > 0 && dots.unseen === live) return 'still';
  if (downloaded !== undefined) return 'live';
  return queued === live && all === live ? 'queued' : 'unsized';
}

const DOT_LABELS: Record<DotState, string> = {
  ready: 'ready',
  extracting: 'extracting',
  downloading: 'downloading',
  stalled: 'stalled',
  unseen: 'stale',
  waiting: 'waiting',
  failed: 'failed',
};

/** `46 %, 5 extracting, 6 downloading, 4 waiting` */
function describeProgress({ percent: done, dots }: RolloutSummary): string {
  const states = (Object.keys(DOT_LABELS) as DotState[])
    .filter((dot) => dots[dot] > 0)
    .map((dot) => `${dots[dot].toLocaleString('en')} ${DOT_LABELS[dot]}`);
  return [done === undefined ? 'size unknown' : percent(done), ...states].join(', ');
}

function Eta({ group, by }: { group: RolloutSummary; by: RolloutGrouping }): ReactNode {
  const { straggler, queued, live, dots } = group;
  if (straggler === undefined) {
    const note =
      live > 0 && queued === live
        ? `${queued.toLocaleString('en')} queued`
        : live > 0 && dots.unseen === live
          ? 'stale'
          : undefined;
    return <span className={note ? styles.why : undefined}>{note ?? UNKNOWN}</span>;
  }
  const { pull, etaSeconds, trouble } = straggler;
  // Within one node or pod, pulls differ by image; otherwise by node.
  const culprit = escapeHidden(by === 'node' || by === 'pod' ? shortName(pull) : pull.nodeName);
  return (
    <>
      <Figure value={trouble === 'stalled' ? 'stalled' : timeLeft(etaSeconds).replace('~', '')} field="eta" />
      {(group.live > 1 || trouble) && (
        <a
          className={`${styles.who} ${trouble ? styles.trouble : ''}`}
          href={href('pulls', [pull.id])}
          data-trouble={trouble}
          title={trouble === 'slow' ? `${culprit}: far below the usual speed of this registry` : culprit}
        >
          {trouble && <Icon name="warning" size={12} />}
          {trouble && <span className="hidden">{trouble}: </span>}
          <span>{culprit}</span>
        </a>
      )}
    </>
  );
}
