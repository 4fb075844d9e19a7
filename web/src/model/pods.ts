// Who waits for a pull, and how that is known, in words.

import type { PodLink } from '../api/gen/wire';

/** One pod, with all of its containers that want the image. */
export interface PodName {
  /** The same for as long as the pod is that one. */
  key: string;
  namespace: string;
  name: string;
  /** `shop/web-5d8f7c` */
  pod: string;
  /** `app, sidecar`; empty where nobody says. */
  containers: string;
  /** How that is known, for people; undefined of a candidate. */
  evidence: string | undefined;
}

const EVIDENCE: Record<string, string> = {
  image_record: 'the runtime recorded the finished image under the name that the pod wants',
  digest: 'the pod names the image by the digest that is pulled',
  learned_tag: 'the digest that is pulled was seen under this name before',
  event: 'the kubelet announced the image, and only this pull can be it',
  only_candidate: 'of all images that pods wait for on this node, only this one can be it',
};

const words = ({ evidence }: PodLink): string | undefined =>
  evidence === undefined ? undefined : (EVIDENCE[evidence] ?? String(evidence).replaceAll('_', ' '));

/** The pods in the order in which they are told; a pod with several containers once. */
export function podNames(links: readonly PodLink[] = []): PodName[] {
  const found = new Map<string, PodLink[]>();
  for (const link of links) {
    const key = `${link.namespace}/${link.podName} ${link.uid}`;
    found.set(key, [...(found.get(key) ?? []), link]);
  }
  return [...found].map(([key, [first, ...rest]]) => ({
    key,
    namespace: first?.namespace ?? '',
    name: first?.podName ?? '',
    pod: `${first?.namespace}/${first?.podName}`,
    containers: [first, ...rest]
      .map((link) => link?.container)
      .filter(Boolean)
      .join(', '),
    evidence: first && words(first),
  }));
}

/** `shop/web-5d8f7c · app` */
export const podText = ({ pod, containers }: PodName): string =>
  containers === '' ? pod : `${pod} · ${containers}`;

/** `perhaps shop/a or shop/b`; of many the first three, and how many more. */
export function perhaps(pods: readonly PodName[]): string {
  const names = pods.slice(0, 3).map(({ pod }) => pod);
  const more = pods.length - names.length;
  if (more > 0) names.push(`${more.toLocaleString('en')} more`);
  const last = names.pop() ?? '';
  return `perhaps ${names.length === 0 ? '' : `${names.join(', ')} or `}${last}`;
}
