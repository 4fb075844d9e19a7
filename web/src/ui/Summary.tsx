// What the whole cluster does, in six figures.

import { useSync, useTotals } from '../live/hooks';
import { count, iec, left, NONE } from '../model/format';
import type { Totals } from '../model/outline';
import { SpeedLine } from './SpeedLine';
import styles from './Summary.module.css';

interface Item {
  name: string;
  value: string;
  unit?: string;
  more: string;
  look?: 'bad' | 'warn';
}

const amount = (value: number | undefined, per = ''): Pick<Item, 'value' | 'unit'> => {
  if (value === undefined) return { value: NONE };
  const [number, unit] = iec(value);
  return { value: number, unit: unit + per };
};

function pulling({ waiting, unseen, completed, queued, pods }: Totals): string {
  const parts = [
    pods > 0 && `for ${count(pods, 'pod')}`,
    queued > 0 && `${queued.toLocaleString('en')} queued`,
    waiting > 0 && `${waiting.toLocaleString('en')} waiting`,
    unseen > 0 && `${unseen.toLocaleString('en')} not seen`,
  ];
  return parts.filter(Boolean).join(', ') || `${completed.toLocaleString('en')} completed`;
}

export function Summary() {
  const sum = useTotals();
  // Before anything was heard, a zero would be a guess.
  const heard = useSync() !== 'filling' || sum.nodes + sum.live > 0;
  const trouble = sum.stalled + sum.slow;
  const items: Item[] = [
    {
      name: 'Pulling',
      value: (sum.live - sum.queued).toLocaleString('en'),
      more: pulling(sum),
    },
    {
      name: 'Speed',
      ...amount(sum.live > 0 ? sum.speed : undefined, '/s'),
      more: sum.live === 0 ? 'nothing moves' : `over ${count(sum.pulling, 'node')}`,
    },
    {
      name: 'To download',
      ...amount(sum.toGo),
      more: sum.live === 0 ? 'nothing' : sum.unseen > 0 ? 'of what is seen' : 'of known sizes',
    },
    {
      name: 'Last one ready in',
      value: sum.lastReady === undefined ? NONE : left(sum.lastReady).replace('~', ''),
      more:
        sum.withoutEta + sum.unseen > 0
          ? `${(sum.withoutEta + sum.unseen).toLocaleString('en')} not known`
          : '',
    },
    {
      name: 'Stalled or slow',
      value: trouble.toLocaleString('en'),
      more: trouble === 0 ? 'none' : `${sum.stalled} stalled, ${sum.slow} slow`,
      ...(trouble > 0 ? { look: 'warn' as const } : {}),
    },
    {
      name: 'Failed',
      value: sum.failed.toLocaleString('en'),
      more: sum.failed > 0 ? 'of those still known' : 'none',
      ...(sum.failed > 0 ? { look: 'bad' as const } : {}),
    },
  ];
  return (
    <dl className={styles.summary} aria-label="In sum">
      {items.map(({ name, value, unit, more, look }) => (
        <div key={name} className={look ? styles[look] : undefined}>
          <dt>{name}</dt>
          <dd className={styles.value}>
            {heard ? value : NONE}
            {unit && <small> {unit}</small>}
          </dd>
          <dd className={styles.more}>{heard ? more : ''}</dd>
          {name === 'Speed' && <SpeedLine />}
        </div>
      ))}
    </dl>
  );
}
