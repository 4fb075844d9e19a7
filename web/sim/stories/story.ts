// Definition of stories, and helpers to create them.

import { type NodePlan, node, type Plan, type PodPlan, plan } from '../plan';
import { Cluster, ORIGIN, type World } from '../world';

export interface Story {
  name: string;
  /** One-sentence description. */
  description: string;
  /** Second at which the story is viewed. */
  viewAt: number;
  /** Second at which the page is opened, if before the view. */
  openAt?: number;
  /** Second at which the story ends; it then repeats. */
  until: number;
  /** `origin` is the instant of second 0. */
  world: (t: number, origin?: number) => World;
  /** The server never completes its snapshot. */
  unfinished?: boolean;
}

type StoryInfo = Pick<Story, 'name' | 'description'> & Partial<Story>;

/** Creates a story from a plan, simulated on first use. */
export function storyFromPlan(info: StoryInfo, makePlan: () => Plan): Story {
  let cluster: Cluster | undefined;
  const world: Story['world'] = (t, origin = ORIGIN) => {
    cluster ??= new Cluster(makePlan());
    return cluster.at(t, origin);
  };
  return { viewAt: 0, until: 60, world, ...info };
}

/** Derives a story by changing the worlds of another one. */
export const derivedStory = (
  story: Story,
  info: StoryInfo,
  change: (world: World, t: number, origin: number) => World,
): Story => ({
  ...story,
  ...info,
  world: (t, origin = ORIGIN) => change(story.world(t, origin), t, origin),
});

/** A plan for a few nodes, which are taken from the pods. */
export function smallPlan(
  name: string,
  pods: readonly PodPlan[],
  nodes: readonly (Partial<NodePlan> & { name: string })[] = [],
  more: Partial<Plan> = {},
): Plan {
  const named = nodes.map(({ name: nodeName, ...rest }) => node(nodeName, rest));
  const others = [...new Set(pods.map((pod) => pod.node))]
    .filter((nodeName) => !named.some((each) => each.name === nodeName))
    .map((nodeName) => node(nodeName));
  return plan(name, [...named, ...others], pods, { until: 120, from: -900, ...more });
}
