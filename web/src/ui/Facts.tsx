// The details of a pull beside its layers: all who wait for it and how that is known, what was said word for word,
// how long the kubelet says that it took.

import type { ReactNode } from 'react';
import type { PodLink, PullStatus } from '../api/gen/wire';
import { duration, instant } from '../model/format';
import { podNames, podText } from '../model/pods';
import { isLive, kubelet, took } from '../model/pull';
import styles from './Facts.module.css';
import { Icon } from './Icon';
import { More } from './More';
import { CANDIDATES } from './Pods';

const PODS_SHOWN = 20;

const said = (pull: PullStatus): string | undefined => pull.failure?.message;
/** Between its announcement and its start it waited in the kubelet's queue. */
const queued = (pull: PullStatus): number | undefined => {
  const [from, to] = [instant(pull.queuedAt), instant(pull.startedAt)];
  return from === undefined || to === undefined || to - from < 1_000 ? undefined : (to - from) / 1_000;
};

export const hasFacts = (pull: PullStatus): boolean =>
  (pull.pods?.length ?? 0) + (pull.candidates?.length ?? 0) > 0 ||
  said(pull) !== undefined ||
  queued(pull) !== undefined ||
  pull.kubelet !== undefined;

export function Facts({ pull }: { pull: PullStatus }) {
  if (!hasFacts(pull)) return null;
  const wait = queued(pull);
  const ours = took(pull);
  return (
    <dl className={styles.facts}>
      <Waiting name={isLive(pull) ? 'Waiting' : 'Waited'} links={pull.pods} />
      <Waiting name="Perhaps" links={pull.candidates} why={CANDIDATES} />
      {wait !== undefined && (
        <Fact name="Queue">{duration(wait)} in the kubelet's queue before it began</Fact>
      )}
      {pull.kubelet && (
        <Fact name="Kubelet">
          <span data-field="kubelet">{kubelet(pull.kubelet)}</span>
          {pull.kubelet.agrees === false && (
            <span className={styles.disagrees} data-field="disagrees">
              <Icon name="warning" size={13} />
              far from {ours === undefined ? 'what was' : `the ${duration(ours)} that were`} seen here
            </span>
          )}
        </Fact>
      )}
      {said(pull) !== undefined && (
        <Fact name="Error">
          <pre className={styles.said} data-field="said">
            {said(pull)}
          </pre>
        </Fact>
      )}
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Waiting({
  name,
  links,
  why,
}: {
  name: string;
  links: readonly PodLink[] | undefined;
  why?: string;
}) {
  const pods = podNames(links);
  if (pods.length === 0) return null;
  return (
    <Fact name={name}>
      {why && <small>{why}</small>}
      <ul>
        <More ids={pods.map(({ key }) => key)} limit={PODS_SHOWN} what="pods">
          {(key, index) => {
            const pod = pods[index];
            return (
              pod && (
                <li key={key} data-field="waiter">
                  {podText(pod)} {pod.evidence && <small>{pod.evidence}</small>}
                </li>
              )
            );
          }}
        </More>
      </ul>
    </Fact>
  );
}
