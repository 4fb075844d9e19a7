// All nodes at once, one cell each: how fast they are, and which are in trouble.

import { type KeyboardEvent, memo, useMemo, useState } from 'react';
import { useAll } from '../../live/hooks';
import type { FailureGroup } from '../../model/failures';
import { count } from '../../model/format';
import { type Cell, type CellState, cut, grid } from '../../model/grid';
import { visible } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Panel } from '../../ui/Panel';
import styles from './NodeGrid.module.css';
import { Open } from './Open';

/** So many cells are drawn. */
const MOST = 192;

const WORDS: Record<CellState, string> = {
  silent: 'not reporting',
  failing: 'something fails',
  stalled: 'stalled',
  extracting: 'extracting',
  pulling: 'pulling',
  waiting: 'waiting',
  idle: 'idle',
};

export function NodeGrid({ failing }: { failing: readonly FailureGroup[] }) {
  const all = useAll();
  const { speed } = useFormat();
  const { pools, rest, nodes, lost } = useMemo(() => {
    const bad = new Set(failing.flatMap(({ pulls }) => pulls.map(({ nodeName }) => nodeName)));
    const found = grid(all.nodes.values(), all.rows.values(), bad);
    const cells = found.flatMap((pool) => pool.cells);
    return {
      ...cut(found, MOST),
      nodes: cells.length,
      lost: cells.filter(({ state }) => state === 'silent').length,
    };
  }, [all, failing]);
  const [at, setAt] = useState('');
  const first = pools[0]?.cells[0]?.name;
  const names = new Set(pools.flatMap(({ cells }) => cells.map(({ name }) => name)));
  // One stop for the whole grid; arrows move within.
  const stop = names.has(at) ? at : first;
  return (
    <Panel
      className={styles.panel}
      title="Nodes"
      more={
        lost > 0
          ? `${(nodes - lost).toLocaleString('en')} of ${nodes.toLocaleString('en')} reporting`
          : nodes.toLocaleString('en')
      }
      beside={<Open to={href('nodes')}>All nodes</Open>}
    >
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the links in it are what is moved to. */}
      <div className={styles.grid} onKeyDown={step}>
        {pools.map(({ name, cells }) => (
          <div key={name} className={styles.pool}>
            {pools.length > 1 || name !== '' ? (
              <p className={styles.name} title={name}>
                {name || 'others'}
              </p>
            ) : null}
            <ul className={styles.cells} aria-label={name || 'Nodes'}>
              {cells.map((cell) => (
                <CellLink
                  key={cell.name}
                  name={cell.name}
                  state={cell.state}
                  shade={cell.shade}
                  label={said(cell, speed)}
                  stop={cell.name === stop}
                  at={setAt}
                />
              ))}
            </ul>
          </div>
        ))}
        {rest > 0 && (
          <p className={styles.rest}>
            <a href={href('nodes')}>{count(rest, 'more node')}</a>
          </p>
        )}
      </div>
      <ul className={styles.legend} aria-label="What the cells show">
        <li>
          <i className={styles.ramp} /> speed
        </li>
        {(['extracting', 'failing', 'stalled', 'silent', 'idle'] as const).map((state) => (
          <li key={state}>
            <i className={`${styles.cell} ${styles[state]}`} />{' '}
            {state === 'failing' ? 'failing' : WORDS[state]}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** `gpu-worker-14: pulling, 3 pulls, 120 MiB/s` */
function said({ name, state, live, speed }: Cell, format: (value: number | undefined) => string): string {
  const facts = [
    WORDS[state],
    live > 0 && state !== 'silent' && count(live, 'pull'),
    speed !== undefined && speed > 0 && format(speed),
  ];
  return `${visible(name)}: ${facts.filter(Boolean).join(', ')}`;
}

const BACK = new Set(['ArrowLeft', 'ArrowUp']);
const ON = new Set(['ArrowRight', 'ArrowDown']);

function step(event: KeyboardEvent<HTMLElement>): void {
  const links = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-cell]')];
  const index = links.indexOf(document.activeElement as HTMLElement);
  if (index < 0) return;
  const next = BACK.has(event.key)
    ? index - 1
    : ON.has(event.key)
      ? index + 1
      : event.key === 'Home'
        ? 0
        : event.key === 'End'
          ? links.length - 1
          : undefined;
  const link = next === undefined ? undefined : links[next];
  if (link === undefined) return;
  event.preventDefault();
  link.focus();
}

interface CellProps {
  name: string;
  state: CellState;
  shade: number;
  label: string;
  stop: boolean;
  at: (name: string) => void;
}

const CellLink = memo(({ name, state, shade, label, stop, at }: CellProps) => (
  <li>
    <a
      className={`${styles.cell} ${styles[state]} ${state === 'pulling' ? styles[`shade${shade}`] : ''}`}
      href={href('nodes', [name])}
      title={label}
      tabIndex={stop ? 0 : -1}
      onFocus={() => at(name)}
      data-cell={name}
      data-state={state}
    >
      <span className="hidden">{label}</span>
    </a>
  </li>
));
