// Six figures of a pull. Each is its own, so that a tick of the clock draws one of them again.

import type { ReactNode } from 'react';
import type { LayerStatus, PullStatus } from '../../api/gen/wire';
import { useNow } from '../../live/hooks';
import { count, duration, instant, left, NONE, percent, range, seconds } from '../../model/format';
import type { Sample } from '../../model/lane';
import { type Compared, downloadSpeed } from '../../model/peers';
import { elapsed, spells } from '../../model/phases';
import { podNames } from '../../model/pods';
import { isLive, isSeen, took } from '../../model/pull';
import { useFormat } from '../../settings';
import { Ago, Retry } from '../../ui/Ago';
import styles from './Figures.module.css';
import { Spark } from './Spark';

interface Props {
  pull: PullStatus;
  layers: readonly LayerStatus[];
  compared: Compared | undefined;
  samples: readonly Sample[];
}

export function Figures({ pull, layers, compared, samples }: Props) {
  return (
    <dl className={styles.figures}>
      <Progress pull={pull} />
      {isLive(pull) ? <Ready pull={pull} /> : <Ended pull={pull} />}
      <Speed pull={pull} compared={compared} samples={samples} />
      <Elapsed pull={pull} />
      <LayerCount pull={pull} layers={layers} />
      <Waiting pull={pull} />
    </dl>
  );
}

interface FigureProps {
  name: string;
  value: ReactNode;
  unit?: string;
  field?: string;
  beside?: ReactNode;
  children?: ReactNode;
  title?: string | undefined;
}

function Figure({ name, value, unit, field, beside, children, title }: FigureProps) {
  return (
    <div className={styles.figure} title={title}>
      <dt>{name}</dt>
      <dd>
        <span className={styles.value}>
          <span data-field={field}>
            {value}
            {unit && <small> {unit}</small>}
          </span>
          {beside}
        </span>
        <span className={styles.more}>{children}</span>
      </dd>
    </div>
  );
}

function Progress({ pull }: { pull: PullStatus }) {
  const { bytes } = useFormat();
  const done = pull.outcome === 'completed' ? 100 : pull.percent;
  const { toDownloadBytes: all, cachedBytes: cached, downloadedBytes: here } = pull;
  const more: string[] = [];
  if (all === 0) more.push(`all of ${bytes(pull.totalBytes)} was here`);
  else if (all !== undefined) more.push(`${bytes(here)} of ${bytes(all)}`);
  else if (pull.phase === 'queued') more.push('not begun yet');
  else more.push(here ? `${bytes(here)} so far` : 'size not known');
  if (all && cached) more.push(`${bytes(cached)} reused`);
  return (
    <Figure name="Progress" value={percent(done)} field="percent">
      <span data-field="bytes">{more.join(' · ')}</span>
    </Figure>
  );
}

/** What of the time left is for what. */
function rest(pull: PullStatus): string {
  const { toDownloadBytes, downloadedBytes = 0, bytesPerSec, phase } = pull;
  if (phase === 'queued') {
    const begins = pull.waitingOn?.etaSeconds;
    return begins === undefined ? 'when it begins is not known' : `begins in ${left(begins)}`;
  }
  if (phase === 'extracting') return 'all bytes are here';
  if (toDownloadBytes === undefined || !bytesPerSec) return '';
  return `download ${left((toDownloadBytes - downloadedBytes) / bytesPerSec)}, then extract`;
}

function Ready({ pull }: { pull: PullStatus }) {
  const { etaSeconds, etaLowSeconds, etaHighSeconds }: Partial<PullStatus> = isSeen(pull) ? pull : {};
  const wide = range(etaSeconds, etaLowSeconds, etaHighSeconds);
  return (
    <Figure
      name="Ready in"
      value={left(etaSeconds)}
      field="eta"
      title={pull.etaBasis === 'assumed' ? 'How fast this node unpacks is not known yet' : undefined}
    >
      {isSeen(pull) ? [wide, rest(pull)].filter(Boolean).join(' · ') : 'nobody sees it'}
    </Figure>
  );
}

