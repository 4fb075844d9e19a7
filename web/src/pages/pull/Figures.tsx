// Six figures of a pull. Separate components, so that the clock renders only those that need it.

import type { ReactNode } from 'react';
import type { LayerStatus, PullStatus } from '../../api/gen/wire';
import { useNow } from '../../live/hooks';
import {
  count,
  duration,
  etaRange,
  parseInstant,
  percent,
  seconds,
  timeLeft,
  UNKNOWN,
} from '../../model/format';
import type { SpeedSample } from '../../model/lane';
import { downloadSpeed, type PeerComparison } from '../../model/peers';
import { elapsed, phaseDurations } from '../../model/phases';
import { waitingPods } from '../../model/pods';
import { isFresh, isLive, pullDuration } from '../../model/pull';
import { useFormat } from '../../settings';
import { Ago, RetryCountdown } from '../../ui/Ago';
import styles from './Figures.module.css';
import { Spark } from './Spark';

interface Props {
  pull: PullStatus;
  layers: readonly LayerStatus[];
  comparison: PeerComparison | undefined;
  samples: readonly SpeedSample[];
}

export function Figures({ pull, layers, comparison, samples }: Props) {
  return (
    <dl className={styles.figures}>
      <ProgressFigure pull={pull} />
      {isLive(pull) ? <ReadyFigure pull={pull} /> : <EndedFigure pull={pull} />}
      <SpeedFigure pull={pull} comparison={comparison} samples={samples} />
      <ElapsedFigure pull={pull} />
      <LayersFigure pull={pull} layers={layers} />
      <WaitingFigure pull={pull} />
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

function ProgressFigure({ pull }: { pull: PullStatus }) {
  const { bytes } = useFormat();
  const donePercent = pull.outcome === 'completed' ? 100 : pull.percent;
  const { toDownloadBytes: all, cachedBytes: cached, downloadedBytes: downloaded } = pull;
  const more: string[] = [];
  if (all === 0) more.push(`all of ${bytes(pull.totalBytes)} cached`);
  else if (all !== undefined) more.push(`${bytes(downloaded)} of ${bytes(all)}`);
  else if (pull.phase === 'queued') more.push('not started');
  else more.push(downloaded ? `${bytes(downloaded)} so far` : 'size unknown');
  if (all && cached) more.push(`${bytes(cached)} cached`);
  return (
    <Figure name="Progress" value={percent(donePercent)} field="percent">
      <span data-field="bytes">{more.join(' · ')}</span>
    </Figure>
  );
}

/** Describes the parts of the remaining time. */
function describeRemaining(pull: PullStatus): string {
  const { toDownloadBytes, downloadedBytes = 0, bytesPerSec, phase } = pull;
  if (phase === 'queued') {
    const startEta = pull.waitingOn?.etaSeconds;
    return startEta === undefined ? 'start time unknown' : `starts in ${timeLeft(startEta)}`;
  }
  if (phase === 'extracting') return 'download complete';
  if (toDownloadBytes === undefined || !bytesPerSec) return '';
  return `download ${timeLeft((toDownloadBytes - downloadedBytes) / bytesPerSec)}, then extract`;
}

function ReadyFigure({ pull }: { pull: PullStatus }) {
  const { etaSeconds, etaLowSeconds, etaHighSeconds }: Partial<PullStatus> = isFresh(pull) ? pull : {};
  const range = etaRange(etaSeconds, etaLowSeconds, etaHighSeconds);
  return (
    <Figure
      name="Ready in"
      value={timeLeft(etaSeconds)}
      field="eta"
      title={pull.etaBasis === 'assumed' ? 'Based on an assumed unpack speed' : undefined}
    >
      {isFresh(pull) ? [range, describeRemaining(pull)].filter(Boolean).join(' · ') : 'no current data'}
    </Figure>
  );
}

function EndedFigure({ pull }: { pull: PullStatus }) {
  const { clock, zone } = useFormat();
  const next = parseInstant(pull.failure?.nextRetryAt);
  return (
    <Figure name="Ended" value={clock(parseInstant(pull.completedAt))} unit={zone}>
      <Ago at={pull.completedAt} />
      {next !== undefined && (
        <>
          {' · '}
          <span data-field="retry">
            <RetryCountdown at={next} />
          </span>
        </>
      )}
    </Figure>
  );
}

function SpeedFigure({ pull, comparison, samples }: Omit<Props, 'layers'>) {
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
      {comparison
        ? `${comparison.factor.toFixed(1)}× the median of ${count(comparison.nodes, 'other node')}`
        : live && pull.phase === 'extracting'
          ? 'download complete'
          : ''}
    </Figure>
  );
}

function ElapsedFigure({ pull }: { pull: PullStatus }) {
  const now = useNow();
  const live = isLive(pull);
  const total = elapsed(pull, now);
  const queued = pull.phase === 'queued';
  // The ongoing phase is omitted: it is the rest of the elapsed time.
  const parts = phaseDurations(pull, now).filter(
    ({ ongoing, phase, seconds: long }) => long >= 0.1 && (!ongoing || phase === 'extracting'),
  );
  return (
    <Figure
      name={queued ? 'Waiting' : live ? 'Elapsed' : pull.outcome === 'completed' ? 'Took' : 'Ended after'}
      value={live ? seconds(total) : duration(pullDuration(pull))}
      field="took"
    >
      {queued
        ? 'in the kubelet queue'
        : parts.map(({ phase, seconds: long }) => `${PHASE_LABELS[phase]} ${duration(long)}`).join(' · ')}
    </Figure>
  );
}

const PHASE_LABELS = {
  queued: 'queue',
  resolving: 'resolve',
  downloading: 'download',
  extracting: 'extract',
};

function LayersFigure({ pull, layers }: Pick<Props, 'pull' | 'layers'>) {
  const countInState = (state: string): number => layers.filter((layer) => layer.state === state).length;
  const stateCounts = [
    [countInState('cached'), 'cached'],
    [countInState('remote'), 'remote'],
    [isLive(pull) ? countInState('downloading') : 0, 'downloading'],
    [isLive(pull) ? countInState('extracting') : 0, 'extracting'],
    [isLive(pull) ? countInState('waiting') : 0, 'waiting'],
  ] as const;
  const more = stateCounts.filter(([many]) => many > 0).map(([many, word]) => `${many} ${word}`);
  return (
    <Figure
      name="Layers"
      value={pull.layersDone ?? UNKNOWN}
      {...(pull.layerCount === undefined ? {} : { unit: `of ${pull.layerCount}` })}
    >
      {pull.layerCount === undefined ? 'unknown' : more.slice(0, 3).join(' · ')}
    </Figure>
  );
}

function WaitingFigure({ pull }: { pull: PullStatus }) {
  const now = useNow();
  const pods = waitingPods(pull.pods).length;
  const candidates = waitingPods(pull.candidates).length;
  const from = parseInstant(pull.queuedAt) ?? parseInstant(pull.startedAt);
  const to = parseInstant(pull.completedAt) ?? now;
  const waited = seconds(from === undefined || to < from ? undefined : (to - from) / 1000);
  const hasNone = pods === 0 && candidates === 0;
  return (
    <Figure name={isLive(pull) ? 'Pods waiting' : 'Pods that waited'} value={pods > 0 ? pods : UNKNOWN}>
      {hasNone
        ? 'none known'
        : pods === 0
          ? `possibly ${count(candidates, 'pod')}`
          : `longest ${waited.startsWith('<') ? '' : '≥ '}${waited}`}
    </Figure>
  );
}
