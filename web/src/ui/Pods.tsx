// The pods waiting for a pull, on one line. The pull's page lists all of them.

import { memo } from 'react';
import type { PullStatus } from '../api/gen/wire';
import { candidatesText, evidenceText, podLabel, type WaitingPod, waitingPods } from '../model/pods';
import { escapeHidden } from '../model/text';
import { href } from '../route';
import styles from './Pods.module.css';

/** Maximum number of pods in a tooltip. */
const MAX_TITLE_PODS = 30;

/** Length of the part that is never truncated: the suffix in which a workload's pods differ. */
const TAIL_LENGTH = 6;

export const CANDIDATES_TITLE = 'Possibly waiting for this pull; its image is not identified yet';

export const Pods = memo(
  ({ pull }: { pull: PullStatus }) => {
    const pods = waitingPods(pull.pods);
    const [first] = pods;
    const candidates = waitingPods(pull.candidates);
    const name = first ? escapeHidden(first.fullName) : '';
    return (
      <>
        {first && (
          <a
            className={styles.pod}
            href={href('pods', [first.namespace, first.name])}
            title={escapeHidden([podLabel(first), evidenceText(first)].filter(Boolean).join('\n'))}
            data-field="pod"
          >
            <span className={styles.begin}>{name.slice(0, -TAIL_LENGTH)}</span>
            <span className={styles.tail}>{name.slice(-TAIL_LENGTH)}</span>
          </a>
        )}
        {pods.length > 1 && (
          <span className={styles.more} title={podList(pods)}>
            +{(pods.length - 1).toLocaleString('en')}
          </span>
        )}
        {candidates.length > 0 && (
          <span
            className={styles.perhaps}
            title={`${CANDIDATES_TITLE}\n${podList(candidates)}`}
            data-field="candidates"
          >
            {escapeHidden(candidatesText(candidates))}
          </span>
        )}
      </>
    );
  },
  (a, b) => a.pull.pods === b.pull.pods && a.pull.candidates === b.pull.candidates,
);

function podList(pods: readonly WaitingPod[]): string {
  const more = pods.length - MAX_TITLE_PODS;
  const names = pods.slice(0, MAX_TITLE_PODS).map(podLabel);
  return escapeHidden([...names, ...(more > 0 ? [`and ${more.toLocaleString('en')} more`] : [])].join('\n'));
}
