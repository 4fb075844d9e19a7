// The layers on a time axis, with the download speed below.

import { type CSSProperties, useMemo } from 'react';
import type { LayerStatus, PullStatus } from '../../api/gen/wire';
import { useNow } from '../../live/hooks';
import { shortDigest } from '../../model/image';
import { insight } from '../../model/insight';
import { meanSpeeds, type SpeedSample, speedLane } from '../../model/lane';
import { buildStep, describeLayer, layerLabel } from '../../model/layers';
import type { PeerComparison } from '../../model/peers';
import { type LayerLine, type WaterfallAxis, waterfall } from '../../model/waterfall';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Bytes } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { LimitedList } from '../../ui/LimitedList';
import { Panel } from '../../ui/Panel';
import { Lane } from './Lane';
import styles from './Waterfall.module.css';

/** Images have 5 to 30 layers; a few have more than a hundred. */
const MAX_LAYERS = 60;

interface Props {
  pull: PullStatus;
  layers: readonly LayerStatus[];
  comparison: PeerComparison | undefined;
  samples: readonly SpeedSample[];
}

export function Waterfall(props: Props) {
  const now = useNow();
  const { pull, layers } = props;
  // The pull changes four times per second; the bars depend on the clock and the layers only.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above.
  return useMemo(
    () => <WaterfallChart {...props} now={now} />,
    [now, layers, pull.id, pull.phase, pull.staleSince],
  );
}

function WaterfallChart({ pull, layers, comparison, samples, now }: Props & { now: number }) {
  const format = useFormat();
  if (layers.length === 0) return <NoLayers pull={pull} />;
  const { axis, lines } = waterfall(pull, layers, now);
  const finding = insight(pull, layers, comparison, format);
  const tickShare = axis.ticks[1]?.at ?? 1;
  return (
    <Panel title="Layers" summary={layers.length} actions={<Legend lines={lines} />} className={styles.panel}>
      <div
        className={styles.chart}
        style={{ '--every': tickShare, '--now': axis.now, '--ready': axis.ready } as CSSProperties}
      >
        <AxisHead axis={axis} />
        <ol className={styles.rows} aria-label="Layers, base first">
          <LimitedList ids={lines.map(({ index }) => String(index))} limit={MAX_LAYERS} noun="layers">
            {(key, index) => {
              const line = lines[index];
              return line && <Row key={key} pull={pull} line={line} axis={axis} />;
            }}
          </LimitedList>
        </ol>
        <Lane
          axis={axis}
          lane={speedLane(meanSpeeds(pull, layers, now), samples)}
          plot={<Markers axis={axis} />}
        />
      </div>
      {finding && (
        <p className={styles.insight}>
          <Icon name="hint" size={16} />
          <span>
            <b>{finding.headline}</b>
            {finding.detail && <> ({finding.detail})</>}
            {finding.step && (
              <>
                : <code>{finding.step}</code>
              </>
            )}
          </span>
        </p>
      )}
    </Panel>
  );
}

function NoLayers({ pull }: { pull: PullStatus }) {
  const reason =
    pull.layerCount !== undefined
      ? 'Loading layers.'
      : pull.phase === 'queued'
        ? 'Unknown until the pull starts and its manifest is received.'
        : pull.completedAt === undefined
          ? 'Unknown until the manifest is received.'
          : 'Unknown: the manifest was not observed.';
  return (
    <Panel title="Layers">
      <p className={styles.none}>{reason}</p>
    </Panel>
  );
}

const LEGEND = [
  ['waiting', 'waiting'],
  ['shared', 'from another pull'],
  ['downloading', 'downloading'],
  ['parent', 'waiting for parent'],
  ['extracting', 'extracting'],
] as const;

/** Only the kinds of segments that are shown. */
function Legend({ lines }: { lines: readonly LayerLine[] }) {
  const kinds = new Set<string>(lines.flatMap(({ segments }) => segments.map(({ kind }) => kind)));
  const keys: [string, string][] = LEGEND.filter(([kind]) => kinds.has(kind)).map(([kind, words]) => [
    kind,
    words,
  ]);
  if (lines.some(({ isCritical }) => isCritical)) keys.push(['eta', 'sets the ETA']);
  return (
    <ul className={styles.legend} aria-label="Legend">
      {keys.map(([key, words]) => (
        <li key={key}>
          <i className={styles[key]} />
          {words}
        </li>
      ))}
    </ul>
  );
}

