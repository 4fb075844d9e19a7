// Who waits for a pull, in one line; all of them are among its details.

import { memo } from 'react';
import type { PullStatus } from '../api/gen/wire';
import { type PodName, perhaps, podNames, podText } from '../model/pods';
import { visible } from '../model/text';
import { href } from '../route';
import styles from './Pods.module.css';

/** More names than that no tooltip shows. */
const TITLE = 30;

/** Pods of one workload differ in their last characters, so those are never cut. */
const TAIL = 6;

export const CANDIDATES =
  'Several images are waited for on this node, and nothing decides yet which of them this is';

export const Pods = memo(
  ({ pull }: { pull: PullStatus }) => {
    const pods = podNames(pull.pods);
    const [first] = pods;
    const candidates = podNames(pull.candidates);
    const name = first ? visible(first.pod) : '';
    return (
      <>
        {first && (
          <a
            className={styles.pod}
            href={href('pods', [first.namespace, first.name])}
            title={visible([podText(first), first.evidence].filter(Boolean).join('\n'))}
            data-field="pod"
          >
            <span className={styles.begin}>{name.slice(0, -TAIL)}</span>
            <span className={styles.tail}>{name.slice(-TAIL)}</span>
          </a>
        )}
        {pods.length > 1 && (
          <span className={styles.more} title={list(pods)}>
            +{(pods.length - 1).toLocaleString('en')}
          </span>
        )}
        {candidates.length > 0 && (
          <span
            className={styles.perhaps}
            title={`${CANDIDATES}\n${list(candidates)}`}
            data-field="candidates"
          >
            {visible(perhaps(candidates))}
          </span>
        )}
      </>
    );
  },
  (a, b) => a.pull.pods === b.pull.pods && a.pull.candidates === b.pull.candidates,
);

function list(pods: readonly PodName[]): string {
  const more = pods.length - TITLE;
  const names = pods.slice(0, TITLE).map(podText);
  return visible([...names, ...(more > 0 ? [`and ${more.toLocaleString('en')} more`] : [])].join('\n'));
}
