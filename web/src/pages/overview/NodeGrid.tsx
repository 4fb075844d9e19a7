// All nodes as cells, coloured by speed and problems.

import { type KeyboardEvent, memo, useMemo, useState } from 'react';
import { useDataset } from '../../live/hooks';
import type { FailureGroup } from '../../model/failures';
import { count } from '../../model/format';
import { type Cell, type CellState, limitCells, nodeGrid } from '../../model/grid';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Panel } from '../../ui/Panel';
import { HeadingLink } from './HeadingLink';
import styles from './NodeGrid.module.css';

/** Limit of cells. */
const MAX_CELLS = 192;

const STATE_LABELS: Record<CellState, string> = {
  silent: 'not reporting',
  failing: 'failing',
  stalled: 'stalled',
  extracting: 'extracting',
  pulling: 'pulling',
  waiting: 'waiting',
  idle: 'idle',
};

export function NodeGrid({ failures }: { failures: readonly FailureGroup[] }) {
  const dataset = useDataset();
  const { speed } = useFormat();
  const { pools, rest, nodes, lost } = useMemo(() => {
    const failingNodes = new Set(failures.flatMap(({ pulls }) => pulls.map(({ nodeName }) => nodeName)));
    const allPools = nodeGrid(dataset.nodes.values(), dataset.rows.values(), failingNodes);
    const cells = allPools.flatMap((pool) => pool.cells);
    return {
      ...limitCells(allPools, MAX_CELLS),
      nodes: cells.length,
      lost: cells.filter(({ state }) => state === 'silent').length,
    };
  }, [dataset, failures]);
  const [focusedName, setFocusedName] = useState('');
  const first = pools[0]?.cells[0]?.name;
  const names = new Set(pools.flatMap(({ cells }) => cells.map(({ name }) => name)));
  // The grid is one tab stop; arrow keys move within it.
  const tabStop = names.has(focusedName) ? focusedName : first;
  return (
    <Panel
      className={styles.panel}
      title="Nodes"
      summary={
        lost > 0
          ? `${(nodes - lost).toLocaleString('en')} of ${nodes.toLocaleString('en')} reporting`
          : nodes.toLocaleString('en')
      }
      actions={<HeadingLink to={href('nodes')}>All nodes</HeadingLink>}
    >
      {/* biome-ignore lint/a11y/noStaticElementInteractions: handles arrow keys for the links inside. */}
      <div className={styles.grid} onKeyDown={moveFocus}>
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
                  label={describeCell(cell, speed)}
                  isTabStop={cell.name === tabStop}
                  onFocusName={setFocusedName}
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
      <ul className={styles.legend} aria-label="Legend">
        <li>
          <i className={styles.ramp} /> speed
        </li>
        {(['extracting', 'failing', 'stalled', 'silent', 'idle'] as const).map((state) => (
          <li key={state}>
            <i className={`${styles.cell} ${styles[state]}`} />{' '}
            {state === 'failing' ? 'failing' : STATE_LABELS[state]}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** `gpu-worker-14: pulling, 3 pulls, 120 MiB/s` */
function describeCell(
  { name, state, live, speed }: Cell,
  format: (value: number | undefined) => string,
): string {
  const facts = [
    STATE_LABELS[state],
    live > 0 && state !== 'silent' && count(live, 'pull'),
    speed !== undefined && speed > 0 && format(speed),
  ];
  return `${escapeHidden(name)}: ${facts.filter(Boolean).join(', ')}`;
}

const PREVIOUS_KEYS = new Set(['ArrowLeft', 'ArrowUp']);
const NEXT_KEYS = new Set(['ArrowRight', 'ArrowDown']);

function moveFocus(event: KeyboardEvent<HTMLElement>): void {
  const links = [...event.currentTarget.querySelectorAll<HTMLElement>('[data-cell]')];
  const index = links.indexOf(document.activeElement as HTMLElement);
  if (index < 0) return;
  const next = PREVIOUS_KEYS.has(event.key)
    ? index - 1
    : NEXT_KEYS.has(event.key)
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
  isTabStop: boolean;
  onFocusName: (name: string) => void;
}

const CellLink = memo(({ name, state, shade, label, isTabStop, onFocusName }: CellProps) => (
  <li>
    <a
      className={`${styles.cell} ${styles[state]} ${state === 'pulling' ? styles[`shade${shade}`] : ''}`}
      href={href('nodes', [name])}
      title={label}
      tabIndex={isTabStop ? 0 : -1}
      onFocus={() => onFocusName(name)}
      data-cell={name}
      data-state={state}
    >
      <span className="hidden">{label}</span>
    </a>
  </li>
));
