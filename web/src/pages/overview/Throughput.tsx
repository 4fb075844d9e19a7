// How fast all nodes download, now and in the last 15 minutes.

import { useMemo } from 'react';
import { useLive, useServer, useSpeeds } from '../../live/hooks';
import { count } from '../../model/format';
import { history } from '../../model/throughput';
import type { Totals } from '../../model/totals';
import { useFormat } from '../../settings';
import { Chart } from './Chart';
import styles from './Throughput.module.css';

export function Throughput({ sum }: { sum: Totals }) {
  const { store } = useLive();
  const server = useServer();
  const speeds = useSpeeds();
  const { rate, speed } = useFormat();
  const past = useMemo(
    () =>
      history(
        server,
        speeds.map((sample) => ({ ...sample, at: store.now(sample.at) })),
      ),
    [server, speeds, store],
  );
  const [number, unit] = rate(past?.last?.speed);
  const facts = [
    past?.peak && past.peak.speed > 0 ? `peak ${speed(past.peak.speed)}` : '',
    sum.pulling > 0 ? `${count(sum.pulling, 'node')} pulling` : 'no node is pulling',
    'last 15 min',
  ];
  return (
    <section className={styles.throughput} aria-labelledby="throughput-title">
      <header>
        <h2 id="throughput-title">Download throughput</h2>
        <p className={styles.now} data-field="throughput">
          {number}
          {unit && <small> {unit}</small>}
        </p>
        <p className={styles.facts}>{facts.filter(Boolean).join(' · ')}</p>
      </header>
      {past && <Chart history={past} />}
    </section>
  );
}
