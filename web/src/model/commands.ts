// What a person would type next about a pull or a pod. Names come from the wire: whatever they hold, a shell reads each
// of them as one word, and none of them as an option.

import type { PodLink, PullStatus } from '../api/gen/wire';
import { instant } from './format';
import { isLive } from './pull';
import { isPlain } from './text';

export interface Command {
  /** What it tells. */
  title: string;
  text: string;
}

export interface Commands {
  /** `With kubectl`, `On the node`. */
  where: string;
  commands: readonly Command[];
}

/** One word of a shell. Where it holds what a terminal would obey, it is written in escapes (bash, zsh). */
export function quoted(word: string): string {
  if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) && !word.startsWith('-')) return word;
  if (isPlain(word)) return `'${word.replaceAll("'", `'\\''`)}'`;
  const escaped = word.replace(/[^ -&(-[\]-~]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code < 0x1_0000
      ? `\\u${code.toString(16).padStart(4, '0')}`
      : `\\U${code.toString(16).padStart(8, '0')}`;
  });
  return `$'${escaped}'`;
}

/** A word that stands alone: one that looks like an option is not read as one. */
const operand = (word: string): string => (word.startsWith('-') ? `-- ${quoted(word)}` : quoted(word));

const option = (name: string, value: string): string => `--${name}=${quoted(value)}`;

/** `2026-11-24 20:00:00 UTC`, as journalctl reads it. */
function moment(text: string | undefined, beforeMs = 0): string | undefined {
  const at = instant(text);
  if (at === undefined) return undefined;
  return `${new Date(at - beforeMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** Host and port of the registry that an image's name says. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/');
  const isHost = rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost');
  return !isHost || first === 'docker.io' ? 'registry-1.docker.io' : first;
}

type PodKey = Pick<PodLink, 'namespace' | 'podName'>;

export function podCommands({ namespace, podName }: PodKey): Command[] {
  const inside = option('namespace', namespace);
  return [
    { title: 'The pod and its events', text: `kubectl describe ${quoted(`pod/${podName}`)} ${inside}` },
    {
      title: 'Its events alone, the last one last',
      text: `kubectl get events ${inside} ${option('field-selector', `involvedObject.name=${podName}`)} --sort-by=.lastTimestamp`,
    },
  ];
}

/** With kubectl, for a pull: its first pod, and its node. */
function cluster(pull: PullStatus): Command[] {
  const [pod] = pull.pods ?? [];
  const found = pod ? podCommands(pod) : [];
  if (pod && pull.failure?.reason === 'unauthorized') {
    found.push({
      title: 'Which secrets it pulls with',
      text: `kubectl get ${quoted(`pod/${pod.podName}`)} ${option('namespace', pod.namespace)} -o jsonpath='{.spec.imagePullSecrets}'`,
    });
  }
  const node = quoted(`node/${pull.nodeName}`);
  found.push({ title: 'The node: pressure, taints, images', text: `kubectl describe ${node}` });
  found.push({
    title: 'A shell on the node',
    text: `kubectl debug ${node} -it --image=docker.io/library/busybox:1.37 -- chroot /host`,
  });
  return found;
}

/** What to look at, by why it failed. */
function afterFailure(pull: PullStatus): Command[] {
  const registry = registryOf(pull.imageRef ?? pull.repository ?? '');
  const host = registry.replace(/:\d+$/, '');
  switch (pull.failure?.reason) {
    case 'no_space':
      return [{ title: 'What is left on its disk', text: 'df -h /var/lib/containerd /var/lib/kubelet' }];
    case 'dns':
      return [{ title: 'Whether the node finds the registry', text: `getent hosts ${operand(host)}` }];
    case 'connection_refused':
    case 'timeout':
    case 'tls':
    case 'proxy':
    case 'registry_error':
    case 'progress_timeout':
      return [
        {
          title: 'Whether the registry answers',
          text: `curl -sv -o /dev/null --max-time 10 ${quoted(`https://${registry}/v2/`)}`,
        },
      ];
    default:
      return [];
  }
}

function onNode(pull: PullStatus): Command[] {
  const image = pull.imageRef;
  const found: Command[] = [];
  const since = moment(pull.startedAt, 5_000);
  if (isLive(pull)) {
    found.push({
      title: 'What containerd downloads',
      text: 'ctr --namespace k8s.io content active',
    });
    if (image) found.push({ title: 'Whether the image is there', text: `crictl images ${operand(image)}` });
  } else if (pull.outcome === 'completed') {
    if (image)
      found.push({ title: 'The image as the node has it', text: `crictl inspecti ${operand(image)}` });
    found.push({ title: 'What images take on its disk', text: 'crictl imagefsinfo' });
  } else {
    if (image) found.push({ title: 'Try it again by hand', text: `crictl pull ${operand(image)}` });
    found.push(...afterFailure(pull));
  }
  const until = moment(pull.completedAt, -5_000);
  const span = `${since ? ` ${option('since', since)}` : ''}${until ? ` ${option('until', until)}` : ''}`;
  found.push({ title: 'What containerd logged', text: `journalctl -u containerd --no-pager${span}` });
  if (!isLive(pull) && pull.outcome !== 'completed') {
    found.push({ title: 'What the kubelet logged', text: `journalctl -u kubelet --no-pager${span}` });
  }
  return found;
}

/** The ones that fit what the pull does, or how it ended. */
export const pullCommands = (pull: PullStatus): Commands[] => [
  { where: 'With kubectl', commands: cluster(pull) },
  { where: 'On the node', commands: onNode(pull) },
];
