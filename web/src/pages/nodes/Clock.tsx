// How far a node's clock is from the server's, and whether that is too far.

import { NONE } from '../../model/format';
import { isOff, offsetText } from '../../model/nodes';
import { Icon } from '../../ui/Icon';
import styles from './Nodes.module.css';

export function Clock({ offsetMs }: { offsetMs: number | undefined }) {
  const text = offsetText(offsetMs) ?? NONE;
  if (!isOff(offsetMs)) return <span className={styles.quiet}>{text}</span>;
  return (
    <span className={styles.warn} title="Times of this node do not fit to those of the cluster">
      <Icon name="warning" size={13} />
      {text}
    </span>
  );
}
