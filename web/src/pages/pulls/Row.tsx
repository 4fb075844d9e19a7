// One pull as a table row or card. Subscribes to its own row only, so that updates of other pulls
// do not render it; its position is passed in.

import { type CSSProperties, memo, type ReactNode } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useRow } from '../../live/hooks';
import { imageName } from '../../model/image';
import { isLive, pullState } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { Image } from '../../ui/Image';
import { StateLabel } from '../../ui/StateLabel';
import { Amount, Eta, Failed, LayersDone, Progress, rowTitle, Speed, Started, Waiting } from './cells';
import type { AnyColumn } from './columns';
import { COLUMN_LAYOUTS } from './columns';
import styles from './Row.module.css';

interface Props {
  id: string;
  /** Index among all rows, and offset in pixels. */
  index: number;
  top: number;
  columns: readonly AnyColumn[];
}

const CELLS: Record<AnyColumn, (pull: PullStatus) => ReactNode> = {
  state: (pull) => <StateLabel state={pullState(pull)} word={pull.outcome ?? pull.phase} />,
  image: (pull) => <Name pull={pull} />,
  node: (pull) => <code className={styles.node}>{escapeHidden(pull.nodeName)}</code>,
  progress: (pull) => <Progress pull={pull} />,
  bytes: (pull) => <Amount pull={pull} />,
  speed: (pull) => <Speed pull={pull} />,
  eta: (pull) => <Eta pull={pull} />,
  layers: (pull) => <LayersDone pull={pull} />,
  pods: (pull) => <Waiting pull={pull} />,
  started: (pull) => <Started pull={pull} />,
};

/** A failed pull shows its failure in these columns. */
const FAILURE_COLUMNS: readonly AnyColumn[] = ['progress', 'bytes', 'speed', 'eta', 'layers'];

const positionStyle = (top: number): CSSProperties => ({ transform: `translateY(${top}px)` });

const dataAttributes = (pull: PullStatus) => ({
  'data-pull': pull.id,
  'data-node': pull.nodeName,
  'data-phase': pull.phase,
  'data-state': pullState(pull),
});

export const Row = memo(({ id, index, top, columns }: Props) => {
  const pull = useRow(id);
  if (!pull) return null;
  const mergedColumns =
    pullState(pull) === 'failed' ? columns.filter((column) => FAILURE_COLUMNS.includes(column)) : [];
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: its link is focusable.
    // biome-ignore lint/a11y/useSemanticElements: the table is virtualized.
    <div
      className={`${styles.row} ${isLive(pull) ? '' : styles.over}`}
      role="row"
      aria-rowindex={index + 2}
      data-index={index}
      style={positionStyle(top)}
      {...dataAttributes(pull)}
    >
      {columns.map((column) => {
        if (mergedColumns.includes(column) && column !== mergedColumns[0]) return null;
        const span = column === mergedColumns[0] ? mergedColumns.length : 1;
        return (
          // biome-ignore lint/a11y/useSemanticElements: as above.
          <div
            key={column}
            role="cell"
            className={`${styles.cell} ${COLUMN_LAYOUTS[column].isNumeric && span === 1 ? styles.figure : ''}`}
            aria-colspan={span > 1 ? span : undefined}
            style={span > 1 ? { gridColumn: `span ${span}` } : undefined}
          >
            {column === mergedColumns[0] ? <Failed pull={pull} timed /> : CELLS[column](pull)}
          </div>
        );
      })}
    </div>
  );
});

/** The link covers the whole row. */
function Name({ pull }: { pull: PullStatus }) {
  const { imageRef, repository, rootDigest, manifestDigest } = pull;
  const { known, name } = imageName(pull);
  return (
    <a
      className={styles.link}
      href={href('pulls', [pull.id])}
      title={rowTitle(pull)}
      aria-label={known ? undefined : `${name}, on ${pull.nodeName}`}
      data-link
    >
      <Image {...nameProps({ imageRef, repository, rootDigest, manifestDigest })} />
    </a>
  );
}

type NameFields = Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'>;
/** Treats undefined fields as omitted. */
const nameProps = (names: { [Name in keyof NameFields]: NameFields[Name] | undefined }): NameFields =>
  names as NameFields;

export const Card = memo(({ id, index, total, top }: Omit<Props, 'columns'> & { total: number }) => {
  const pull = useRow(id);
  if (!pull) return null;
  const state = pullState(pull);
  return (
    // biome-ignore lint/a11y/useSemanticElements: the list is virtualized.
    <div
      className={`${styles.card} ${isLive(pull) ? '' : styles.over}`}
      role="listitem"
      aria-posinset={index + 1}
      aria-setsize={total}
      data-index={index}
      style={positionStyle(top)}
      {...dataAttributes(pull)}
    >
      <span className={styles.head}>
        <Name pull={pull} />
        <span className={styles.beside}>
          <StateLabel state={state} word={pull.outcome ?? pull.phase} />
          {state !== 'failed' && <Amount pull={pull} />}
        </span>
      </span>
      {state === 'failed' ? <Failed pull={pull} /> : <Progress pull={pull} />}
      <span className={styles.foot}>
        <code className={styles.node}>{escapeHidden(pull.nodeName)}</code>
        <span className={styles.figures}>
          {state !== 'failed' && <Speed pull={pull} />}
          <Eta pull={pull} />
        </span>
      </span>
      <Waiting pull={pull} />
    </div>
  );
});
