// What fails, and what to do about it: one entry for each reason, image and registry, the last one first.

import { useMemo, useState } from 'react';
import { useAll, useServer, useSync } from '../../live/hooks';
import { failing } from '../../model/failures';
import { compile } from '../../model/filter';
import { lasting } from '../../model/format';
import { look, type PageProps } from '../../route';
import { Filter } from '../../ui/Filter';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { TableSkeleton } from '../../ui/Table';
import { Entry } from './Entry';
import styles from './Failures.module.css';

const SHOWN = 50;

export function Failures({ route }: PageProps) {
  const all = useAll();
  const sync = useSync();
  const every = useMemo(() => failing(all), [all]);
  const q = route.query.get('q') ?? '';
  const reason = route.query.get('reason') ?? '';
  const [most, setMost] = useState(SHOWN);
  const found = useMemo(() => {
    const { matches } = compile(q);
    return every.filter(({ pulls }) => pulls.some(matches));
  }, [every, q]);
  const shown = reason === '' ? found : found.filter((group) => group.reason === reason);
  return (
    <>
      <h1 className="hidden">Failures</h1>
      <Panel
        title="Failures"
        more={
          every.length === 0
            ? undefined
            : shown.length === every.length
              ? every.length.toLocaleString('en')
              : `${shown.length.toLocaleString('en')} of ${every.length.toLocaleString('en')}`
        }
        beside={every.length > 0 && <Filter label="Image, node, pod or reason" value={q} />}
      >
        {every.length === 0 ? (
          sync === 'filling' ? (
            <TableSkeleton />
          ) : (
            <Well />
          )
        ) : (
          <>
            <Reasons reasons={found.map((group) => group.reason)} chosen={reason} />
            {shown.length === 0 ? (
              <Message name="no-match" title="Nothing fails like that">
                <button type="button" onClick={() => look({ q: undefined, reason: undefined })}>
                  Show all {every.length.toLocaleString('en')}
                </button>
              </Message>
            ) : (
              <ol className={styles.list}>
                {shown.slice(0, most).map((group) => (
                  <Entry key={group.key} group={group} />
                ))}
              </ol>
            )}
            {shown.length > most && (
              <p className={styles.more}>
                <button type="button" onClick={() => setMost(most + SHOWN)}>
                  Show {Math.min(SHOWN, shown.length - most)} more
                </button>
              </p>
            )}
          </>
        )}
      </Panel>
    </>
  );
}

function Well() {
  const keeps = useServer()?.keepsEndedSeconds;
  return (
    <div className={styles.well} data-message="idle">
      <Icon name="completed" size={22} />
      <h3>
        {keeps === undefined ? 'Nothing is failing' : `Nothing has failed in the last ${lasting(keeps)}`}
      </h3>
      <p>What a later try has brought is no failure any more, and is not shown here.</p>
    </div>
  );
}

/** Each reason that there is, and how many fail for it. */
function Reasons({ reasons, chosen }: { reasons: readonly string[]; chosen: string }) {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  // One that is chosen can be let go of, also when nothing fails for it any more.
  if (chosen !== '' && !counts.has(chosen)) counts.set(chosen, 0);
  if (counts.size < 2 && chosen === '') return null;
  return (
    <fieldset className={styles.reasons}>
      <legend className="hidden">Which reasons</legend>
      {[...counts]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([reason, count]) => (
          <button
            key={reason}
            type="button"
            aria-pressed={reason === chosen}
            onClick={() => look({ reason: reason === chosen ? undefined : reason })}
          >
            {reason} <small>{count.toLocaleString('en')}</small>
          </button>
        ))}
    </fieldset>
  );
}
