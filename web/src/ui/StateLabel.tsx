// The state or outcome of a pull: icon and word, never colour alone.

import { memo } from 'react';
import type { PullState } from '../model/pull';
import { escapeHidden } from '../model/text';
import { Icon, type IconName } from './Icon';
import styles from './StateLabel.module.css';

type Tone = 'quiet' | 'moving' | 'good' | 'bad' | 'warn';

const STATES: Record<PullState, { word: string; icon: IconName; tone: Tone }> = {
  queued: { word: 'Queued', icon: 'queued', tone: 'quiet' },
  resolving: { word: 'Resolving', icon: 'resolving', tone: 'quiet' },
  downloading: { word: 'Downloading', icon: 'downloading', tone: 'moving' },
  extracting: { word: 'Extracting', icon: 'extracting', tone: 'good' },
  waiting: { word: 'Waiting', icon: 'waiting', tone: 'quiet' },
  stalled: { word: 'Stalled', icon: 'warning', tone: 'warn' },
  unseen: { word: 'Stale', icon: 'unknown', tone: 'warn' },
  completed: { word: 'Completed', icon: 'completed', tone: 'good' },
  failed: { word: 'Failed', icon: 'failed', tone: 'bad' },
  cancelled: { word: 'Cancelled', icon: 'cancelled', tone: 'quiet' },
  unknown: { word: 'Unknown', icon: 'unknown', tone: 'quiet' },
  other: { word: 'Other', icon: 'unknown', tone: 'quiet' },
};

/** `word` is the server's name for a state unknown to this page. */
export const StateLabel = memo(({ state, word }: { state: PullState; word?: string }) => {
  const display = STATES[state];
  return (
    <span className={`${styles.state} ${styles[display.tone]}`} data-field="state">
      <Icon name={display.icon} />
      {state === 'other' && word ? escapeHidden(word.replaceAll('_', ' ')) : display.word}
    </span>
  );
});
