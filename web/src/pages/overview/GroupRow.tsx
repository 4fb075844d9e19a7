// One group of pulls in progress.

import type { ReactNode } from 'react';
import { term } from '../../model/filter';
import { count, left, NONE, percent } from '../../model/format';
import type { By, Dot, Group } from '../../model/groups';
import { imageName, shortName } from '../../model/image';
import { visible } from '../../model/text';
import { href } from '../../route';
import { Bar, type Tone } from '../../ui/Bar';
import { Dots } from '../../ui/Dots';
import { Bytes, Figure } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import styles from './GroupRow.module.css';

interface Props {
  group: Group;
  by: By;
  /** Whether the server hears of pods: else nobody knows how many wait. */
  watched: boolean;
}

export function GroupRow({ group, by, watched }: Props) {
  const name = nameOf(group, by);
  return (
    <tr data-group={group.key} data-live={group.live}>
      <th scope="row" className={styles.name}>
        <Name group={group} by={by} name={name} />
      </th>
      <td className={styles.progress} title={said(group)}>
        <div className={styles.bar}>
          <Bar
            downloaded={group.downloaded}
            extracted={group.extracted}
            tone={tone(group)}
            label={`Pulls of ${name}`}
            text={said(group)}
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
          <Figure value={group.pods > 0 || watched ? group.pods.toLocaleString('en') : NONE} field="pods" />
        </td>
      )}
    </tr>
  );
}

const OTHERS: Record<By, string> = {
  image: 'Image not known yet',
  node: '',
  namespace: 'No pod known to wait',
  pod: 'No pod known to wait',
};

function nameOf({ key, any }: Group, by: By): string {
  if (key === '') return OTHERS[by];
  return visible(by === 'image' ? shortName(any) : key);
}

/** Where the group is to be seen whole; nowhere where it is only what is left over. */
function target({ key }: Group, by: By): string | undefined {
  if (key === '') return undefined;
  if (by === 'pod') return href('pods', key.split('/'));
  return href('pulls', [], { q: term(by === 'namespace' ? 'ns' : by, key) });
}

function Name({ group, by, name }: { group: Group; by: By; name: string }) {
  const to = target(group, by);
  const image = by === 'image' && group.key !== '' ? imageName(group.any) : undefined;
  const [first, second] = image ? [visible(image.name), visible(image.version)] : apart(name, by);
  return (
    <>
      <a className={styles.link} href={to} title={image ? visible(group.key) : name} data-field="name">
        <b>{first}</b>
        {second && <span className={image ? styles.version : styles.namespace}>{second}</span>}
      </a>
      <small className={styles.more}>{context(group, by, image?.registry)}</small>
    </>
  );
}

/** The pod first, then its namespace. */
function apart(name: string, by: By): [string, string] {
  const slash = by === 'pod' ? name.indexOf('/') : -1;
  return slash < 0 ? [name, ''] : [name.slice(slash + 1), name.slice(0, slash)];
}

const SHOWN = 3;

/** `a, b, c and 4 more` */
function some(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return more > 0
    ? `${names.slice(0, SHOWN).join(', ')} and ${more.toLocaleString('en')} more`
    : names.join(', ');
}

function context({ images, nodes, namespaces }: Group, by: By, registry: string | undefined): string {
  const parts: Record<By, (string | undefined)[]> = {
    image: [registry, some(namespaces)],
    node: [some(images)],
    namespace: [count(nodes.length, 'node'), some(images)],
    pod: [some(nodes), some(images)],
  };
  return visible(parts[by].filter(Boolean).join(' · '));
}

function tone({ live, all, dots, queued, downloaded }: Group): Tone {
  if (live > 0 && dots.unseen === live) return 'still';
  if (downloaded !== undefined) return 'live';
  return queued === live && all === live ? 'queued' : 'unsized';
}

const WORDS: Record<Dot, string> = {
  ready: 'ready',
  extracting: 'extracting',
  downloading: 'downloading',
  stalled: 'stalled',
  unseen: 'not seen',
  waiting: 'waiting',
  failed: 'failed',
};

/** `46 %, 5 extracting, 6 downloading, 4 waiting` */
function said({ percent: done, dots }: Group): string {
  const states = (Object.keys(WORDS) as Dot[])
    .filter((dot) => dots[dot] > 0)
    .map((dot) => `${dots[dot].toLocaleString('en')} ${WORDS[dot]}`);
  return [done === undefined ? 'size not known yet' : percent(done), ...states].join(', ');
}

function Eta({ group, by }: { group: Group; by: By }): ReactNode {
  const { slowest, queued, live, dots } = group;
  if (slowest === undefined) {
    const why =
      live > 0 && queued === live
        ? `${queued.toLocaleString('en')} queued`
        : live > 0 && dots.unseen === live
          ? 'not seen'
          : undefined;
    return <span className={why ? styles.why : undefined}>{why ?? NONE}</span>;
  }
  const { pull, seconds, trouble } = slowest;
  // Of what is on one node, it is the image that tells which one it is.
  const who = visible(by === 'node' || by === 'pod' ? shortName(pull) : pull.nodeName);
  return (
    <>
      <Figure value={trouble === 'stalled' ? 'stalled' : left(seconds).replace('~', '')} field="eta" />
      {(group.live > 1 || trouble) && (
        <a
          className={`${styles.who} ${trouble ? styles.trouble : ''}`}
          href={href('pulls', [pull.id])}
          title={trouble === 'slow' ? `${who}: far slower than usual from this registry` : who}
        >
          {trouble && <Icon name="warning" size={12} />}
          {trouble && <span className="hidden">{trouble}: </span>}
          <span>{who}</span>
        </a>
      )}
    </>
  );
}
