// Download throughput of all nodes, now and over the last 15 minutes.

import { useMemo } from 'react';
import { useLive, useServer, useThroughputSamples } from '../../live/hooks';
import { count } from '../../model/format';
import { throughputHistory } from '../../model/throughput';
import type { Totals } from '../../model/totals';
import { useFormat } from '../../settings';
import { Chart } from './Chart';
import styles from './Throughput.module.css';

export function Throughput({ totals }: { totals: Totals }) {
  const { store } = useLive();
  const server = useServer();
  const speeds = useThroughputSamples();
  const { rate, speed } = useFormat();
  const history = useMemo(
    () =>
      throughputHistory(
        server,
        speeds.map((sample) => ({ ...sample, at: store.serverNow(sample.at) })),
      ),
    [server, speeds, store],
  );
  const [number, unit] = rate(history?.latest?.speed);
  const facts = [
    history?.peak && history.peak.speed > 0 ? `peak ${speed(history.peak.speed)}` : '',
    totals.pulling > 0 ? `${count(totals.pulling, 'node')} pulling` : 'no nodes pulling',
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
      {history && <Chart history={history} />}
    </section>
  );
}
