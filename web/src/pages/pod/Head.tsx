// Which pod it is, how it stands in one sentence, and how much longer it waits.

import type { PodStatus, PullStatus } from '../../api/gen/wire';
import { left, NONE, seconds } from '../../model/format';
import { downloadSpeed } from '../../model/peers';
import { type PodState, podState, present } from '../../model/pod';
import { isLive } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Actions } from '../../ui/Actions';
import { Copy } from '../../ui/Copy';
import { Crumbs } from '../../ui/Crumbs';
import { Icon, type IconName } from '../../ui/Icon';
import styles from './Head.module.css';

interface Props {
  pod: PodStatus;
  pulls: readonly PullStatus[];
  gone: boolean;
  toCommands: () => void;
}

const STATES: Record<PodState, { word: string; icon: IconName }> = {
  ready: { word: 'All images are there', icon: 'completed' },
  moving: { word: 'Gets on', icon: 'downloading' },
  still: { word: 'Does not get on', icon: 'warning' },
  failing: { word: 'An image fails', icon: 'failed' },
};

export function Head({ pod, pulls, gone, toCommands }: Props) {
  const state = STATES[podState(pod)];
  return (
    <div className={styles.whole}>
      <Crumbs
        steps={[
          { text: 'Pulls', href: href('pulls') },
          { text: pod.namespace, href: href('pulls', [], { q: `ns:${pod.namespace}` }) },
          { text: pod.podName },
        ]}
      />
      <section className={`${styles.panel} ${gone ? styles.gone : ''}`}>
        <header className={styles.head}>
          <div className={styles.row}>
            <h1 title={`${pod.namespace}/${pod.podName}`}>
              <span className={styles.namespace}>{pod.namespace}/</span>
              <b>{pod.podName}</b>
            </h1>
            <Actions toCommands={toCommands}>
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
                {pod.nodeName || NONE}
              </a>
            </li>
            <li>
              <code>{pod.uid}</code>
              <Copy text={pod.uid} label="Copy the uid" />
            </li>
          </ul>
          <p className={styles.summary} data-field="summary">
            {visible(pod.summary)}
          </p>
        </header>
        <Figures pod={pod} pulls={pulls} />
      </section>
    </div>
  );
}

function Figures({ pod, pulls }: Pick<Props, 'pod' | 'pulls'>) {
  const { bytes, rate } = useFormat();
  const live = pulls.filter(isLive);
  const sized = live.filter(({ totalKnown }) => totalKnown);
  const sum = (of: (pull: PullStatus) => number | undefined): number =>
    sized.reduce((all, pull) => all + (of(pull) ?? 0), 0);
  const toCome = sum((pull) => Math.max(0, (pull.toDownloadBytes ?? 0) - (pull.downloadedBytes ?? 0)));
  const speeds = live.map(downloadSpeed).filter((each) => each !== undefined);
  const [speed, unit] = rate(speeds.length === 0 ? undefined : speeds.reduce((all, each) => all + each));
  const { etaSeconds: eta, etaLowSeconds: low } = pod;
  const atLeast = low === undefined ? '' : `at least ${seconds(low)}`;
  return (
    <dl className={styles.figures}>
      <div>
        <dt>Ready in</dt>
        <dd data-field="eta">
          {pod.ready ? 'now' : eta === undefined && low !== undefined ? `> ${seconds(low)}` : left(eta)}
        </dd>
        <dd>
          {pod.ready
            ? 'nothing is waited for'
            : eta === undefined
              ? low === undefined
                ? 'cannot be guessed yet'
                : 'the rest of it cannot be guessed'
              : atLeast}
        </dd>
      </div>
      <div>
        <dt>Images there</dt>
        <dd data-field="present">
          {present(pod.images)} <small>of {pod.images.length}</small>
        </dd>
        <dd>{pod.images.length > 1 ? 'the kubelet takes one after the other' : ''}</dd>
      </div>
      <div>
        <dt>To download</dt>
        <dd>{sized.length === 0 && !pod.ready ? NONE : bytes(toCome)}</dd>
        <dd>
          {live.length > sized.length
            ? sized.length === 0
              ? 'sizes are not known yet'
              : 'and what is not known yet'
            : sized.length > 0
              ? `of ${bytes(sum(({ toDownloadBytes }) => toDownloadBytes))}`
              : 'nothing is being pulled'}
        </dd>
      </div>
      <div>
        <dt>Download speed</dt>
        <dd>
          {speed} <small>{unit}</small>
        </dd>
        <dd>{live.length > 1 ? 'of all its pulls' : ''}</dd>
      </div>
    </dl>
  );
}
