// The layers of a pull in one strip, each as wide as it weighs: what was there before, what comes, what is unpacked.
// Until they are known it is a bar of two stages.

import { memo, useMemo } from 'react';
import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { useLayers } from '../live/hooks';
import { isLive, pullState, shares } from '../model/pull';
import { type Segment, segments } from '../model/strip';
import { Bar, type Tone } from './Bar';
import styles from './LayerStrip.module.css';

interface Props {
  pull: PullStatus;
  /** Whose it is, and what it says, in words. */
  label: string;
  text: string;
  /** Of the one pull that a page is of: its layers are told below it. */
  tall?: boolean;
}

/** Of a row in view: its layers are asked for as long as it is drawn. */
export function LayerStrip({ pull, label, text, tall }: Props) {
  const layers = useLayers(pull.id);
  const parts = useMemo(() => layers && segments(layers), [layers]);
  const state = pullState(pull);
  if (parts === undefined || state === 'queued') {
    return <Bar {...shares(pull)} tone={toneOf(pull)} label={label} text={text} percent={pull.percent} />;
  }
  const still = state === 'unseen' || state === 'stalled' || (!isLive(pull) && state !== 'completed');
  return (
    <div
      className={`${styles.strip} ${still ? styles.still : ''} ${tall ? styles.tall : isLive(pull) ? '' : styles.over}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={pull.percent === undefined ? undefined : Math.floor(pull.percent)}
      aria-valuetext={text}
    >
      <Parts parts={parts} layers={(tall ? undefined : layers) ?? NONE} />
    </div>
  );
}

const NONE: readonly LayerStatus[] = [];

interface PartsProps {
  parts: readonly Segment[];
  layers: readonly LayerStatus[];
}

const Parts = memo(({ parts, layers }: PartsProps) =>
  parts.map(({ index, look, weight, share }) => (
    <i
      key={index}
      className={styles[look]}
      data-layer={layers[index]?.digest}
      data-state={layers[index]?.state}
      style={{
        flexGrow: weight,
        backgroundSize: share < 1 ? `${(share * 100).toFixed(1)}% 100%` : undefined,
      }}
    />
  )),
);

export function toneOf(pull: PullStatus): Tone {
  const state = pullState(pull);
  if (state === 'queued') return 'queued';
  if (state === 'failed') return 'bad';
  if (state === 'unseen' || state === 'stalled') return 'still';
  if (pull.toDownloadBytes === 0 && pull.totalBytes) return 'cached';
  if (!isLive(pull)) return state === 'completed' ? 'live' : 'still';
  return pull.totalKnown ? 'live' : 'unsized';
}
