// The screens of the page, with their addresses in a story.

import type { Story } from './stories';

/** A pull that goes on before one that does not, and a pod with several images before others. */
export function screens(story: Story): Record<string, string> {
  const { rows, pods } = story.world(story.from);
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
