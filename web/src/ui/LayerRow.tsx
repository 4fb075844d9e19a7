// One layer of a pull: where it stands, what it is, how far.

import { memo } from 'react';
import type { LayerStatus } from '../api/gen/wire';
import { useNameOf } from '../live/hooks';
import { bytes, instant, percent, speed } from '../model/format';
import { shortDigest } from '../model/image';
import { layerShares, waiting } from '../model/pull';
import { Elapsed } from './Ago';
import { Bar, type Tone } from './Bar';
import { Bytes } from './Figure';
import styles from './LayerRow.module.css';

const STATES: Record<string, string> = {
  waiting: 'waiting',
  downloading: 'downloading',
  downloaded: 'downloaded',
  extracting: 'extracting',
  complete: 'done',
  cached: 'on the node',
  remote: 'served remotely',
};

function tone(layer: LayerStatus, live: boolean): Tone {
  if (layer.state === 'cached' || layer.state === 'remote') return 'cached';
  if (!live) return 'still';
  return layer.state === 'extracting' ? 'unpacking' : 'live';
}

/** What there is to say beside the state's word. */
function detail(layer: LayerStatus): string[] {
  const done = layerShares(layer).downloaded;
  switch (layer.state) {
    case 'downloading':
      return [
        done === undefined ? '' : percent(done * 100),
        layer.bytesPerSec === undefined ? '' : speed(layer.bytesPerSec),
      ].filter(Boolean);
    case 'extracting':
      return layer.unpackedBytes === undefined ? [] : [`${bytes(layer.unpackedBytes)} written`];
    default:
      return layer.blobCached ? ['was on the node'] : [];
  }
}

interface Props {
  layer: LayerStatus;
  index: number;
  /** Whether its pull goes on, and is seen to. */
  live: boolean;
}

export const LayerRow = memo(({ layer, index, live }: Props) => {
  const other = useNameOf(layer.waitingOn?.pull);
  const word = STATES[layer.state] ?? String(layer.state).replaceAll('_', ' ');
  const digest = shortDigest(layer.digest);
  const on = live ? layer.waitingOn : undefined;
  const text = [...(on && layer.state === 'waiting' ? [] : [word]), ...(live ? detail(layer) : [])];
  const since = on?.since ?? (live && layer.state === 'extracting' ? layer.extractingAt : undefined);
  const quiet = layer.state === 'cached' || layer.state === 'complete' || layer.state === 'remote';
  return (
    <li
      className={`${styles.layer} ${quiet ? styles.quiet : ''}`}
      data-layer={layer.digest}
      data-state={layer.state}
    >
      <span className={styles.index}>{index + 1}</span>
      <code className={styles.step} title={`${layer.createdBy ?? ''}\n${layer.digest}`.trim()}>
        {layer.createdBy ?? digest}
      </code>
      <code className={styles.digest}>{layer.createdBy ? digest : ''}</code>
      <span className={styles.size}>
        <Bytes value={layer.totalBytes} />
      </span>
      <Bar
        {...layerShares(layer)}
        tone={tone(layer, live)}
        label={`Layer ${index + 1}`}
        text={text.join(', ') || word}
        percent={quiet ? 100 : percentOf(layer)}
        thin
      />
      <span className={styles.text}>
        {text.join(' · ')}
        {on && `${text.length > 0 ? ' · ' : ''}${waiting(on, other)}`}
        {instant(since) !== undefined && (
          <span className={styles.since}>
            {' '}
            <Elapsed since={since} />
          </span>
        )}
      </span>
    </li>
  );
});

const percentOf = (layer: LayerStatus): number | undefined => {
  const done = layerShares(layer).downloaded;
  return done === undefined ? undefined : done * 100;
};
