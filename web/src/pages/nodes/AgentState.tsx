// The state of a node's agent.

import { useNode, useNow } from '../../live/hooks';
import { parseInstant, seconds, UNKNOWN } from '../../model/format';
import type { NodeEntry } from '../../model/nodes';
import { Icon } from '../../ui/Icon';
import styles from './AgentState.module.css';

export function AgentState({ state, at }: { state: NodeEntry['state']; at: string | undefined }) {
  switch (state) {
    case 'live':
      return (
        <span className={styles.live}>
          <i aria-hidden="true" />
          Live
        </span>
      );
    case 'lost':
      return (
        <span className={styles.lost}>
          <Icon name="silent" size={14} />
          <SilentFor at={parseInstant(at)} />
        </span>
      );
    case 'conflict':
      return (
        <span className={styles.lost} title="Two agents report this node name; the older one is used">
          <Icon name="warning" size={14} />
          Name conflict
        </span>
      );
    case undefined:
      return <span className={styles.unknown}>Unknown</span>;
    default:
      // A state unknown to this page, from a newer server.
      return <span className={styles.unknown}>{String(state).replaceAll('_', ' ')}</span>;
  }
}

function SilentFor({ at }: { at: number | undefined }) {
  const now = useNow();
  return at === undefined ? 'Silent' : `Silent for ${seconds(Math.max(0, now - at) / 1000)}`;
}

/** Agents report about every second; do not count up to this age. */
const JUST_NOW_MS = 5_000;

/** Age of the agent's last report. */
export function LastReport({ name }: { name: string }) {
  const text = useNode(name)?.lastReportAt;
  const now = useNow();
  const at = parseInstant(text);
  if (at === undefined) return UNKNOWN;
  return now - at < JUST_NOW_MS ? 'just now' : `${seconds((now - at) / 1000)} ago`;
}
