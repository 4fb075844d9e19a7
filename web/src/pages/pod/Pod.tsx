// One pod: all that it waits for, in the order in which its kubelet takes it, and when that is over.

import { useState } from 'react';
import type { Refusal } from '../../api/events';
import type { PodPulls } from '../../api/gen/wire';
import { usePolled, useServer } from '../../live/hooks';
import { podCommands } from '../../model/commands';
import { podOf, podState, podsAway } from '../../model/pod';
import { href, type PageProps } from '../../route';
import { CommandPanel, useJump } from '../../ui/Actions';
import { CommandList } from '../../ui/CommandList';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { Head } from './Head';
import { Images } from './Images';
import styles from './Pod.module.css';

const EVERY_MS = 1_000;

type Known = Pick<PodPulls, 'pod' | 'pulls'>;

export function Pod({ route }: PageProps) {
  const [namespace = '', name = ''] = route.path;
  const path = `api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/pulls`;
  const { value, refusal } = usePolled<unknown>(path, EVERY_MS);
  const [answer, setAnswer] = useState<unknown>();
  const [known, setKnown] = useState<Known>();
  const [before, setBefore] = useState<readonly Known[]>([]);
  if (value !== answer) {
    setAnswer(value);
    const next = podOf(value);
    if (next !== undefined) setKnown(next);
    // A pod that was made again under its name is another one.
    if (known && next && next.pod.uid !== known.pod.uid) setBefore([known, ...before].slice(0, 3));
  }
  const [commands, toCommands] = useJump();
  if (known === undefined) {
    if (refusal === undefined && value === undefined) return <h1 className="hidden">Loading the pod</h1>;
    return <Nothing namespace={namespace} name={name} refusal={refusal} />;
  }
  const { pod, pulls } = known;
  return (
    <article className={styles.pod} data-pod={`${pod.namespace}/${pod.podName}`} data-state={podState(pod)}>
      {refusal && <Past refusal={refusal} ready={pod.ready} />}
      {before.map((each) => (
        <Former key={each.pod.uid} known={each} />
      ))}
      <Head pod={pod} pulls={pulls} gone={refusal?.kind === 'not_found'} toCommands={toCommands} />
      <Images pod={pod} pulls={pulls} />
      <CommandPanel at={commands} commands={[{ where: 'With kubectl', commands: podCommands(pod) }]} />
    </article>
  );
}

/** What is shown is of the past. */
function Past({ refusal, ready }: { refusal: Refusal; ready: boolean }) {
  if (refusal.kind !== 'not_found') {
    return (
      <p className={styles.banner} data-message="not-answered">
        <Icon name="warning" size={16} />
        <span>The server does not tell how it stands now{why(refusal)}. This is the last that it said.</span>
      </p>
    );
  }
  return (
    <p className={styles.banner} data-message="gone">
      <Icon name="unknown" size={16} />
      <span>
        {ready
          ? 'It waits for no image any more. This is the last that was seen of it.'
          : 'No pod of this name waits for an image any more: it has them all, or it is gone. This is the last that was seen of it.'}
      </span>
    </p>
  );
}

const why = (refusal: Refusal): string =>
  'detail' in refusal && refusal.detail ? `: ${refusal.detail.replace(/\.$/, '')}` : '';

/** The pod that had the name before. */
function Former({ known: { pod, pulls } }: { known: Known }) {
  return (
    <div className={styles.banner} data-message="made-again">
      <Icon name="pod" size={16} />
      <div>
        <p>
          The pod was made again under its name. The one before, <code>{pod.uid}</code>, was on {pod.nodeName}
          .
        </p>
        {pulls.length > 0 && (
          <ul className={styles.former}>
            {pulls.map(({ id, imageRef, repository }) => (
              <li key={id}>
                <a href={href('pulls', [id])}>{imageRef ?? repository ?? id}</a>
              </li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}

interface NothingProps {
  namespace: string;
  name: string;
  refusal: Refusal | undefined;
}

function Nothing({ namespace, name, refusal }: NothingProps) {
  const away = podsAway(useServer()?.cluster);
  const detail = refusal && 'detail' in refusal ? refusal.detail : undefined;
  const of = `${namespace}/${name}`;
  const found =
    away !== undefined
      ? { title: 'Pods are not known here', message: 'no-pods', text: `No pod can be looked up, as ${away}.` }
      : refusal?.kind === 'not_found'
        ? {
            title: 'This pod waits for no image',
            message: 'no-pod',
            text: `No pod ${of} is known to wait for one: it has all of its images, or there is none of that name.`,
          }
        : refusal?.kind === 'forbidden'
          ? {
              title: 'This pod may not be seen',
              message: 'forbidden',
              text: detail ?? 'The server refuses it.',
            }
          : { title: 'The server does not tell of this pod', message: 'not-answered', text: detail ?? '' };
  return (
    <div className={styles.pod}>
      <Message name={found.message} title={found.title} level={1}>
        {found.text && <p className={styles.text}>{found.text}</p>}
        <p>
          <a href={href('pulls', [], { q: `ns:${namespace}` })}>Pulls of this namespace</a>
        </p>
      </Message>
      <Panel title="Ask the cluster">
        <CommandList
          commands={[{ where: 'With kubectl', commands: podCommands({ namespace, podName: name }) }]}
        />
      </Panel>
    </div>
  );
}
