// The pods that wait for a pull, with how that is known; and those that perhaps do.

import { memo } from 'react';
import type { PodLink, PullStatus } from '../../api/gen/wire';
import { useServer } from '../../live/hooks';
import { type PodName, podNames } from '../../model/pods';
import { isLive } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { Icon } from '../../ui/Icon';
import { More } from '../../ui/More';
import { Panel } from '../../ui/Panel';
import styles from './Side.module.css';

const SHOWN = 8;

export function Waiters({ pull }: { pull: PullStatus }) {
  return <Both live={isLive(pull)} pods={pull.pods} candidates={pull.candidates} />;
}

interface Props {
  live: boolean;
  pods: PodLink[] | undefined;
  candidates: PodLink[] | undefined;
}

const Both = memo(({ live, pods, candidates }: Props) => {
  const known = podNames(pods);
  const perhaps = podNames(candidates);
  return (
    <Panel
      title={live ? 'Waiting pods' : 'Pods that waited'}
      more={known.length > 0 ? known.length : undefined}
    >
      {known.length + perhaps.length === 0 && <NoPods />}
      {known.length > 0 && (
        <ul className={styles.list}>
          <More ids={known.map(({ key }) => key)} limit={SHOWN} what="pods">
            {(key, index) => <Pod key={key} pod={known[index]} />}
          </More>
        </ul>
      )}
      {perhaps.length > 0 && (
        <>
          <p className={styles.sub}>Perhaps one of these: nothing decides yet which image this is</p>
          <ul className={styles.list}>
            <More ids={perhaps.map(({ key }) => key)} limit={SHOWN} what="pods">
              {(key, index) => <Pod key={key} pod={perhaps[index]} />}
            </More>
          </ul>
        </>
      )}
    </Panel>
  );
});

function Pod({ pod }: { pod: PodName | undefined }) {
  if (pod === undefined) return null;
  const { namespace, name, containers } = pod;
  return (
    <li className={styles.pod}>
      <a className={styles.mono} href={href('pods', [namespace, name])} title={name} data-field="pod">
        {visible(name) || 'a pod without a name'}
      </a>
      <span className={styles.under} title={`${namespace} · ${containers}`}>
        {visible(namespace)}
        {containers !== '' && ` · ${containers.includes(', ') ? 'containers' : 'container'} ${containers}`}
      </span>
      {pod.evidence && <span className={styles.evidence}>{pod.evidence}</span>}
    </li>
  );
}

/** Why none is shown. */
function NoPods() {
  const cluster = useServer()?.cluster;
  const heard = cluster === undefined || cluster.pods === 'live';
  return (
    <p className={styles.none}>
      {heard ? (
        'No pod is known to wait for it: somebody may have asked the runtime directly.'
      ) : (
        <>
          <Icon name="unknown" size={14} />
          <span>
            The server hears of no pods ({String(cluster.pods).replaceAll('_', ' ')})
            {cluster.podsReason && `: ${cluster.podsReason}`}
          </span>
        </>
      )}
    </p>
  );
}
