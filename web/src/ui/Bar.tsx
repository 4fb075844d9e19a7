// A progress bar with two stages: extracted on top of downloaded.

import { memo } from 'react';
import type { Shares } from '../model/pull';
import styles from './Bar.module.css';

/**
 * `live`: both stages in their colours. `unpacking`: downloaded, extraction progress unknown.
 * `queued`: not started. `unsized`: running, size unknown. `cached`: was on the node before.
 * `still`: not moving.
 */
export type Tone = 'queued' | 'live' | 'unpacking' | 'unsized' | 'cached' | 'still' | 'bad';

interface Props extends Shares {
  tone: Tone;
  /** The accessible name. */
  label: string;
  /** The accessible value. */
  valueText: string;
  /** 0 to 100, if known. */
  percent: number | undefined;
  thin?: boolean;
}

const clip = (share: number): { clipPath: string } => ({
  clipPath: `inset(0 ${((1 - share) * 100).toFixed(2)}% 0 0 round 99px)`,
});

export const Bar = memo(({ downloaded, extracted, tone, label, valueText, percent, thin }: Props) => (
  <div
    className={`${styles.bar} ${styles[tone]} ${thin ? styles.thin : ''}`}
    role="progressbar"
    aria-label={label}
    aria-valuemin={0}
    aria-valuemax={100}
    aria-valuenow={percent === undefined ? undefined : Math.floor(percent)}
    aria-valuetext={valueText}
  >
    {downloaded !== undefined && <i className={styles.downloaded} style={clip(downloaded)} />}
    {extracted !== undefined && <i className={styles.extracted} style={clip(extracted)} />}
  </div>
));
