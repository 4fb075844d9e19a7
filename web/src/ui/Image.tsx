// The name of an image: what tells it apart first, where it comes from quietly.

import { memo } from 'react';
import type { PullStatus } from '../api/gen/wire';
import { type ImageName, imageName } from '../model/image';
import { visible } from '../model/text';
import styles from './Image.module.css';

type Props = Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'> & {
  line?: boolean;
};

export const Image = memo((props: Props) => (
  <ImageTitle
    image={imageName(props)}
    whole={props.imageRef ?? props.repository ?? props.rootDigest}
    line={props.line}
  />
));

interface TitleProps {
  image: ImageName;
  /** All of it, where it does not fit. */
  whole: string | undefined;
  line?: boolean | undefined;
}

export function ImageTitle({ image: { registry, name, version, known }, whole, line }: TitleProps) {
  return (
    <span
      className={`${styles.image} ${line ? styles.line : ''}`}
      title={whole && visible(whole)}
      data-field="image"
    >
      <span className={styles.first}>
        <b className={known ? styles.name : styles.nameless}>{visible(name)}</b>
        {version && <span className={styles.version}>{visible(version)}</span>}
      </span>
      {registry && <span className={styles.registry}>{visible(registry)}</span>}
    </span>
  );
}
