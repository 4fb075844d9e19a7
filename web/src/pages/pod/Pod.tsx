// One pod: its images in the order in which the kubelet pulls them, and the time left.

import { useState } from 'react';
import type { RequestFailure } from '../../api/events';
import type { PodPulls } from '../../api/gen/wire';
import { usePolled, useServer } from '../../live/hooks';
import { podCommands } from '../../model/commands';
import { parsePod, podState, podsUnavailable } from '../../model/pod';
import { escapeHidden } from '../../model/text';
import { href, type PageProps } from '../../route';
import { CommandPanel, useScrollTarget } from '../../ui/Actions';
import { CommandList } from '../../ui/CommandList';
import { Icon } from '../../ui/Icon';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { Head } from './Head';
import { Images } from './Images';
import styles from './Pod.module.css';

const POLL_MS = 1_000;

type PodSnapshot = Pick<PodPulls, 'pod' | 'pulls'>;

export function Pod({ route }: PageProps) {
  const [namespace = '', name = ''] = route.path;
  const path = `api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/pulls`;
  const { value, failure } = usePolled<unknown>(path, POLL_MS);
  const [answer, setAnswer] = useState<unknown>();
  const [snapshot, setSnapshot] = useState<PodSnapshot>();
  const [formerPods, setFormerPods] = useState<readonly PodSnapshot[]>([]);
  if (value !== answer) {
    setAnswer(value);
    const next = parsePod(value);
    if (next !== undefined) setSnapshot(next);
    // Another uid: the pod was recreated under the same name.
    if (snapshot && next && next.pod.uid !== snapshot.pod.uid)
      setFormerPods([snapshot, ...formerPods].slice(0, 3));
  }
  const [commands, showCommands] = useScrollTarget();
  if (snapshot === undefined) {
    if (failure === undefined && value === undefined) return <h1 className="hidden">Loading pod</h1>;
    return <PodNotFound namespace={namespace} name={name} requestFailure={failure} />;
  }
  const { pod, pulls } = snapshot;
  return (
    <article className={styles.pod} data-pod={`${pod.namespace}/${pod.podName}`} data-state={podState(pod)}>
      {failure && <StaleBanner requestFailure={failure} ready={pod.ready} />}
      {formerPods.map((each) => (
        <FormerPod key={each.pod.uid} snapshot={each} />
      ))}
      <Head pod={pod} pulls={pulls} isGone={failure?.kind === 'not_found'} showCommands={showCommands} />
      <Images pod={pod} pulls={pulls} />
      <CommandPanel target={commands} commands={[{ place: 'With kubectl', commands: podCommands(pod) }]} />
    </article>
  );
}

/** Shown with data that is no longer current. */
function StaleBanner({ requestFailure, ready }: { requestFailure: RequestFailure; ready: boolean }) {
  if (requestFailure.kind !== 'not_found') {
    return (
      <p className={styles.banner} data-message="not-answered">
        <Icon name="warning" size={16} />
        <span>No current status{failureDetail(requestFailure)}. Showing the last known state.</span>
      </p>
    );
  }
  return (
    <p className={styles.banner} data-message="gone">
      <Icon name="unknown" size={16} />
      <span>
        {ready
          ? 'No longer waiting for images. Showing the last known state.'
          : 'No pod of this name is waiting: it has all its images, or was deleted. Showing the last known state.'}
      </span>
    </p>
  );
}

const failureDetail = (requestFailure: RequestFailure): string =>
  'detail' in requestFailure && requestFailure.detail ? `: ${requestFailure.detail.replace(/\.$/, '')}` : '';

/** The previous pod of the same name. */
function FormerPod({ snapshot: { pod, pulls } }: { snapshot: PodSnapshot }) {
  return (
    <div className={styles.banner} data-message="made-again">
      <Icon name="pod" size={16} />
      <div>
        <p>
          The pod was recreated. The previous one, <code>{pod.uid}</code>, was on {pod.nodeName}.
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

interface PodNotFoundProps {
  namespace: string;
  name: string;
  requestFailure: RequestFailure | undefined;
}

function PodNotFound({ namespace, name, requestFailure }: PodNotFoundProps) {
  const unavailable = podsUnavailable(useServer()?.cluster);
  const detail = requestFailure && 'detail' in requestFailure ? requestFailure.detail : undefined;
  const fullName = `${namespace}/${name}`;
  const notice =
    unavailable !== undefined
      ? { title: 'Pods unavailable', message: 'no-pods', text: `Pods cannot be looked up: ${unavailable}.` }
      : requestFailure?.kind === 'not_found'
        ? {
            title: 'Pod not waiting for an image',
            message: 'no-pod',
            text: `Pod ${fullName} is not waiting for an image: it has all its images, or it does not exist.`,
          }
        : requestFailure?.kind === 'forbidden'
          ? {
              title: 'Access denied',
              message: 'forbidden',
              text: detail ?? 'The server rejected the request.',
            }
          : { title: 'Pod status unavailable', message: 'not-answered', text: detail ?? '' };
  return (
    <div className={styles.pod}>
      <Message name={notice.message} title={notice.title} level={1}>
        {notice.text && <p className={styles.text}>{escapeHidden(notice.text)}</p>}
        <p>
          <a href={href('pulls', [], { q: `ns:${namespace}` })}>Pulls in this namespace</a>
        </p>
      </Message>
      <Panel title="Commands">
        <CommandList
          commands={[{ place: 'With kubectl', commands: podCommands({ namespace, podName: name }) }]}
        />
      </Panel>
    </div>
  );
}
