// One failure: its reason, image, nodes and pods, the original message, and advice.

import { useState } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useNow } from '../../live/hooks';
import { type FailureGroup, nextRetry } from '../../model/failures';
import { count, parseInstant } from '../../model/format';
import { failureText, failureTitle } from '../../model/pull';
import { capitalize, escapeHidden } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Ago, RetryCountdown } from '../../ui/Ago';
import { Copy } from '../../ui/Copy';
import { Icon, type IconName, reasonIcon } from '../../ui/Icon';
import { ImageTitle } from '../../ui/Image';
import styles from './Entry.module.css';

export function Entry({ group }: { group: FailureGroup }) {
  const { last, image, reason: reasonCode } = group;
  const title = capitalize(escapeHidden(failureTitle(last) ?? failureText(last) ?? 'failed'));
  return (
    <li className={styles.entry} data-failure={reasonCode}>
      <span className={styles.icon}>
        <Icon name={reasonIcon(reasonCode)} size={17} />
      </span>
      <div className={styles.head}>
        <h3>{title}</h3>
        <span className={styles.next} data-field="retry">
          <NextRetry group={group} />
        </span>
      </div>
      <div className={styles.what}>
        <ImageTitle image={image} fullName={last.imageRef ?? last.repository} line />
        <Facts group={group} />
      </div>
      <div className={styles.body}>
        <div className={styles.left}>
          <Messages group={group} />
          <Links name="Pods" icon="pod" links={group.pods.map(podLink)} emptyText="No waiting pods" />
          <Links name="Nodes" icon="node" links={nodeLinks(group.pulls)} />
        </div>
        <Advice reasonCode={reasonCode} hint={last.failure?.hint} />
      </div>
    </li>
  );
}

function NextRetry({ group }: { group: FailureGroup }) {
  const now = useNow();
  if (group.retrying.length > 0) {
    return (
      <a href={href('pulls', [group.retrying[0]?.id ?? ''])} className={styles.again}>
        retrying
      </a>
    );
  }
  const at = nextRetry(group, now);
  return at === undefined ? 'no retry known' : <RetryCountdown at={at} />;
}

function Facts({ group: { attempts, nodes, pods, firstAt, lastAt, last } }: { group: FailureGroup }) {
  const { clock, zone } = useFormat();
  return (
    <p className={styles.facts}>
      <span>{count(attempts, 'attempt', 'attempts')}</span>
      <span>{count(nodes, 'node')}</span>
      {pods.length > 0 && <span>{count(pods.length, 'pod')}</span>}
      {firstAt !== undefined && firstAt !== lastAt && (
        <span>
          first at {clock(firstAt)} {zone}
        </span>
      )}
      {lastAt !== undefined && (
        <span>
          last <Ago at={last.completedAt ?? last.startedAt} />
        </span>
      )}
    </p>
  );
}

/** Limit of distinct messages per failure. */
const MAX_MESSAGES = 5;

/** The messages of runtime or kubelet. Nodes may report different messages for the same failure. */
function Messages({ group: { pulls } }: { group: FailureGroup }) {
  const texts = new Map<string, PullStatus>();
  for (const pull of pulls) {
    const text = pull.failure?.message ?? pull.error;
    if (text && !texts.has(text)) texts.set(text, pull);
    if (texts.size > MAX_MESSAGES) break;
  }
  const [first, ...others] = [...texts].slice(0, MAX_MESSAGES);
  if (first === undefined) {
    return <p className={styles.silent}>No message from runtime or kubelet.</p>;
  }
  const text = ([message, pull]: [string, PullStatus]) => (
    <FailureMessage key={message} message={message} pull={pull} />
  );
  return (
    <div className={styles.texts}>
      {text(first)}
      {others.length > 0 && (
        <details>
          <summary>{count(others.length, 'other message')}</summary>
          {others.map(text)}
        </details>
      )}
    </div>
  );
}

/** Longer messages are collapsed: some registries return whole HTML pages. */
const MAX_LINES = 10;
const MAX_CHARS = 1_200;

function FailureMessage({ message, pull }: { message: string; pull: PullStatus }) {
  const { clock } = useFormat();
  const [isExpanded, setExpanded] = useState(false);
  const lines = escapeHidden(message).split('\n');
  const isLong = lines.length > MAX_LINES + 2 || message.length > MAX_CHARS;
  const excerpt = lines.slice(0, MAX_LINES).join('\n').slice(0, MAX_CHARS);
  return (
    <figure className={styles.said}>
      <figcaption>
        <span>
          From {pull.nodeName}, {clock(parseInstant(pull.completedAt))}
        </span>
        <Copy text={message} label="Copy message" />
      </figcaption>
      <pre data-field="said">{isLong && !isExpanded ? `${excerpt} …` : lines.join('\n')}</pre>
      {isLong && (
        <button type="button" onClick={() => setExpanded(!isExpanded)}>
          {isExpanded ? 'Show less' : `Show all ${count(lines.length, 'line')}`}
        </button>
      )}
    </figure>
  );
}

function Advice({ reasonCode, hint }: { reasonCode: string; hint: string | undefined }) {
  return (
    <aside className={styles.help}>
      <Icon name="hint" size={15} />
      <div>
        <p data-field="hint">{hint ? capitalize(escapeHidden(hint)) : 'No advice for this reason.'}</p>
        <p className={styles.docs}>
          <code>{reasonCode}</code>: see <code>docs/failures.md</code>
        </p>
      </div>
    </aside>
  );
}

interface Link {
  key: string;
  to: string;
  text: string;
}

function podLink(pod: string): Link {
  const slash = pod.indexOf('/');
  return { key: pod, to: href('pods', [pod.slice(0, slash), pod.slice(slash + 1)]), text: pod };
}

/** Links to the last failed pull on each node. */
function nodeLinks(pulls: readonly PullStatus[]): Link[] {
  const found = new Map<string, Link>();
  for (const { nodeName, id } of pulls) {
    if (!found.has(nodeName)) found.set(nodeName, { key: nodeName, to: href('pulls', [id]), text: nodeName });
  }
  return [...found.values()];
}

const MAX_LINKS = 8;

function Links({
  name,
  icon,
  links,
  emptyText,
}: {
  name: string;
  icon: IconName;
  links: readonly Link[];
  emptyText?: string;
}) {
  const [isExpanded, setExpanded] = useState(false);
  const hiddenCount = isExpanded ? 0 : links.length - MAX_LINKS;
  return (
    <div className={styles.links}>
      <span className={styles.name}>
        <Icon name={icon} size={13} />
        {name}
      </span>
      {links.length === 0 ? (
        <span className={styles.none}>{emptyText}</span>
      ) : (
        <ul>
          {(isExpanded ? links : links.slice(0, MAX_LINKS)).map(({ key, to, text }) => (
            <li key={key}>
              <a href={to} title={text}>
                {text}
              </a>
            </li>
          ))}
          {hiddenCount > 0 && (
            <li>
              <button type="button" onClick={() => setExpanded(true)}>
                {hiddenCount.toLocaleString('en')} more
              </button>
            </li>
          )}
        </ul>
      )}
    </div>
  );
}