/** The marker lines behind each row. */
function Markers({ axis }: { axis: WaterfallAxis }) {
  return (
    <>
      {axis.ready !== undefined && <i className={styles.ready} />}
      {axis.now !== undefined && <i className={styles.now} />}
    </>
  );
}

const LABEL_DISTANCE = 0.07;

function AxisHead({ axis }: { axis: WaterfallAxis }) {
  const overlaps = (at: number, mark: number | undefined): boolean =>
    mark !== undefined && Math.abs(at - mark) < LABEL_DISTANCE;
  const marksOverlap = axis.now !== undefined && overlaps(axis.now, axis.ready);
  return (
    <div className={styles.head} aria-hidden="true">
      <span className={styles.index}>#</span>
      <span>Layer</span>
      <span className={styles.size}>Size</span>
      <span className={styles.track}>
        <span className={styles.plot}>
          {axis.ticks
            .filter(({ at }) => at <= 1 && !overlaps(at, axis.now) && !overlaps(at, axis.ready))
            .map(({ at, label }) => (
              <span
                key={label}
                className={at === 0 ? styles.zero : styles.tick}
                style={{ left: `${at * 100}%` }}
              >
                {label}
              </span>
            ))}
          {axis.now !== undefined && (
            <span
              className={`${styles.mark} ${axis.now < LABEL_DISTANCE ? styles.first : ''}`}
              style={{ left: `${axis.now * 100}%` }}
            >
              now
            </span>
          )}
          {axis.ready !== undefined && !marksOverlap && (
            <span className={`${styles.mark} ${styles.end}`} style={{ left: `${axis.ready * 100}%` }}>
              ready
            </span>
          )}
        </span>
      </span>
    </div>
  );
}

function Row({ pull, line, axis }: { pull: PullStatus; line: LayerLine; axis: WaterfallAxis }) {
  const format = useFormat();
  const { layer, index, segments, end, isCritical } = line;
  const step = buildStep(layer);
  const digest = shortDigest(layer.digest);
  const isLocal = layer.state === 'cached' || layer.state === 'remote';
  const { emphasis, text } = layerLabel(pull, layer, format);
  const blockingPull = layer.waitingOn?.pull;
  const first = segments[0]?.from ?? 0;
  const projected = segments.at(-1)?.kind === 'projected';
  return (
    <li
      className={`${styles.row} ${isLocal || layer.state === 'complete' ? styles.quiet : ''}`}
      data-layer={layer.digest}
      data-state={layer.state}
    >
      <span className={styles.index}>{index + 1}</span>
      <span className={styles.layer} title={`${layer.createdBy ?? ''}\n${layer.digest}`.trim()}>
        <code className={styles.step}>{step}</code>
        {step !== digest && <code className={styles.digest}>{digest}</code>}
      </span>
      <span className={styles.size}>
        <Bytes value={layer.totalBytes} />
      </span>
      <span className={styles.track}>
        <span className={styles.plot}>
          <Markers axis={axis} />
          {segments.map(({ kind, from, to }) => (
            <i
              key={kind}
              className={`${styles.segment} ${styles[kind]}`}
              style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }}
            />
          ))}
          {isCritical && segments.length > 0 && (
            <i className={styles.eta} style={{ left: `${first * 100}%`, width: `${(end - first) * 100}%` }} />
          )}
          {isLocal ? (
            <span className={`${styles.here} ${styles[layer.state] ?? ''}`}>
              <Icon name={layer.state === 'remote' ? 'link' : 'completed'} size={12} />
              {text}
            </span>
          ) : (
            <span
              className={`${styles.label} ${projected ? '' : styles.clear}`}
              style={{ left: `${end * 100}%` }}
            >
              {emphasis && <b>{emphasis} </b>}
              {blockingPull ? <a href={href('pulls', [blockingPull])}>{text}</a> : text}
            </span>
          )}
        </span>
      </span>
      <span className="hidden">{describeLayer(pull, layer, isCritical, format)}</span>
    </li>
  );
}
