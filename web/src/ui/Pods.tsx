// Who waits for a pull, in one line; all of them are among its details.

import { memo } from 'react';
import type { PullStatus } from '../api/gen/wire';
import { instant } from '../model/format';
import { perhaps, podNames, podText } from '../model/pods';
import { attempt } from '../model/pull';
import { Retry } from './Ago';
import { Icon } from './Icon';
import notes from './Notes.module.css';
import styles from './Pods.module.css';

const SHOWN = 2;
/** More names than that no tooltip shows. */
const TITLE = 30;

interface Props {
  pull: PullStatus;
  /** Shows all of them. */
  open: () => void;
}

export const Pods = memo(
  ({ pull, open }: Props) => {
    const pods = podNames(pull.pods);
    const candidates = podNames(pull.candidates);
    const tried = attempt(pull);
    const again = instant(pull.failure?.nextRetryAt);
    if (pods.length + candidates.length === 0 && tried === undefined && again === undefined) return null;
    const more = pods.length - SHOWN;
    return (
      <p className={`${notes.note} ${styles.pods}`}>
        {pods.length + candidates.length > 0 && <Icon name="pod" size={13} />}
        {pods.slice(0, SHOWN).map((each) => (
          <span key={each.key} className={styles.pod} title={each.evidence} data-field="pod">
            {podText(each)}
          </span>
        ))}
        {more > 0 && (
          <button
            type="button"
            className={styles.more}
            title={pods
              .slice(SHOWN, SHOWN + TITLE)
              .map(podText)
              .join('\n')}
            onClick={open}
          >
            +{more.toLocaleString('en')} more
          </button>
        )}
        {candidates.length > 0 && (
          <span className={styles.pod} title={CANDIDATES} data-field="candidates">
            {perhaps(candidates)}
          </span>
        )}
        {tried && <span data-field="attempt">{tried}</span>}
        {again !== undefined && (
          <span data-field="retry">
            <Retry at={again} />
          </span>
        )}
      </p>
    );
  },
  (a, b) =>
    a.pull.pods === b.pull.pods &&
    a.pull.candidates === b.pull.candidates &&
    a.pull.attempt === b.pull.attempt &&
    a.pull.failure === b.pull.failure &&
    a.pull.id === b.pull.id,
);

export const CANDIDATES =
  'Several images are waited for on this node, and nothing decides yet which of them this is';
