// One pull with all its details.

import { useMemo } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useDataset, useLayers } from '../../live/hooks';
import { pullCommands } from '../../model/commands';
import { compareToPeers, nodeQueue, peers } from '../../model/peers';
import { pullState } from '../../model/pull';
import { CommandPanel, useScrollTarget } from '../../ui/Actions';
import { FailurePanel, GoneBanner, PullBanners } from './Banners';
import styles from './Detail.module.css';
import { Facts } from './Facts';
import { Figures } from './Figures';
import { Head } from './Head';
import { Peers } from './Peers';
import { Queue } from './Queue';
import { useSpeedSamples } from './speedSamples';
import { Waiters } from './Waiters';
import { Waterfall } from './Waterfall';

interface Props {
  pull: PullStatus;
  /** True if the server no longer has the pull. */
  isGone: boolean;
  /** The previous attempt, if it failed while it was open on this page. */
  previousFailure: PullStatus | undefined;
}

export function Detail({ pull, isGone, previousFailure }: Props) {
  const dataset = useDataset();
  const polled = useLayers(pull.id);
  const layers = polled ?? pull.layers ?? NO_LAYERS;
  const samples = useSpeedSamples(pull.id);
  const [commands, showCommands] = useScrollTarget();
  const { id, nodeName, imageRef, rootDigest, manifestDigest } = pull;
  // biome-ignore lint/correctness/useExhaustiveDependencies: these fields of the pull determine its peers.
  const otherPulls = useMemo(
    () => peers(dataset.rows.values(), pull),
    [dataset, id, imageRef, rootDigest, manifestDigest],
  );
  const queue = useMemo(() => nodeQueue(dataset.rows.values(), nodeName), [dataset, nodeName]);
  const comparison = compareToPeers(pull, otherPulls);
  const { pods, outcome, failure, startedAt, completedAt } = pull;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the commands depend on these fields only.
  const commandGroups = useMemo(
    () => pullCommands(pull),
    [nodeName, imageRef, pods, outcome, failure, startedAt, completedAt],
  );
  return (
    <article
      className={styles.detail}
      data-pull={id}
      data-node={nodeName}
      data-phase={pull.phase}
      data-state={pullState(pull)}
    >
      {isGone && <GoneBanner pull={pull} />}
      <section className={styles.top}>
        <Head pull={pull} showCommands={showCommands} />
        <Figures pull={pull} layers={layers} comparison={comparison} samples={samples} />
      </section>
      <PullBanners pull={pull} previousFailure={previousFailure} />
      <div className={styles.columns}>
        <div className={styles.main}>
          <FailurePanel pull={pull} />
          <Waterfall pull={pull} layers={layers} comparison={comparison} samples={samples} />
          <CommandPanel target={commands} commands={commandGroups} className={styles.commands} />
        </div>
        <div className={styles.side}>
          <Waiters pull={pull} />
          <Peers pull={pull} others={otherPulls} />
          <Queue pull={pull} queue={queue} />
          <Facts pull={pull} />
        </div>
      </div>
    </article>
  );
}

const NO_LAYERS: readonly never[] = [];
