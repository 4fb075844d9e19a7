// The layers of a pull in one strip, each as wide as its size: cached, downloading, extracting.
// Falls back to a two-stage bar until the layers are known.

import { memo, useMemo } from 'react';
import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { useLayers } from '../live/hooks';
import { isLive, pullState, shares } from '../model/pull';
import { type StripSegment, stripSegments } from '../model/strip';
import { Bar, type Tone } from './Bar';
import styles from './LayerStrip.module.css';

interface Props {
  pull: PullStatus;
  /** The accessible name and value. */
  label: string;
  text: string;
  /** For the page of this pull, which lists the layers below. */
  tall?: boolean;
}

/** Subscribes to the layers of the pull while it is mounted. */
export function LayerStrip({ pull, label, text, tall }: Props) {
  const layers = useLayers(pull.id);
  const segments = useMemo(() => layers && stripSegments(layers), [layers]);
  const state = pullState(pull);
  if (segments === undefined || state === 'queued') {
    return (
      <Bar {...shares(pull)} tone={barTone(pull)} label={label} valueText={text} percent={pull.percent} />
    );
  }
  const isDimmed = state === 'unseen' || state === 'stalled' || (!isLive(pull) && state !== 'completed');
  return (
    <div
      className={`${styles.strip} ${isDimmed ? styles.still : ''} ${tall ? styles.tall : isLive(pull) ? '' : styles.over}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={pull.percent === undefined ? undefined : Math.floor(pull.percent)}
      aria-valuetext={text}
    >
      <Segments segments={segments} layers={(tall ? undefined : layers) ?? NO_LAYERS} />
    </div>
  );
}

const NO_LAYERS: readonly LayerStatus[] = [];

interface SegmentsProps {
  segments: readonly StripSegment[];
  layers: readonly LayerStatus[];
}

const Segments = memo(({ segments, layers }: SegmentsProps) =>
  segments.map(({ index, state, weight, share }) => (
    <i
      key={index}
      className={styles[state]}
      data-layer={layers[index]?.digest}
      data-state={layers[index]?.state}
      style={{
        flexGrow: weight,
        backgroundSize: share < 1 ? `${(share * 100).toFixed(1)}% 100%` : undefined,
      }}
    />
  )),
);

export function barTone(pull: PullStatus): Tone {
  const state = pullState(pull);
  if (state === 'queued') return 'queued';
  if (state === 'failed') return 'bad';
  if (state === 'unseen' || state === 'stalled') return 'still';
  if (pull.toDownloadBytes === 0 && pull.totalBytes) return 'cached';
  if (!isLive(pull)) return state === 'completed' ? 'live' : 'still';
  return pull.totalKnown ? 'live' : 'unsized';
}
