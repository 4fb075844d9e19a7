// What is being pulled, by what people ask for. Groups stay where they are while they move.

import { useMemo } from 'react';
import { useAll, useLive, useServer } from '../../live/hooks';
import { count } from '../../model/format';
import { BY, type By, group, Places, rollouts } from '../../model/groups';
import type { Totals } from '../../model/totals';
import { href, look } from '../../route';
import { Choice } from '../../ui/Choice';
import { Panel } from '../../ui/Panel';
import { GroupRow } from './GroupRow';
import { Idle } from './Idle';
import styles from './InProgress.module.css';

/** So many are shown; the rest is a link away. */
const SHOWN = 12;

const NAMES: Record<By, [one: string, title: string]> = {
  image: ['image', 'Image'],
  node: ['node', 'Node'],
  namespace: ['namespace', 'Namespace'],
  pod: ['pod', 'Pod'],
};

/** What the address asks for. */
export const groupedBy = (asked: string | null): By => BY.find((by) => by === asked) ?? 'image';

interface Props {
  by: By;
  sum: Totals;
}

export function InProgress({ by, sum }: Props) {
  const all = useAll();
  const { store } = useLive();
  const places = useMemo(() => ({ by, order: new Places() }), [by]);
  const found = useMemo(
    () => places.order.sort(rollouts(all.rows.values(), places.by, store.now())),
    [all, places, store],
  );
  const pods = useServer()?.cluster.pods;
  const [one, title] = NAMES[by];
  const named = found.filter(({ key, live }) => key !== '' && live.length > 0).length;
  // A line that hides one group is worth less than the group.
  const shown = useMemo(() => (found.length > SHOWN + 1 ? found.slice(0, SHOWN) : found).map(group), [found]);
  const rest = found.slice(shown.length).filter(({ live }) => live.length > 0).length;
  return (
    <Panel
      className={styles.panel}
      title="In progress"
      more={sum.live > 0 ? `${count(sum.live, 'pull')} · ${count(named, one)}` : undefined}
      beside={
        <Choice
          label="Group by"
          value={by}
          choices={BY.map((each) => [each, NAMES[each][1]] as const)}
          choose={(next) => look({ group: next === 'image' ? undefined : next })}
        />
      }
    >
      {sum.live === 0 ? (
        <Idle nodes={sum.nodes} />
      ) : (
        <table className={styles.groups} data-by={by}>
          <caption className="hidden">Pulls in progress by {one}</caption>
          <thead>
            <tr>
              <th scope="col">{title}</th>
              <th scope="col">Progress</th>
              <th scope="col">Ready</th>
              <th scope="col">Speed</th>
              <th scope="col">Slowest ETA</th>
              {by !== 'pod' && <th scope="col">Pods</th>}
            </tr>
          </thead>
          <tbody>
            {shown.map((each) => (
              <GroupRow key={each.key} group={each} by={by} watched={pods === undefined || pods === 'live'} />
            ))}
          </tbody>
        </table>
      )}
      {sum.live > 0 && rest > 0 && (
        <p className={styles.rest}>
          <a href={href('pulls', [], { q: 'state:live', group: by })}>{count(rest, `more ${one}`)}</a>
        </p>
      )}
    </Panel>
  );
}
