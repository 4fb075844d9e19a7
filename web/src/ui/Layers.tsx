// The layers of a pull, lowest first.

import type { PullStatus } from '../api/gen/wire';
import { LayerRow } from './LayerRow';
import styles from './Layers.module.css';
import { More } from './More';

/** Images have 5 to 30 layers; a few have more than a hundred. */
const SHOWN = 30;

interface Props {
  pull: PullStatus;
  /** Whether its pull goes on, and is seen to. */
  live: boolean;
}

export function Layers({ pull, live }: Props) {
  const layers = pull.layers ?? [];
  const keys = layers.map((_, index) => String(index));
  return (
    <ol className={styles.layers} aria-label="Layers">
      <More ids={keys} limit={SHOWN} what="layers">
        {(key, index) => {
          const layer = layers[index];
          return layer && <LayerRow key={key} layer={layer} index={index} live={live} />;
        }}
      </More>
    </ol>
  );
}