function Ended({ pull }: { pull: PullStatus }) {
  const { clock, zone } = useFormat();
  const next = instant(pull.failure?.nextRetryAt);
  return (
    <Figure name="Ended" value={clock(instant(pull.completedAt))} unit={zone}>
      <Ago at={pull.completedAt} />
      {next !== undefined && (
        <>
          {' · '}
          <span data-field="retry">
            <Retry at={next} />
          </span>
        </>
      )}
    </Figure>
  );
}

function Speed({ pull, compared, samples }: Omit<Props, 'layers'>) {
  const { rate } = useFormat();
  const live = isLive(pull);
  const [value, unit] = rate(downloadSpeed(pull));
  return (
    <Figure
      name={live ? 'Download speed' : 'Mean download speed'}
      value={value}
      unit={unit}
      field="speed"
      beside={live && <Spark samples={samples} />}
    >
      {compared
        ? `${compared.factor.toFixed(1)}× the median of ${count(compared.nodes, 'other node')}`
        : live && pull.phase === 'extracting'
          ? 'nothing is left to download'
          : ''}
    </Figure>
  );
}

function Elapsed({ pull }: { pull: PullStatus }) {
  const now = useNow();
  const live = isLive(pull);
  const whole = elapsed(pull, now);
  const queued = pull.phase === 'queued';
  // That of now is as long as what is left of the whole.
  const parts = spells(pull, now).filter(
    ({ open, phase, seconds: long }) => long >= 0.1 && (!open || phase === 'extracting'),
  );
  return (
    <Figure
      name={queued ? 'Waiting' : live ? 'Elapsed' : pull.outcome === 'completed' ? 'Took' : 'Ended after'}
      value={live ? seconds(whole) : duration(took(pull))}
      field="took"
    >
      {queued
        ? 'in the queue of the kubelet'
        : parts.map(({ phase, seconds: long }) => `${WORDS[phase]} ${duration(long)}`).join(' · ')}
    </Figure>
  );
}

const WORDS = { queued: 'queue', resolving: 'resolve', downloading: 'download', extracting: 'extract' };

function LayerCount({ pull, layers }: Pick<Props, 'pull' | 'layers'>) {
  const of = (state: string): number => layers.filter((layer) => layer.state === state).length;
  const known = [
    [of('cached'), 'cached'],
    [of('remote'), 'remote'],
    [isLive(pull) ? of('downloading') : 0, 'downloading'],
    [isLive(pull) ? of('extracting') : 0, 'extracting'],
    [isLive(pull) ? of('waiting') : 0, 'waiting'],
  ] as const;
  const more = known.filter(([many]) => many > 0).map(([many, word]) => `${many} ${word}`);
  return (
    <Figure
      name="Layers"
      value={pull.layersDone ?? NONE}
      {...(pull.layerCount === undefined ? {} : { unit: `of ${pull.layerCount}` })}
    >
      {pull.layerCount === undefined ? 'not known yet' : more.slice(0, 3).join(' · ')}
    </Figure>
  );
}

function Waiting({ pull }: { pull: PullStatus }) {
  const now = useNow();
  const pods = podNames(pull.pods).length;
  const perhaps = podNames(pull.candidates).length;
  const from = instant(pull.queuedAt) ?? instant(pull.startedAt);
  const to = instant(pull.completedAt) ?? now;
  const long = from === undefined || to < from ? undefined : (to - from) / 1000;
  const none = pods === 0 && perhaps === 0;
  return (
    <Figure name={isLive(pull) ? 'Pods waiting' : 'Pods that waited'} value={pods > 0 ? pods : NONE}>
      {none
        ? 'none is known'
        : pods === 0
          ? `perhaps ${count(perhaps, 'pod')}`
          : `longest at least ${seconds(long)}`}
    </Figure>
  );
}
