// The name of an image: what tells it apart first, where it comes from quietly.

import { memo } from 'react';
import type { PullStatus } from '../api/gen/wire';
import { imageName } from '../model/image';
import styles from './Image.module.css';

type Props = Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'> & {
  line?: boolean;
};

export const Image = memo((props: Props) => {
  const { registry, name, version, known } = imageName(props);
  const whole = props.imageRef ?? props.repository ?? props.rootDigest;
  return (
    <span className={`${styles.image} ${props.line ? styles.line : ''}`} title={whole} data-field="image">
      <span className={styles.first}>
        <b className={known ? styles.name : styles.nameless}>{name}</b>
        {version && <span className={styles.version}>{version}</span>}
      </span>
      {registry && <span className={styles.registry}>{registry}</span>}
    </span>
  );
});
