// What a pull does or how it ended: an icon and a word, never colour alone.

import { memo } from 'react';
import type { PullState } from '../model/pull';
import { visible } from '../model/text';
import { Icon, type IconName } from './Icon';
import styles from './State.module.css';

type Look = 'quiet' | 'moving' | 'good' | 'bad' | 'warn';

const STATES: Record<PullState, { word: string; icon: IconName; look: Look }> = {
  queued: { word: 'Queued', icon: 'queued', look: 'quiet' },
  resolving: { word: 'Resolving', icon: 'resolving', look: 'quiet' },
  downloading: { word: 'Downloading', icon: 'downloading', look: 'moving' },
  extracting: { word: 'Extracting', icon: 'extracting', look: 'good' },
  waiting: { word: 'Waiting', icon: 'waiting', look: 'quiet' },
  stalled: { word: 'Stalled', icon: 'warning', look: 'warn' },
  unseen: { word: 'Not seen', icon: 'unknown', look: 'warn' },
  completed: { word: 'Completed', icon: 'completed', look: 'good' },
  failed: { word: 'Failed', icon: 'failed', look: 'bad' },
  cancelled: { word: 'Cancelled', icon: 'cancelled', look: 'quiet' },
  unknown: { word: 'Ended unseen', icon: 'unknown', look: 'quiet' },
  other: { word: 'Other', icon: 'unknown', look: 'quiet' },
};

/** `word` is what the server calls a state that this page does not know. */
export const State = memo(({ state, word }: { state: PullState; word?: string }) => {
  const known = STATES[state];
  return (
    <span className={`${styles.state} ${styles[known.look]}`} data-field="state">
      <Icon name={known.icon} />
      {state === 'other' && word ? visible(word.replaceAll('_', ' ')) : known.word}
    </span>
  );
});
