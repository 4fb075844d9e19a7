// The layers on one axis of time, and under them how fast their bytes came.

import { type CSSProperties, useMemo } from 'react';
import type { LayerStatus, PullStatus } from '../../api/gen/wire';
import { useNow } from '../../live/hooks';
import { shortDigest } from '../../model/image';
import { insight } from '../../model/insight';
import { lane, means, type Sample } from '../../model/lane';
import { said, sentence, stepOf } from '../../model/layers';
import type { Compared } from '../../model/peers';
import { type Axis, type Line, waterfall } from '../../model/waterfall';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Bytes } from '../../ui/Figure';
import { Icon } from '../../ui/Icon';
import { More } from '../../ui/More';
import { Panel } from '../../ui/Panel';
import { Lane } from './Lane';
import styles from './Waterfall.module.css';

/** Images have 5 to 30 layers; a few have more than a hundred. */
const SHOWN = 60;

interface Props {
  pull: PullStatus;
  layers: readonly LayerStatus[];
  compared: Compared | undefined;
  samples: readonly Sample[];
}

export function Waterfall(props: Props) {
  const now = useNow();
  const { pull, layers } = props;
  // Its figures move four times a second; bars move with the clock, and with what is heard of the layers.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above.
  return useMemo(() => <Chart {...props} now={now} />, [now, layers, pull.id, pull.phase, pull.staleSince]);
}

function Chart({ pull, layers, compared, samples, now }: Props & { now: number }) {
  const format = useFormat();
  if (layers.length === 0) return <NoLayers pull={pull} />;
  const { axis, lines } = waterfall(pull, layers, now);
  const found = insight(pull, layers, compared, format);
  const every = axis.ticks[1]?.at ?? 1;
  return (
    <Panel title="Layers" more={layers.length} beside={<Legend lines={lines} />} className={styles.panel}>
      <div
        className={styles.chart}
        style={{ '--every': every, '--now': axis.now, '--ready': axis.ready } as CSSProperties}
      >
        <AxisHead axis={axis} />
        <ol className={styles.rows} aria-label="Layers, the lowest first">
          <More ids={lines.map(({ index }) => String(index))} limit={SHOWN} what="layers">
            {(key, index) => {
              const line = lines[index];
              return line && <Row key={key} pull={pull} line={line} axis={axis} />;
            }}
          </More>
        </ol>
        <Lane axis={axis} lane={lane(means(pull, layers, now), samples)} plot={<Plot axis={axis} />} />
      </div>
      {found && (
        <p className={styles.insight}>
          <Icon name="hint" size={16} />
          <span>
            <b>{found.what}</b>
            {found.more && <> ({found.more})</>}
            {found.step && (
              <>
                : <code>{found.step}</code>
              </>
            )}
          </span>
        </p>
      )}
    </Panel>
  );
}

function NoLayers({ pull }: { pull: PullStatus }) {
  const why =
    pull.layerCount !== undefined
      ? 'They are asked for.'
      : pull.phase === 'queued'
        ? 'They are known when its manifest is here, which the kubelet has not asked for yet.'
        : pull.completedAt === undefined
          ? 'They are known when its manifest is here.'
          : 'Its manifest was never seen.';
  return (
    <Panel title="Layers">
      <p className={styles.none}>{why}</p>
    </Panel>
  );
}

const KEYS = [
  ['waiting', 'waiting'],
  ['shared', 'by another pull'],
  ['downloading', 'downloading'],
  ['parent', 'waits for parent'],
  ['extracting', 'extracting'],
] as const;

/** Of what is drawn. */
function Legend({ lines }: { lines: readonly Line[] }) {
  const kinds = new Set<string>(lines.flatMap(({ segments }) => segments.map(({ kind }) => kind)));
  const keys: [string, string][] = KEYS.filter(([kind]) => kinds.has(kind)).map(([kind, words]) => [
    kind,
    words,
  ]);
  if (lines.some(({ setsEta }) => setsEta)) keys.push(['eta', 'sets the ETA']);
  return (
    <ul className={styles.legend} aria-label="What the bars show">
      {keys.map(([key, words]) => (
        <li key={key}>
          <i className={styles[key]} />
          {words}
        </li>
      ))}
    </ul>
  );
}

/** The lines that all rows have behind them. */
function Plot({ axis }: { axis: Axis }) {
  return (
    <>
      {axis.ready !== undefined && <i className={styles.ready} />}
      {axis.now !== undefined && <i className={styles.now} />}
    </>
  );
}

const NEAR = 0.07;

function AxisHead({ axis }: { axis: Axis }) {
  const near = (at: number, mark: number | undefined): boolean =>
    mark !== undefined && Math.abs(at - mark) < NEAR;
  const both = axis.now !== undefined && near(axis.now, axis.ready);
  return (
    <div className={styles.head} aria-hidden="true">
      <span className={styles.index}>#</span>
      <span>Layer</span>
      <span className={styles.size}>Size</span>
      <span className={styles.track}>
        <span className={styles.plot}>
          {axis.ticks
            .filter(({ at }) => at <= 1 && !near(at, axis.now) && !near(at, axis.ready))
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
              className={`${styles.mark} ${axis.now < NEAR ? styles.first : ''}`}
              style={{ left: `${axis.now * 100}%` }}
            >
              now
            </span>
          )}
          {axis.ready !== undefined && !both && (
            <span className={`${styles.mark} ${styles.end}`} style={{ left: `${axis.ready * 100}%` }}>
              ready
            </span>
          )}
        </span>
      </span>
    </div>
  );
}

function Row({ pull, line, axis }: { pull: PullStatus; line: Line; axis: Axis }) {
  const format = useFormat();
  const { layer, index, segments, end, setsEta } = line;
  const step = stepOf(layer);
  const digest = shortDigest(layer.digest);
  const here = layer.state === 'cached' || layer.state === 'remote';
  const { strong, text } = said(pull, layer, format);
  const other = layer.waitingOn?.pull;
  const first = segments[0]?.from ?? 0;
  const projected = segments.at(-1)?.kind === 'projected';
  return (
    <li
      className={`${styles.row} ${here || layer.state === 'complete' ? styles.quiet : ''}`}
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
          <Plot axis={axis} />
          {segments.map(({ kind, from, to }) => (
            <i
              key={kind}
              className={`${styles.segment} ${styles[kind]}`}
              style={{ left: `${from * 100}%`, width: `${(to - from) * 100}%` }}
            />
          ))}
          {setsEta && segments.length > 0 && (
            <i className={styles.eta} style={{ left: `${first * 100}%`, width: `${(end - first) * 100}%` }} />
          )}
          {here ? (
            <span className={`${styles.here} ${styles[layer.state] ?? ''}`}>
              <Icon name={layer.state === 'remote' ? 'link' : 'completed'} size={12} />
              {text}
            </span>
          ) : (
            <span
              className={`${styles.label} ${projected ? '' : styles.clear}`}
              style={{ left: `${end * 100}%` }}
            >
              {strong && <b>{strong} </b>}
              {other ? <a href={href('pulls', [other])}>{text}</a> : text}
            </span>
          )}
        </span>
      </span>
      <span className="hidden">{sentence(pull, layer, setsEta, format)}</span>
    </li>
  );
}
