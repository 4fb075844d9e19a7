// All layers side by side, each as wide as it weighs: what of the image is here, at a glance.

import { memo } from 'react';
import type { LayerStatus, PullStatus } from '../../api/gen/wire';
import { count } from '../../model/format';
import { isLive, layerShares, shares } from '../../model/pull';
import { Bar } from '../../ui/Bar';
import styles from './Strip.module.css';

interface Props {
  pull: PullStatus;
  layers: readonly LayerStatus[];
}

export function Strip({ pull, layers }: Props) {
  if (layers.length === 0) {
    const unsized = isLive(pull) && pull.phase !== 'queued' && !pull.totalKnown;
    return (
      <div className={styles.whole}>
        <Bar
          {...shares(pull)}
          tone={pull.phase === 'queued' ? 'queued' : unsized ? 'unsized' : isLive(pull) ? 'live' : 'still'}
          label="The whole pull"
          text={pull.totalKnown ? 'Its layers are not known' : 'Its size is not known'}
          percent={pull.percent}
        />
      </div>
    );
  }
  const done = layers.filter(({ state }) => DONE.has(state)).length;
  return (
    <div
      className={`${styles.strip} ${isLive(pull) ? '' : styles.over} ${layers.length > 60 ? styles.many : ''}`}
      role="img"
      aria-label={`Layers by their size: ${done} of ${count(layers.length, 'layer')} done`}
    >
      {layers.map((layer, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: an image may hold a layer twice.
        <Part key={index} state={layer.state} bytes={layer.totalBytes} here={layerShares(layer).downloaded} />
      ))}
    </div>
  );
}

const DONE = new Set(['complete', 'cached', 'remote']);

interface PartProps {
  state: string;
  bytes: number;
  here: number | undefined;
}

const Part = memo(({ state, bytes, here = 0 }: PartProps) => (
  <i className={`${styles.part} ${styles[state] ?? ''}`} style={{ flexGrow: Math.max(1, bytes) }}>
    {state !== 'cached' && state !== 'remote' && <b style={{ transform: `scaleX(${here.toFixed(4)})` }} />}
  </i>
));
