// Failures without a later success, grouped by reason and image, latest first.

import { useMemo, useState } from 'react';
import { useDataset, useServer, useSyncState } from '../../live/hooks';
import { currentFailures } from '../../model/failures';
import { compileFilter } from '../../model/filter';
import { formatPeriod } from '../../model/format';
import { type PageProps, updateQuery } from '../../route';
import { Filter } from '../../ui/Filter';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { TableSkeleton } from '../../ui/Table';
import { Entry } from './Entry';
import styles from './Failures.module.css';

const PAGE_SIZE = 50;

export function Failures({ route }: PageProps) {
  const dataset = useDataset();
  const sync = useSyncState();
  const failures = useMemo(() => currentFailures(dataset), [dataset]);
  const q = route.query.get('q') ?? '';
  const reason = route.query.get('reason') ?? '';
  const [limit, setLimit] = useState(PAGE_SIZE);
  const matching = useMemo(() => {
    const { matches } = compileFilter(q);
    return failures.filter(({ pulls }) => pulls.some(matches));
  }, [failures, q]);
  const shown = reason === '' ? matching : matching.filter((group) => group.reason === reason);
  return (
    <>
      <h1 className="hidden">Failures</h1>
      <Panel
        title="Failures"
        summary={
          failures.length === 0
            ? undefined
            : shown.length === failures.length
              ? failures.length.toLocaleString('en')
              : `${shown.length.toLocaleString('en')} of ${failures.length.toLocaleString('en')}`
        }
        actions={failures.length > 0 && <Filter label="Image, node, pod or reason" value={q} />}
      >
        {failures.length === 0 ? (
          sync === 'loading' ? (
            <TableSkeleton />
          ) : (
            <NoFailures />
          )
        ) : (
          <>
            <Reasons reasons={matching.map((group) => group.reason)} selected={reason} />
            {shown.length === 0 ? (
              <Message name="no-match" title="No matching failures">
                <button type="button" onClick={() => updateQuery({ q: undefined, reason: undefined })}>
                  Show all {failures.length.toLocaleString('en')}
                </button>
              </Message>
            ) : (
              <ol className={styles.list}>
                {shown.slice(0, limit).map((group) => (
                  <Entry key={group.key} group={group} />
                ))}
              </ol>
            )}
            {shown.length > limit && (
              <p className={styles.more}>
                <button type="button" onClick={() => setLimit(limit + PAGE_SIZE)}>
                  Show {Math.min(PAGE_SIZE, shown.length - limit)} more
                </button>
              </p>
            )}
          </>
        )}
      </Panel>
    </>
  );
}

function NoFailures() {
  const retention = useServer()?.keepsEndedSeconds;
  return (
    <div className={styles.well} data-message="idle">
      <Icon name="completed" size={22} />
      <h3>
        {retention === undefined ? 'No failures' : `No failures in the last ${formatPeriod(retention)}`}
      </h3>
      <p>Failed pulls that succeeded on a later attempt are not listed.</p>
    </div>
  );
}

/** Filter buttons, one per reason, with counts. */
function Reasons({ reasons, selected }: { reasons: readonly string[]; selected: string }) {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  // Keep the selected reason even if no failure matches, so that it can be deselected.
  if (selected !== '' && !counts.has(selected)) counts.set(selected, 0);
  if (counts.size < 2 && selected === '') return null;
  return (
    <fieldset className={styles.reasons}>
      <legend className="hidden">Reasons</legend>
      {[...counts]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([reason, count]) => (
          <button
            key={reason}
            type="button"
            aria-pressed={reason === selected}
            onClick={() => updateQuery({ reason: reason === selected ? undefined : reason })}
          >
            {reason} <small>{count.toLocaleString('en')}</small>
          </button>
        ))}
    </fieldset>
  );
}
