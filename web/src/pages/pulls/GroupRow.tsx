// A heading over the pulls of one group, and what they are together, each sum below its column.

import type { ReactNode } from 'react';
import { count, left, NONE, percent } from '../../model/format';
import type { GroupItem, Sums } from '../../model/order';
import type { PullState } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Bar } from '../../ui/Bar';
import { Bytes, Figure } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { State } from '../../ui/State';
import { type AnyColumn, LOOKS } from './columns';
import styles from './GroupRow.module.css';

interface Props {
  group: GroupItem;
  index: number;
  top: number;
  columns: readonly AnyColumn[];
  /** Whether the name is that of a state. */
  state: boolean;
  open: boolean;
  toggle: (key: string) => void;
}

const SUMS: Partial<Record<AnyColumn, (sums: Sums, name: string) => ReactNode>> = {
  progress: (sums, name) => <Progress sums={sums} name={name} />,
  bytes: (sums) => <Amount sums={sums} />,
  speed: (sums) => <Bytes value={sums.speed} per="s" />,
  eta: ({ eta, live }) => <Figure value={live > 0 && eta !== undefined ? left(eta) : NONE} />,
};

/** The name takes the place of those before the first figure. */
const spanned = (columns: readonly AnyColumn[]): number =>
  columns.filter((column) => column === 'state' || column === 'image' || column === 'node').length;

export function GroupRow({ group, index, top, columns, ...named }: Props) {
  const span = spanned(columns);
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: nothing is to be done with it.
    // biome-ignore lint/a11y/useSemanticElements: a real table cannot be drawn in part.
    <div
      className={styles.group}
      role="row"
      aria-rowindex={index + 2}
      style={{ transform: `translateY(${top}px)` }}
      data-group={group.name}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: as above. */}
      {/* biome-ignore lint/a11y/useFocusableInteractive: as above. */}
      <div
        role="rowheader"
        className={styles.name}
        aria-colspan={span}
        style={{ gridColumn: `span ${span}` }}
      >
        <GroupName group={group} {...named} />
      </div>
      {columns.slice(span).map((column) => (
        // biome-ignore lint/a11y/useSemanticElements: as above.
        <div key={column} role="cell" className={LOOKS[column].figure ? styles.figure : styles.cell}>
          {SUMS[column]?.(group.sums, group.name)}
        </div>
      ))}
    </div>
  );
}

export function GroupHeading({ group, top, ...named }: Omit<Props, 'columns' | 'index'>) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a list of which most is not drawn.
    <div
      className={styles.heading}
      role="listitem"
      style={{ transform: `translateY(${top}px)` }}
      data-group={group.name}
    >
      <GroupName group={group} {...named} />
    </div>
  );
}

type NameProps = Pick<Props, 'group' | 'state' | 'open' | 'toggle'>;

function GroupName({ group: { key, name, from, pod, sums }, state, open, toggle }: NameProps) {
  const counts = [
    count(sums.pulls, 'pull'),
    sums.live > 0 && sums.live < sums.pulls ? `${sums.live.toLocaleString('en')} live` : '',
    sums.failed > 0 && !state ? `${sums.failed.toLocaleString('en')} failed` : '',
  ].filter(Boolean);
  return (
    <>
      <button
        type="button"
        className={`${styles.toggle} ${open ? styles.open : ''}`}
        aria-expanded={open}
        aria-label={`Pulls of ${visible(name)}`}
        onClick={() => toggle(key)}
      >
        <Icon name="chevron" />
      </button>
      {state ? (
        <State state={name as PullState} word={name} />
      ) : pod ? (
        <a className={styles.title} href={href('pods', [pod.namespace, pod.name])} title={visible(name)}>
          {visible(name)}
        </a>
      ) : (
        <b className={styles.title} title={visible(name)}>
          {visible(name)}
        </b>
      )}
      {from && <span className={styles.from}>{visible(from)}</span>}
      <span className={styles.count}>{counts.join(' · ')}</span>
    </>
  );
}

const share = (part: number | undefined, whole: number | undefined): number | undefined =>
  part === undefined || whole === undefined ? undefined : whole <= 0 ? 1 : Math.min(1, part / whole);

function Progress({ sums, name }: { sums: Sums; name: string }) {
  const { bytes } = useFormat();
  if (sums.toDownload === undefined) return null;
  const downloaded = share(sums.downloaded, sums.toDownload);
  const done = downloaded === undefined ? undefined : downloaded * 100;
  return (
    <span className={styles.progress}>
      <Bar
        downloaded={downloaded}
        extracted={share(sums.extracted, sums.toExtract)}
        tone="live"
        label={`Pulls of ${name}`}
        text={`${percent(done)} downloaded, ${bytes(sums.downloaded)} of ${bytes(sums.toDownload)}`}
        percent={done}
        thin
      />
      <span title="Downloaded">
        <Figure value={percent(done)} />
      </span>
    </span>
  );
}

function Amount({ sums }: { sums: Sums }) {
  const { bytes } = useFormat();
  if (sums.toDownload === undefined) return <Figure value={NONE} />;
  return <Figure value={`${bytes(sums.downloaded)} of ${bytes(sums.toDownload)}`} />;
}
