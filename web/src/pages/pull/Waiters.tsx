// The pods waiting for a pull, with the evidence, and possible candidates.

import { memo } from 'react';
import type { PodLink, PullStatus } from '../../api/gen/wire';
import { useServer } from '../../live/hooks';
import { podsUnavailable } from '../../model/pod';
import { evidenceText, type WaitingPod, waitingPods } from '../../model/pods';
import { isLive } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { Icon } from '../../ui/Icon';
import { LimitedList } from '../../ui/LimitedList';
import { Panel } from '../../ui/Panel';
import styles from './Side.module.css';

const MAX_PODS = 8;

export function Waiters({ pull }: { pull: PullStatus }) {
  return <PodLists live={isLive(pull)} pods={pull.pods} candidates={pull.candidates} />;
}

interface Props {
  live: boolean;
  pods: PodLink[] | undefined;
  candidates: PodLink[] | undefined;
}

const PodLists = memo(({ live, pods, candidates }: Props) => {
  const waiting = waitingPods(pods);
  const candidatePods = waitingPods(candidates);
  return (
    <Panel
      title={live ? 'Waiting pods' : 'Pods that waited'}
      summary={waiting.length > 0 ? waiting.length : undefined}
    >
      {waiting.length + candidatePods.length === 0 && <NoPods />}
      {waiting.length > 0 && (
        <ul className={styles.list}>
          <LimitedList ids={waiting.map(({ key }) => key)} limit={MAX_PODS} noun="pods">
            {(key, index) => <Pod key={key} pod={waiting[index]} />}
          </LimitedList>
        </ul>
      )}
      {candidatePods.length > 0 && (
        <>
          <p className={styles.sub}>Possibly one of these; image not identified yet</p>
          <ul className={styles.list} data-field="candidates">
            <LimitedList ids={candidatePods.map(({ key }) => key)} limit={MAX_PODS} noun="pods">
              {(key, index) => <Pod key={key} pod={candidatePods[index]} />}
            </LimitedList>
          </ul>
        </>
      )}
    </Panel>
  );
});

function Pod({ pod }: { pod: WaitingPod | undefined }) {
  if (pod === undefined) return null;
  const { namespace, name, containers } = pod;
  return (
    <li className={styles.pod}>
      <a className={styles.mono} href={href('pods', [namespace, name])} title={name} data-field="pod">
        {escapeHidden(name) || 'unnamed pod'}
      </a>
      <span className={styles.under} title={`${namespace} · ${containers}`}>
        {escapeHidden(namespace)}
        {containers !== '' && ` · ${containers.includes(', ') ? 'containers' : 'container'} ${containers}`}
      </span>
      {pod.evidence && (
        <span className={styles.evidence} data-evidence={pod.evidence}>
          {evidenceText(pod)}
        </span>
      )}
    </li>
  );
}

/** Explains why there are no pods. */
function NoPods() {
  const unavailable = podsUnavailable(useServer()?.cluster);
  return (
    <p className={styles.none}>
      {unavailable === undefined ? (
        'No pods known. The pull may have been started outside Kubernetes.'
      ) : (
        <>
          <Icon name="unknown" size={14} />
          <span>Pods unavailable: {escapeHidden(unavailable)}</span>
        </>
      )}
    </p>
  );
}
