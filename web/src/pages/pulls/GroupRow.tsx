// The heading of a group, with sums below the columns.

import type { ReactNode } from 'react';
import { count, percent, timeLeft, UNKNOWN } from '../../model/format';
import type { GroupItem, GroupSums } from '../../model/order';
import type { PullState } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Bar } from '../../ui/Bar';
import { Bytes, Figure } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { StateLabel } from '../../ui/StateLabel';
import { type AnyColumn, COLUMN_LAYOUTS } from './columns';
import styles from './GroupRow.module.css';

interface Props {
  group: GroupItem;
  index: number;
  top: number;
  columns: readonly AnyColumn[];
  /** True if the name is a pull state. */
  isState: boolean;
  isOpen: boolean;
  toggle: (key: string) => void;
}

const SUM_CELLS: Partial<Record<AnyColumn, (sums: GroupSums, name: string) => ReactNode>> = {
  progress: (sums, name) => <ProgressSum sums={sums} name={name} />,
  bytes: (sums) => <BytesSum sums={sums} />,
  speed: (sums) => <Bytes value={sums.speed} per="s" />,
  eta: ({ eta, live }) => <Figure value={live > 0 && eta !== undefined ? timeLeft(eta) : UNKNOWN} />,
};

/** Counts the columns before the first sum, which the name spans. */
const leadingColumns = (columns: readonly AnyColumn[]): number =>
  columns.filter((column) => column === 'state' || column === 'image' || column === 'node').length;

export function GroupRow({ group, index, top, columns, ...nameProps }: Props) {
  const span = leadingColumns(columns);
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: it is not interactive.
    // biome-ignore lint/a11y/useSemanticElements: the table is virtualized.
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
        <GroupName group={group} {...nameProps} />
      </div>
      {columns.slice(span).map((column) => (
        // biome-ignore lint/a11y/useSemanticElements: as above.
        <div
          key={column}
          role="cell"
          className={COLUMN_LAYOUTS[column].isNumeric ? styles.figure : styles.cell}
        >
          {SUM_CELLS[column]?.(group.sums, group.name)}
        </div>
      ))}
    </div>
  );
}

export function GroupHeading({ group, top, ...nameProps }: Omit<Props, 'columns' | 'index'>) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: the list is virtualized.
    <div
      className={styles.heading}
      role="listitem"
      style={{ transform: `translateY(${top}px)` }}
      data-group={group.name}
    >
      <GroupName group={group} {...nameProps} />
    </div>
  );
}

type NameProps = Pick<Props, 'group' | 'isState' | 'isOpen' | 'toggle'>;

function GroupName({ group: { key, name, registry, pod, sums }, isState, isOpen, toggle }: NameProps) {
  const counts = [
    count(sums.pulls, 'pull'),
    sums.live > 0 && sums.live < sums.pulls ? `${sums.live.toLocaleString('en')} live` : '',
    sums.failed > 0 && !isState ? `${sums.failed.toLocaleString('en')} failed` : '',
  ].filter(Boolean);
  return (
    <>
      <button
        type="button"
        className={`${styles.toggle} ${isOpen ? styles.open : ''}`}
        aria-expanded={isOpen}
        aria-label={`Pulls of ${escapeHidden(name)}`}
        onClick={() => toggle(key)}
      >
        <Icon name="chevron" />
      </button>
      {isState ? (
        <StateLabel state={name as PullState} word={name} />
      ) : pod ? (
        <a className={styles.title} href={href('pods', [pod.namespace, pod.name])} title={escapeHidden(name)}>
          {escapeHidden(name)}
        </a>
      ) : (
        <b className={styles.title} title={escapeHidden(name)}>
          {escapeHidden(name)}
        </b>
      )}
      {registry && <span className={styles.from}>{escapeHidden(registry)}</span>}
      <span className={styles.count}>{counts.join(' · ')}</span>
    </>
  );
}

const share = (part: number | undefined, whole: number | undefined): number | undefined =>
  part === undefined || whole === undefined ? undefined : whole <= 0 ? 1 : Math.min(1, part / whole);

function ProgressSum({ sums, name }: { sums: GroupSums; name: string }) {
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
        valueText={`${percent(done)} downloaded, ${bytes(sums.downloaded)} of ${bytes(sums.toDownload)}`}
        percent={done}
        thin
      />
      <span title="Downloaded">
        <Figure value={percent(done)} />
      </span>
    </span>
  );
}

function BytesSum({ sums }: { sums: GroupSums }) {
  const { bytes } = useFormat();
  if (sums.toDownload === undefined) return <Figure value={UNKNOWN} />;
  return <Figure value={`${bytes(sums.downloaded)} of ${bytes(sums.toDownload)}`} />;
}
