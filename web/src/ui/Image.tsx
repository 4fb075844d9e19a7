// An image name: the distinctive part first, the registry muted.

import { memo } from 'react';
import type { PullStatus } from '../api/gen/wire';
import { type ImageName, imageName } from '../model/image';
import { escapeHidden } from '../model/text';
import styles from './Image.module.css';

type Props = Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'> & {
  line?: boolean;
};

export const Image = memo((props: Props) => (
  <ImageTitle
    image={imageName(props)}
    fullName={props.imageRef ?? props.repository ?? props.rootDigest}
    line={props.line}
  />
));

interface TitleProps {
  image: ImageName;
  /** The full name, for the tooltip. */
  fullName: string | undefined;
  line?: boolean | undefined;
}

export function ImageTitle({ image: { registry, name, version, known }, fullName, line }: TitleProps) {
  return (
    <span
      className={`${styles.image} ${line ? styles.line : ''}`}
      title={fullName && escapeHidden(fullName)}
      data-field="image"
    >
      <span className={styles.first}>
        <b className={known ? styles.name : styles.nameless}>{escapeHidden(name)}</b>
        {version && <span className={styles.version}>{escapeHidden(version)}</span>}
      </span>
      {registry && <span className={styles.registry}>{escapeHidden(registry)}</span>}
    </span>
  );
}
