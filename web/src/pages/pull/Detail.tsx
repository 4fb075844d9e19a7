// A pull with all that is known of it.

import { useMemo } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useAll, useLayers } from '../../live/hooks';
import { pullCommands } from '../../model/commands';
import { compared, nodeQueue, peers } from '../../model/peers';
import { pullState } from '../../model/pull';
import { CommandPanel, useJump } from '../../ui/Actions';
import styles from './Detail.module.css';
import { Facts } from './Facts';
import { Figures } from './Figures';
import { Head } from './Head';
import { Peers } from './Peers';
import { Queue } from './Queue';
import { useSeen } from './seen';
import { Gone, Notes, Trouble } from './Trouble';
import { Waiters } from './Waiters';
import { Waterfall } from './Waterfall';

interface Props {
  pull: PullStatus;
  /** Whether the server keeps it no more. */
  gone: boolean;
  /** The try before, which failed while it was looked at. */
  before: PullStatus | undefined;
}

export function Detail({ pull, gone, before }: Props) {
  const all = useAll();
  const polled = useLayers(pull.id);
  const layers = polled ?? pull.layers ?? NONE;
  const samples = useSeen(pull.id);
  const [commands, toCommands] = useJump();
  const { id, nodeName, imageRef, rootDigest, manifestDigest } = pull;
  // biome-ignore lint/correctness/useExhaustiveDependencies: no other field of the pull decides which ones they are.
  const others = useMemo(
    () => peers(all.rows.values(), pull),
    [all, id, imageRef, rootDigest, manifestDigest],
  );
  const queue = useMemo(() => nodeQueue(all.rows.values(), nodeName), [all, nodeName]);
  const beside = compared(pull, others);
  const { pods, outcome, failure, startedAt, completedAt } = pull;
  // biome-ignore lint/correctness/useExhaustiveDependencies: of these fields they are made.
  const typed = useMemo(
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
      {gone && <Gone pull={pull} />}
      <section className={styles.top}>
        <Head pull={pull} toCommands={toCommands} />
        <Figures pull={pull} layers={layers} compared={beside} samples={samples} />
      </section>
      <Notes pull={pull} before={before} />
      <div className={styles.columns}>
        <div className={styles.main}>
          <Trouble pull={pull} />
          <Waterfall pull={pull} layers={layers} compared={beside} samples={samples} />
          <CommandPanel at={commands} commands={typed} className={styles.commands} />
        </div>
        <div className={styles.side}>
          <Waiters pull={pull} />
          <Peers pull={pull} others={others} />
          <Queue pull={pull} queue={queue} />
          <Facts pull={pull} />
        </div>
      </div>
    </article>
  );
}

const NONE: readonly never[] = [];
