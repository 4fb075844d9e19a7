// What the whole cluster does, in six figures. Each leads to what it counts.

import type { ReactNode } from 'react';
import { useNow, useServer } from '../../live/hooks';
import type { PullTimes } from '../../model/ended';
import type { FailureGroup } from '../../model/failures';
import { count, left, NONE, seconds } from '../../model/format';
import type { Totals } from '../../model/totals';
import type { Trouble } from '../../model/trouble';
import { href } from '../../route';
import { useFormat } from '../../settings';
import styles from './Figures.module.css';

interface Props {
  sum: Totals;
  failing: readonly FailureGroup[];
  troubles: readonly Trouble[];
  times: PullTimes;
}

export function Figures({ sum, failing, troubles, times }: Props) {
  const server = useServer();
  const { bytes } = useFormat();
  const pods = server?.cluster.pods;
  const blind = sum.pods === 0 && pods !== undefined && pods !== 'live';
  const blocked = new Set(failing.flatMap((group) => group.pods)).size;
  const unknown = sum.withoutEta - sum.queued + sum.unseen;
  const worst = troubles[0];
  return (
    <ul className={styles.figures} aria-label="In sum">
      <Item
        name="Active pulls"
        value={sum.live.toLocaleString('en')}
        to={href('pulls', [], { q: 'state:live' })}
      >
        {[
          sum.queued > 0 &&
            `${sum.queued.toLocaleString('en')} queued${sum.unseen > 0 ? '' : ' on their node'}`,
          sum.unseen > 0 && `${sum.unseen.toLocaleString('en')} not seen`,
        ]
          .filter(Boolean)
          .join(' · ') || (sum.live === 0 ? 'nothing is pulled' : 'none queued')}
      </Item>
      <Item
        name="Pods waiting"
        value={blind ? NONE : sum.pods.toLocaleString('en')}
        to={href('overview', [], { group: 'pod' })}
      >
        {blind ? (
          'pods are not heard'
        ) : sum.podsSince === undefined ? (
          'none is known to wait'
        ) : (
          <>
            longest <Since at={sum.podsSince} />
          </>
        )}
      </Item>
      <Item
        name="Last one ready in"
        value={sum.lastReady === undefined ? NONE : left(sum.lastReady).replace('~', '')}
        to={sum.lastPull === undefined ? undefined : href('pulls', [sum.lastPull])}
      >
        {[
          sum.live > 0 && Boolean(sum.toGo) && `${bytes(sum.toGo)} to go`,
          unknown > 0 && `${unknown.toLocaleString('en')} unknown`,
        ]
          .filter(Boolean)
          .join(' · ') || 'nothing to wait for'}
      </Item>
      <Item
        name="Failing"
        value={failing.length.toLocaleString('en')}
        look={failing.length > 0 ? styles.bad : undefined}
        to={href('failures')}
      >
        {failing.length === 0
          ? 'nothing fails'
          : blocked > 0
            ? `${count(blocked, 'pod')} blocked`
            : `on ${count(new Set(failing.flatMap(({ pulls }) => pulls.map((pull) => pull.nodeName))).size, 'node')}`}
      </Item>
      <Item
        name="Slow or stalled"
        value={troubles.length.toLocaleString('en')}
        look={worst ? styles.warn : undefined}
        to={href('pulls', [], { q: worst ? `state:${worst.kind}` : 'state:stalled' })}
      >
        {worst ? `${worst.pull.nodeName}, ${how(worst)}` : 'none'}
      </Item>
      <Item
        name="Pull time, p95"
        value={times.p95 === undefined ? NONE : seconds(times.p95)}
        to={href('pulls', [], { q: 'state:completed' })}
      >
        {times.pulls === 0
          ? 'none completed yet'
          : `p50 ${seconds(times.p50)} · ${count(times.pulls, 'pull')}${
              server ? `, ${seconds(server.keepsEndedSeconds).replace(' 00 s', '')}` : ''
            }`}
      </Item>
    </ul>
  );
}

function how({ kind, slower }: Trouble): string {
  if (kind === 'stalled') return 'stalled';
  return slower === undefined ? 'slow' : `${slower.toFixed(1)}× slower`;
}

function Since({ at }: { at: number }) {
  return seconds(Math.max(0, useNow() - at) / 1000);
}

interface ItemProps {
  name: string;
  value: string;
  look?: string | undefined;
  /** Undefined where there is nothing to see. */
  to: string | undefined;
  children: ReactNode;
}

function Item({ name, value, look, to, children }: ItemProps) {
  return (
    <li data-figure={name}>
      <a className={`${styles.figure} ${look ?? ''}`} href={to}>
        <span className={styles.name}>{name}</span>
        <span className={styles.value}>{value}</span>
        <span className={styles.more}>{children}</span>
      </a>
    </li>
  );
}
