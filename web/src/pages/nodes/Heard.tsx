// Whether a node's agent is heard, in a word and an icon.

import { useNode, useNow } from '../../live/hooks';
import { instant, NONE, seconds } from '../../model/format';
import type { NodeEntry } from '../../model/nodes';
import { Icon } from '../../ui/Icon';
import styles from './Heard.module.css';

export function Heard({ state, at }: { state: NodeEntry['state']; at: string | undefined }) {
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
          <Silent at={instant(at)} />
        </span>
      );
    case 'conflict':
      return (
        <span className={styles.lost} title="Two agents report under this name; the older one is believed">
          <Icon name="warning" size={14} />
          Reported twice
        </span>
      );
    case undefined:
      return <span className={styles.unknown}>Not known</span>;
    default:
      // A word of a newer server.
      return <span className={styles.unknown}>{String(state).replaceAll('_', ' ')}</span>;
  }
}

function Silent({ at }: { at: number | undefined }) {
  const now = useNow();
  return at === undefined ? 'Silent' : `Silent for ${seconds(Math.max(0, now - at) / 1000)}`;
}

/** An agent reports each second or so: so long nobody need count. */
const JUST_MS = 5_000;

/** When the agent was last heard. */
export function Report({ name }: { name: string }) {
  const text = useNode(name)?.lastReportAt;
  const now = useNow();
  const at = instant(text);
  if (at === undefined) return NONE;
  return now - at < JUST_MS ? 'just now' : `${seconds((now - at) / 1000)} ago`;
}
