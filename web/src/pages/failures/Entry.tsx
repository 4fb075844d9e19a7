// One failure: what fails where for whom, what was said word for word, and what to do.

import { useState } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { useNow } from '../../live/hooks';
import { type FailureGroup, nextRetry } from '../../model/failures';
import { count, instant } from '../../model/format';
import { reason, why } from '../../model/pull';
import { upper, visible } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Ago, Retry } from '../../ui/Ago';
import { Copy } from '../../ui/Copy';
import { Icon, type IconName, reasonIcon } from '../../ui/Icon';
import { ImageTitle } from '../../ui/Image';
import styles from './Entry.module.css';

export function Entry({ group }: { group: FailureGroup }) {
  const { last, image, reason: word } = group;
  const title = upper(visible(why(last) ?? reason(last) ?? 'it failed'));
  return (
    <li className={styles.entry} data-failure={word}>
      <span className={styles.icon}>
        <Icon name={reasonIcon(word)} size={17} />
      </span>
      <div className={styles.head}>
        <h3>{title}</h3>
        <span className={styles.next} data-field="retry">
          <Next group={group} />
        </span>
      </div>
      <div className={styles.what}>
        <ImageTitle image={image} whole={last.imageRef ?? last.repository} line />
        <Facts group={group} />
      </div>
      <div className={styles.body}>
        <div className={styles.left}>
          <Said group={group} />
          <Links
            name="Pods"
            icon="pod"
            links={group.pods.map(podLink)}
            none="No pod is known to wait for it"
          />
          <Links name="Nodes" icon="node" links={nodeLinks(group.pulls)} />
        </div>
        <Help word={word} hint={last.failure?.hint} />
      </div>
    </li>
  );
}

function Next({ group }: { group: FailureGroup }) {
  const now = useNow();
  if (group.retrying.length > 0) {
    return (
      <a href={href('pulls', [group.retrying[0]?.id ?? ''])} className={styles.again}>
        Tried again now
      </a>
    );
  }
  const at = nextRetry(group, now);
  return at === undefined ? 'No further try is known' : <Retry at={at} />;
}

function Facts({ group: { tries, nodes, pods, firstAt, lastAt, last } }: { group: FailureGroup }) {
  const { clock, zone } = useFormat();
  return (
    <p className={styles.facts}>
      <span>{count(tries, 'try', 'tries')}</span>
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

/** So many texts of one failure are shown: they tell where the same thing was said otherwise. */
const TEXTS = 5;

/** What the runtime or the kubelet said, word for word; where that differs from node to node, each of them. */
function Said({ group: { pulls } }: { group: FailureGroup }) {
  const texts = new Map<string, PullStatus>();
  for (const pull of pulls) {
    const text = pull.failure?.message ?? pull.error;
    if (text && !texts.has(text)) texts.set(text, pull);
    if (texts.size > TEXTS) break;
  }
  const [first, ...others] = [...texts].slice(0, TEXTS);
  if (first === undefined) {
    return <p className={styles.silent}>Nothing was said about it, by the runtime or the kubelet.</p>;
  }
  const text = ([said, pull]: [string, PullStatus]) => <Text key={said} said={said} pull={pull} />;
  return (
    <div className={styles.texts}>
      {text(first)}
      {others.length > 0 && (
        <details>
          <summary>{count(others.length, 'other text')}</summary>
          {others.map(text)}
        </details>
      )}
    </div>
  );
}

/** A text that is longer is not shown whole at once: registries answer with pages. */
const LINES = 10;
const LETTERS = 1_200;

function Text({ said, pull }: { said: string; pull: PullStatus }) {
  const { clock } = useFormat();
  const [whole, setWhole] = useState(false);
  const lines = visible(said).split('\n');
  const long = lines.length > LINES + 2 || said.length > LETTERS;
  const some = lines.slice(0, LINES).join('\n').slice(0, LETTERS);
  return (
    <figure className={styles.said}>
      <figcaption>
        <span>
          Said on {pull.nodeName}, {clock(instant(pull.completedAt))}
        </span>
        <Copy text={said} label="Copy what was said" />
      </figcaption>
      <pre data-field="said">{long && !whole ? `${some} …` : lines.join('\n')}</pre>
      {long && (
        <button type="button" onClick={() => setWhole(!whole)}>
          {whole ? 'Show less' : `Show all ${count(lines.length, 'line')}`}
        </button>
      )}
    </figure>
  );
}

function Help({ word, hint }: { word: string; hint: string | undefined }) {
  return (
    <aside className={styles.help}>
      <Icon name="hint" size={15} />
      <div>
        <p data-field="hint">{hint ? upper(visible(hint)) : 'There is no advice for this reason.'}</p>
        <p className={styles.docs}>
          <code>{word}</code> is explained in <code>docs/failures.md</code>
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

/** A node leads to its last pull that failed. */
function nodeLinks(pulls: readonly PullStatus[]): Link[] {
  const found = new Map<string, Link>();
  for (const { nodeName, id } of pulls) {
    if (!found.has(nodeName)) found.set(nodeName, { key: nodeName, to: href('pulls', [id]), text: nodeName });
  }
  return [...found.values()];
}

const LINKS = 8;

function Links({
  name,
  icon,
  links,
  none,
}: {
  name: string;
  icon: IconName;
  links: readonly Link[];
  none?: string;
}) {
  const [all, setAll] = useState(false);
  const more = all ? 0 : links.length - LINKS;
  return (
    <div className={styles.links}>
      <span className={styles.name}>
        <Icon name={icon} size={13} />
        {name}
      </span>
      {links.length === 0 ? (
        <span className={styles.none}>{none}</span>
      ) : (
        <ul>
          {(all ? links : links.slice(0, LINKS)).map(({ key, to, text }) => (
            <li key={key}>
              <a href={to} title={text}>
                {text}
              </a>
            </li>
          ))}
          {more > 0 && (
            <li>
              <button type="button" onClick={() => setAll(true)}>
                {more.toLocaleString('en')} more
              </button>
            </li>
          )}
        </ul>
      )}
    </div>
  );
}
