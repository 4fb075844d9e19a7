// The pod, a summary of its state, and its remaining time.

import type { PodStatus, PullStatus } from '../../api/gen/wire';
import { seconds, timeLeft, UNKNOWN } from '../../model/format';
import { downloadSpeed } from '../../model/peers';
import { countPresent, type PodState, podState } from '../../model/pod';
import { isLive } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Actions } from '../../ui/Actions';
import { Breadcrumbs } from '../../ui/Breadcrumbs';
import { Copy } from '../../ui/Copy';
import { Icon, type IconName } from '../../ui/Icon';
import styles from './Head.module.css';

interface Props {
  pod: PodStatus;
  pulls: readonly PullStatus[];
  isGone: boolean;
  showCommands: () => void;
}

const STATES: Record<PodState, { word: string; icon: IconName }> = {
  ready: { word: 'All images present', icon: 'completed' },
  moving: { word: 'Pulling', icon: 'downloading' },
  still: { word: 'Not progressing', icon: 'warning' },
  failing: { word: 'Pull failing', icon: 'failed' },
};

export function Head({ pod, pulls, isGone, showCommands }: Props) {
  const state = STATES[podState(pod)];
  return (
    <div className={styles.whole}>
      <Breadcrumbs
        items={[
          { text: 'Pulls', href: href('pulls') },
          { text: pod.namespace, href: href('pulls', [], { q: `ns:${pod.namespace}` }) },
          { text: pod.podName },
        ]}
      />
      <section className={`${styles.panel} ${isGone ? styles.gone : ''}`}>
        <header className={styles.head}>
          <div className={styles.row}>
            <h1 title={`${pod.namespace}/${pod.podName}`}>
              <span className={styles.namespace}>{pod.namespace}/</span>
              <b>{pod.podName}</b>
            </h1>
            <Actions showCommands={showCommands}>
              <span className={styles.badge}>
                <Icon name={state.icon} />
                {state.word}
              </span>
            </Actions>
          </div>
          <ul className={styles.about}>
            <li>
              on{' '}
              <a href={href('nodes', [pod.nodeName])} title={pod.nodeName}>
                {pod.nodeName || UNKNOWN}
              </a>
            </li>
            <li>
              <code>{pod.uid}</code>
              <Copy text={pod.uid} label="Copy UID" />
            </li>
          </ul>
          <p className={styles.summary} data-field="summary">
            {escapeHidden(pod.summary)}
          </p>
        </header>
        <Figures pod={pod} pulls={pulls} />
      </section>
    </div>
  );
}

function Figures({ pod, pulls }: Pick<Props, 'pod' | 'pulls'>) {
  const { bytes, rate } = useFormat();
  const livePulls = pulls.filter(isLive);
  const sized = livePulls.filter(({ totalKnown }) => totalKnown);
  const sum = (field: (pull: PullStatus) => number | undefined): number =>
    sized.reduce((all, pull) => all + (field(pull) ?? 0), 0);
  const remaining = sum((pull) => Math.max(0, (pull.toDownloadBytes ?? 0) - (pull.downloadedBytes ?? 0)));
  const speeds = livePulls.map(downloadSpeed).filter((each) => each !== undefined);
  const [speed, unit] = rate(speeds.length === 0 ? undefined : speeds.reduce((all, each) => all + each));
  const { etaSeconds: eta, etaLowSeconds: low } = pod;
  const lowerBound = low === undefined ? '' : `at least ${seconds(low)}`;
  return (
    <dl className={styles.figures}>
      <div>
        <dt>Ready in</dt>
        <dd data-field="eta">
          {pod.ready ? 'now' : eta === undefined && low !== undefined ? `> ${seconds(low)}` : timeLeft(eta)}
        </dd>
        <dd>
          {pod.ready
            ? 'nothing pending'
            : eta === undefined
              ? low === undefined
                ? 'no estimate yet'
                : 'no estimate for the rest'
              : lowerBound}
        </dd>
      </div>
      <div>
        <dt>Images present</dt>
        <dd data-field="present">
          {countPresent(pod.images)} <small>of {pod.images.length}</small>
        </dd>
        <dd>{pod.images.length > 1 ? 'pulled one after another' : ''}</dd>
      </div>
      <div>
        <dt>To download</dt>
        <dd>{sized.length === 0 && !pod.ready ? UNKNOWN : bytes(remaining)}</dd>
        <dd>
          {livePulls.length > sized.length
            ? sized.length === 0
              ? 'sizes unknown'
              : 'plus unknown sizes'
            : sized.length > 0
              ? `of ${bytes(sum(({ toDownloadBytes }) => toDownloadBytes))}`
              : 'no pulls running'}
        </dd>
      </div>
      <div>
        <dt>Download speed</dt>
        <dd>
          {speed} <small>{unit}</small>
        </dd>
        <dd>{livePulls.length > 1 ? 'all pulls combined' : ''}</dd>
      </div>
    </dl>
  );
}
