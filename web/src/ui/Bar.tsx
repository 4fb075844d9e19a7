// Two stages in one track: unpacked over downloaded over the whole.

import { memo } from 'react';
import type { Shares } from '../model/pull';
import styles from './Bar.module.css';

/**
 * `live`: both stages in their colours. `unpacking`: all is here and is being unpacked, nobody knows how far.
 * `queued`: nothing of it has begun. `unsized`: something goes on, nobody knows how far. `cached`: it was here before. `still`: it does not move.
 */
export type Tone = 'queued' | 'live' | 'unpacking' | 'unsized' | 'cached' | 'still' | 'bad';

interface Props extends Shares {
  tone: Tone;
  /** Whose bar it is. */
  label: string;
  /** What it says, in words. */
  text: string;
  /** 0 to 100, where known. */
  percent: number | undefined;
  thin?: boolean;
}

const cut = (share: number): { clipPath: string } => ({
  clipPath: `inset(0 ${((1 - share) * 100).toFixed(2)}% 0 0 round 99px)`,
});

export const Bar = memo(({ downloaded, extracted, tone, label, text, percent, thin }: Props) => (
  <div
    className={`${styles.bar} ${styles[tone]} ${thin ? styles.thin : ''}`}
    role="progressbar"
    aria-label={label}
    aria-valuemin={0}
    aria-valuemax={100}
    aria-valuenow={percent === undefined ? undefined : Math.floor(percent)}
    aria-valuetext={text}
  >
    {downloaded !== undefined && <i className={styles.downloaded} style={cut(downloaded)} />}
    {extracted !== undefined && <i className={styles.extracted} style={cut(extracted)} />}
  </div>
));
