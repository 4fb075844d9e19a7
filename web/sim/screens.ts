// The screens of the page and their URLs in a story.

import type { Story } from './stories';
import type { World } from './world';

/** Prefers a live pull, and a pod with several images. */
export function screens(
  story: Story,
  { rows, pods }: World = story.world(story.viewAt),
): Record<string, string> {
  const pull = rows.find((row) => !row.outcome && row.layers) ?? rows.find((row) => row.phase !== 'queued');
  const pod = pods.find(({ images }) => images.length > 1) ?? pods.find(({ ready }) => !ready);
  return {
    overview: '#/',
    pulls: '#/pulls',
    images: '#/images',
    nodes: '#/nodes',
    failures: '#/failures',
    ...(pull ? { pull: `#/pulls/${encodeURIComponent(pull.id)}` } : {}),
    ...(pod ? { pod: `#/pods/${encodeURIComponent(pod.namespace)}/${encodeURIComponent(pod.podName)}` } : {}),
  };
}
