// One pull as a row of the table, or as a card. It listens to its own row only, so a frame for another does not draw
// it again; its place comes from outside.

import { type CSSProperties, memo, type ReactNode } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useRow } from '../../live/hooks';
import { imageName } from '../../model/image';
import { isLive, pullState } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { Image } from '../../ui/Image';
import { State } from '../../ui/State';
import { Amount, Eta, Failed, LayersDone, Progress, Speed, Started, title, Waiting } from './cells';
import type { AnyColumn } from './columns';
import { LOOKS } from './columns';
import styles from './Row.module.css';

interface Props {
  id: string;
  /** Where it is among all rows, and how far down. */
  index: number;
  top: number;
  columns: readonly AnyColumn[];
}

const CELLS: Record<AnyColumn, (pull: PullStatus) => ReactNode> = {
  state: (pull) => <State state={pullState(pull)} word={pull.outcome ?? pull.phase} />,
  image: (pull) => <Name pull={pull} />,
  node: (pull) => <code className={styles.node}>{visible(pull.nodeName)}</code>,
  progress: (pull) => <Progress pull={pull} />,
  bytes: (pull) => <Amount pull={pull} />,
  speed: (pull) => <Speed pull={pull} />,
  eta: (pull) => <Eta pull={pull} />,
  layers: (pull) => <LayersDone pull={pull} />,
  pods: (pull) => <Waiting pull={pull} />,
  started: (pull) => <Started pull={pull} />,
};

/** A failed pull says why in the place of these. */
const WIDE: readonly AnyColumn[] = ['progress', 'bytes', 'speed', 'eta', 'layers'];

const place = (top: number): CSSProperties => ({ transform: `translateY(${top}px)` });

const data = (pull: PullStatus) => ({
  'data-pull': pull.id,
  'data-node': pull.nodeName,
  'data-phase': pull.phase,
  'data-state': pullState(pull),
});

export const Row = memo(({ id, index, top, columns }: Props) => {
  const pull = useRow(id);
  if (!pull) return null;
  const wide = pullState(pull) === 'failed' ? columns.filter((column) => WIDE.includes(column)) : [];
  return (
    // biome-ignore lint/a11y/useFocusableInteractive: its link has the focus.
    // biome-ignore lint/a11y/useSemanticElements: a real table cannot be drawn in part.
    <div
      className={`${styles.row} ${isLive(pull) ? '' : styles.over}`}
      role="row"
      aria-rowindex={index + 2}
      data-index={index}
      style={place(top)}
      {...data(pull)}
    >
      {columns.map((column) => {
        if (wide.includes(column) && column !== wide[0]) return null;
        const span = column === wide[0] ? wide.length : 1;
        return (
          // biome-ignore lint/a11y/useSemanticElements: as above.
          <div
            key={column}
            role="cell"
            className={`${styles.cell} ${LOOKS[column].figure && span === 1 ? styles.figure : ''}`}
            aria-colspan={span > 1 ? span : undefined}
            style={span > 1 ? { gridColumn: `span ${span}` } : undefined}
          >
            {column === wide[0] ? <Failed pull={pull} timed /> : CELLS[column](pull)}
          </div>
        );
      })}
    </div>
  );
});

/** Its link covers the row. */
function Name({ pull }: { pull: PullStatus }) {
  const { imageRef, repository, rootDigest, manifestDigest } = pull;
  const { known, name } = imageName(pull);
  return (
    <a
      className={styles.link}
      href={href('pulls', [pull.id])}
      title={title(pull)}
      aria-label={known ? undefined : `${name}, on ${pull.nodeName}`}
      data-link
    >
      <Image {...given({ imageRef, repository, rootDigest, manifestDigest })} />
    </a>
  );
}

type Names = Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'>;
/** Without what is not known. */
const given = (names: { [Name in keyof Names]: Names[Name] | undefined }): Names => names as Names;

export const Card = memo(({ id, index, total, top }: Omit<Props, 'columns'> & { total: number }) => {
  const pull = useRow(id);
  if (!pull) return null;
  const state = pullState(pull);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a list of which most is not drawn.
    <div
      className={`${styles.card} ${isLive(pull) ? '' : styles.over}`}
      role="listitem"
      aria-posinset={index + 1}
      aria-setsize={total}
      data-index={index}
      style={place(top)}
      {...data(pull)}
    >
      <span className={styles.head}>
        <Name pull={pull} />
        <span className={styles.beside}>
          <State state={state} word={pull.outcome ?? pull.phase} />
          {state !== 'failed' && <Amount pull={pull} />}
        </span>
      </span>
      {state === 'failed' ? <Failed pull={pull} /> : <Progress pull={pull} />}
      <span className={styles.foot}>
        <code className={styles.node}>{visible(pull.nodeName)}</code>
        <span className={styles.figures}>
          {state !== 'failed' && <Speed pull={pull} />}
          <Eta pull={pull} />
        </span>
      </span>
      <Waiting pull={pull} />
    </div>
  );
});
