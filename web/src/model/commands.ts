// Shell commands for further investigation of a pull or a pod. Names come from the wire: each is
// quoted so that a shell reads it as one word and never as an option.

import type { PodLink, PullStatus } from '../api/gen/wire';
import { parseInstant } from './format';
import { isLive } from './pull';
import { isPlain } from './text';

export interface Command {
  /** Label of the command's result. */
  title: string;
  text: string;
}

export interface CommandGroup {
  place: string;
  commands: readonly Command[];
}

/** Quotes a word for the shell. Control characters are written as escapes (bash, zsh). */
export function shellQuote(word: string): string {
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

/** Quotes a positional argument so that it is not parsed as an option. */
const operand = (word: string): string =>
  word.startsWith('-') ? `-- ${shellQuote(word)}` : shellQuote(word);

const option = (name: string, value: string): string => `--${name}=${shellQuote(value)}`;

/** Formats an instant for journalctl: `2026-11-24 20:00:00 UTC`. */
function journalTime(text: string | undefined, beforeMs = 0): string | undefined {
  const at = parseInstant(text);
  if (at === undefined) return undefined;
  return `${new Date(at - beforeMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** Host and port of an image's registry. */
export function registryHost(image: string): string {
  const [first = '', ...rest] = image.split('/');
  const isHost = rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost');
  return !isHost || first === 'docker.io' ? 'registry-1.docker.io' : first;
}

type PodKey = Pick<PodLink, 'namespace' | 'podName'>;

export function podCommands({ namespace, podName }: PodKey): Command[] {
  const namespaceOption = option('namespace', namespace);
  return [
    {
      title: 'Pod and its events',
      text: `kubectl describe ${shellQuote(`pod/${podName}`)} ${namespaceOption}`,
    },
    {
      title: 'Pod events, latest last',
      text: `kubectl get events ${namespaceOption} ${option('field-selector', `involvedObject.name=${podName}`)} --sort-by=.lastTimestamp`,
    },
  ];
}

/** kubectl commands for the first pod of a pull and for its node. */
function kubectlCommands(pull: PullStatus): Command[] {
  const [pod] = pull.pods ?? [];
  const commands = pod ? podCommands(pod) : [];
  if (pod && pull.failure?.reason === 'unauthorized') {
    commands.push({
      title: 'Image pull secrets',
      text: `kubectl get ${shellQuote(`pod/${pod.podName}`)} ${option('namespace', pod.namespace)} -o jsonpath='{.spec.imagePullSecrets}'`,
    });
  }
  const node = shellQuote(`node/${pull.nodeName}`);
  commands.push({ title: 'Node: pressure, taints, images', text: `kubectl describe ${node}` });
  commands.push({
    title: 'Shell on the node',
    text: `kubectl debug ${node} -it --image=docker.io/library/busybox:1.37 -- chroot /host`,
  });
  return commands;
}

/** Commands that depend on the failure reason. */
function failureCommands(pull: PullStatus): Command[] {
  const registry = registryHost(pull.imageRef ?? pull.repository ?? '');
  const host = registry.replace(/:\d+$/, '');
  switch (pull.failure?.reason) {
    case 'no_space':
      return [{ title: 'Free disk space', text: 'df -h /var/lib/containerd /var/lib/kubelet' }];
    case 'dns':
      return [{ title: 'DNS lookup of the registry', text: `getent hosts ${operand(host)}` }];
    case 'connection_refused':
    case 'timeout':
    case 'tls':
    case 'proxy':
    case 'registry_error':
    case 'progress_timeout':
      return [
        {
          title: 'Connection to the registry',
          text: `curl -sv -o /dev/null --max-time 10 ${shellQuote(`https://${registry}/v2/`)}`,
        },
      ];
    default:
      return [];
  }
}

function nodeCommands(pull: PullStatus): Command[] {
  const image = pull.imageRef;
  const commands: Command[] = [];
  const since = journalTime(pull.startedAt, 5_000);
  if (isLive(pull)) {
    commands.push({
      title: 'Active downloads',
      text: 'ctr --namespace k8s.io content active',
    });
    if (image) commands.push({ title: 'Image on the node', text: `crictl images ${operand(image)}` });
  } else if (pull.outcome === 'completed') {
    if (image) commands.push({ title: 'Image details', text: `crictl inspecti ${operand(image)}` });
    commands.push({ title: 'Disk usage of images', text: 'crictl imagefsinfo' });
  } else {
    if (image) commands.push({ title: 'Manual pull', text: `crictl pull ${operand(image)}` });
    commands.push(...failureCommands(pull));
  }
  const until = journalTime(pull.completedAt, -5_000);
  const span = `${since ? ` ${option('since', since)}` : ''}${until ? ` ${option('until', until)}` : ''}`;
  commands.push({ title: 'containerd log', text: `journalctl -u containerd --no-pager${span}` });
  if (!isLive(pull) && pull.outcome !== 'completed') {
    commands.push({ title: 'kubelet log', text: `journalctl -u kubelet --no-pager${span}` });
  }
  return commands;
}

/** Commands that match the state of the pull. */
export const pullCommands = (pull: PullStatus): CommandGroup[] => [
  { place: 'With kubectl', commands: kubectlCommands(pull) },
  { place: 'On the node', commands: nodeCommands(pull) },
];
