// What a story is, and the ways to make one.

import { type NodePlan, node, type Plan, type PodPlan, plan } from '../plan';
import { Cluster, ORIGIN, type World } from '../world';

export interface Story {
  name: string;
  /** What is to be seen in it, in a sentence. */
  shows: string;
  /** The second at which to look. */
  from: number;
  /** The second at which to open the page, where that must have been before the look. */
  opens?: number;
  /** The second until which it is told; after it, it begins anew. */
  until: number;
  /** `origin` is the instant of second 0. */
  world: (t: number, origin?: number) => World;
  /** The server never says that its snapshot is whole. */
  unfinished?: boolean;
}

type Told = Pick<Story, 'name' | 'shows'> & Partial<Story>;

/** A story of what a plan makes happen. It is played when it is first asked for. */
export function played(told: Told, make: () => Plan): Story {
  let cluster: Cluster | undefined;
  const world: Story['world'] = (t, origin = ORIGIN) => {
    cluster ??= new Cluster(make());
    return cluster.at(t, origin);
  };
  return { from: 0, until: 60, world, ...told };
}

/** Another story of the same, with its worlds changed. */
export const changed = (
  story: Story,
  told: Told,
  change: (world: World, t: number, origin: number) => World,
): Story => ({
  ...story,
  ...told,
  world: (t, origin = ORIGIN) => change(story.world(t, origin), t, origin),
});

/** A plan for a few nodes that are named by the pods. */
export function small(
  name: string,
  pods: readonly PodPlan[],
  nodes: readonly (Partial<NodePlan> & { name: string })[] = [],
  more: Partial<Plan> = {},
): Plan {
  const named = nodes.map(({ name: of, ...rest }) => node(of, rest));
  const others = [...new Set(pods.map((pod) => pod.node))]
    .filter((of) => !named.some((each) => each.name === of))
    .map((of) => node(of));
  return plan(name, [...named, ...others], pods, { until: 120, from: -900, ...more });
}
