// Live pulls, grouped. Groups keep their positions as pulls progress.

import { useMemo } from 'react';
import { useDataset, useLive, useServer } from '../../live/hooks';
import { count } from '../../model/format';
import {
  findRollouts,
  ROLLOUT_GROUPINGS,
  type RolloutGrouping,
  RolloutOrder,
  summarizeRollout,
} from '../../model/groups';
import type { Totals } from '../../model/totals';
import { href, updateQuery } from '../../route';
import { Panel } from '../../ui/Panel';
import { SegmentedControl } from '../../ui/SegmentedControl';
import { GroupRow } from './GroupRow';
import { Idle } from './Idle';
import styles from './InProgress.module.css';

/** Maximum number of groups shown; a link leads to the others. */
const MAX_GROUPS = 12;

const GROUPING_NAMES: Record<RolloutGrouping, [one: string, title: string]> = {
  image: ['image', 'Image'],
  node: ['node', 'Node'],
  namespace: ['namespace', 'Namespace'],
  pod: ['pod', 'Pod'],
};

/** Parses the grouping in the URL. */
export const parseGrouping = (requested: string | null): RolloutGrouping =>
  ROLLOUT_GROUPINGS.find((by) => by === requested) ?? 'image';

interface Props {
  by: RolloutGrouping;
  totals: Totals;
}

export function InProgress({ by, totals }: Props) {
  const dataset = useDataset();
  const { store } = useLive();
  const rollouts = useMemo(() => ({ by, order: new RolloutOrder() }), [by]);
  const sortedRollouts = useMemo(
    () => rollouts.order.sort(findRollouts(dataset.rows.values(), rollouts.by, store.serverNow())),
    [dataset, rollouts, store],
  );
  const pods = useServer()?.cluster.pods;
  const [noun, title] = GROUPING_NAMES[by];
  const groupCount = sortedRollouts.filter(({ key, live }) => key !== '' && live.length > 0).length;
  // Don't replace a single group with a link that takes as much space.
  const shown = useMemo(
    () =>
      (sortedRollouts.length > MAX_GROUPS + 1 ? sortedRollouts.slice(0, MAX_GROUPS) : sortedRollouts).map(
        summarizeRollout,
      ),
    [sortedRollouts],
  );
  const hiddenCount = sortedRollouts.slice(shown.length).filter(({ live }) => live.length > 0).length;
  return (
    <Panel
      className={styles.panel}
      title="In progress"
      summary={totals.live > 0 ? `${count(totals.live, 'pull')} · ${count(groupCount, noun)}` : undefined}
      actions={
        <SegmentedControl
          label="Group by"
          value={by}
          options={ROLLOUT_GROUPINGS.map((each) => [each, GROUPING_NAMES[each][1]] as const)}
          onSelect={(next) => updateQuery({ group: next === 'image' ? undefined : next })}
        />
      }
    >
      {totals.live === 0 ? (
        <Idle nodes={totals.nodes} />
      ) : (
        <table className={styles.groups} data-by={by}>
          <caption className="hidden">Pulls in progress by {noun}</caption>
          <thead>
            <tr>
              <th scope="col">{title}</th>
              <th scope="col">Progress</th>
              <th scope="col">Ready</th>
              <th scope="col">Speed</th>
              <th scope="col">Longest ETA</th>
              {by !== 'pod' && <th scope="col">Pods</th>}
            </tr>
          </thead>
          <tbody>
            {shown.map((each) => (
              <GroupRow
                key={each.key}
                group={each}
                by={by}
                arePodsKnown={pods === undefined || pods === 'live'}
              />
            ))}
          </tbody>
        </table>
      )}
      {totals.live > 0 && hiddenCount > 0 && (
        <p className={styles.rest}>
          <a href={href('pulls', [], { q: 'state:live', group: by })}>{count(hiddenCount, `more ${noun}`)}</a>
        </p>
      )}
    </Panel>
  );
}
