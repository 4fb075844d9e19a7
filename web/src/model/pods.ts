// Pods that wait for a pull, and the evidence for it, as text.

import type { PodLink } from '../api/gen/wire';

/** A pod with all its containers that use the image. */
export interface WaitingPod {
  /** Unique per pod; a recreated pod has another key. */
  key: string;
  namespace: string;
  name: string;
  /** `shop/web-5d8f7c` */
  fullName: string;
  /** `app, sidecar`; empty if unknown. */
  containers: string;
  /** Evidence for the match, as on the wire; undefined for candidates. */
  evidence: string | undefined;
}

const EVIDENCE_TEXTS: Record<string, string> = {
  image_record: 'Matched by image record',
  digest: 'Matched by digest',
  learned_tag: 'Matched by previously seen tag',
  event: 'Matched by kubelet event',
  only_candidate: 'Only possible match on this node',
};

export const evidenceText = ({ evidence }: Pick<WaitingPod, 'evidence'>): string | undefined =>
  evidence === undefined ? undefined : (EVIDENCE_TEXTS[evidence] ?? String(evidence).replaceAll('_', ' '));

/** Groups links by pod, in the given order. */
export function waitingPods(links: readonly PodLink[] = []): WaitingPod[] {
  const found = new Map<string, PodLink[]>();
  for (const link of links) {
    const key = `${link.namespace}/${link.podName} ${link.uid}`;
    found.set(key, [...(found.get(key) ?? []), link]);
  }
  return [...found].map(([key, [first, ...rest]]) => ({
    key,
    namespace: first?.namespace ?? '',
    name: first?.podName ?? '',
    fullName: `${first?.namespace}/${first?.podName}`,
    containers: [first, ...rest]
      .map((link) => link?.container)
      .filter(Boolean)
      .join(', '),
    evidence: first?.evidence,
  }));
}

/** `shop/web-5d8f7c · app` */
export const podLabel = ({ fullName, containers }: WaitingPod): string =>
  containers === '' ? fullName : `${fullName} · ${containers}`;

/** `possibly shop/a or shop/b`; names the first three and counts the rest. */
export function candidatesText(pods: readonly WaitingPod[]): string {
  const names = pods.slice(0, 3).map(({ fullName }) => fullName);
  const more = pods.length - names.length;
  if (more > 0) names.push(`${more.toLocaleString('en')} more`);
  const last = names.pop() ?? '';
  return `possibly ${names.length === 0 ? '' : `${names.join(', ')} or `}${last}`;
}
