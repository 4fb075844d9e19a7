// The offset of the node's clock from the server's, with a warning if it is too large.

import { UNKNOWN } from '../../model/format';
import { formatClockOffset, isClockOff } from '../../model/nodes';
import { Icon } from '../../ui/Icon';
import styles from './Nodes.module.css';

export function ClockOffset({ offsetMs }: { offsetMs: number | undefined }) {
  const text = formatClockOffset(offsetMs) ?? UNKNOWN;
  if (!isClockOff(offsetMs)) return <span className={styles.quiet}>{text}</span>;
  return (
    <span className={styles.warn} title="This node's clock is out of sync with the cluster">
      <Icon name="warning" size={13} />
      {text}
    </span>
  );
}
