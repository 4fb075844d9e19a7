// Which pull it is, how it stands, and what to do with it; its layers in one strip.

import { memo } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { instant, percent } from '../../model/format';
import { imageName, shortDigest, shortName } from '../../model/image';
import { attempt, pullState } from '../../model/pull';
import { visible } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Actions } from '../../ui/Actions';
import { Copy } from '../../ui/Copy';
import { Crumbs } from '../../ui/Crumbs';
import { LayerStrip } from '../../ui/LayerStrip';
import { State } from '../../ui/State';
import styles from './Head.module.css';

interface Props {
  pull: PullStatus;
  toCommands: () => void;
}

export function Head({ pull, toCommands }: Props) {
  const state = pullState(pull);
  return (
    <div className={styles.whole}>
      <Way node={pull.nodeName} {...named(pull)} />
      <header className={styles.head}>
        <div className={styles.row}>
          <Name {...named(pull)} />
          <Actions toCommands={toCommands}>
            <span className={styles.badge}>
              <State state={state} word={pull.outcome ?? pull.phase} />
            </span>
          </Actions>
        </div>
        <About pull={pull} />
        <div className={styles.strip}>
          <LayerStrip
            pull={pull}
            label={`Pull of ${visible(shortName(pull))}`}
            text={percent(pull.percent)}
            tall
          />
        </div>
      </header>
    </div>
  );
}

type Named = Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'>;
const named = ({ imageRef, repository, rootDigest, manifestDigest }: PullStatus): Named => ({
  imageRef,
  repository,
  rootDigest,
  manifestDigest,
});

const Way = memo(({ node, ...image }: Named & { node: string }) => {
  const { name, known } = imageName(image);
  return (
    <Crumbs
      steps={[
        { text: 'Pulls', href: href('pulls') },
        { text: shortName(image), href: known ? href('pulls', [], { q: `image:${name}` }) : undefined },
        { text: node },
      ]}
    />
  );
});

const Name = memo((image: Named) => {
  const { registry, name, version, known } = imageName(image);
  return (
    <h1 className={styles.name} title={image.imageRef ?? image.repository ?? image.rootDigest}>
      <span data-field="image">
        <span>
          {registry !== '' && <span className={styles.registry}>{visible(registry)}/</span>}
          <b className={known ? '' : styles.nameless}>{visible(name)}</b>
          {version !== '' && <code className={styles.version}>{visible(version)}</code>}
        </span>
      </span>
    </h1>
  );
});

function About({ pull }: { pull: PullStatus }) {
  const { clock, zone } = useFormat();
  const digest = pull.manifestDigest ?? pull.rootDigest;
  const tried = attempt(pull);
  const started = instant(pull.startedAt);
  return (
    <ul className={styles.about}>
      <li className={styles.node}>
        on
        <a href={href('nodes', [pull.nodeName])} title={pull.nodeName}>
          {pull.nodeName}
        </a>
      </li>
      {pull.platform && <li>{pull.platform}</li>}
      {digest && (
        <li>
          <code title={digest}>{`${digest.split(':')[0]}:${shortDigest(digest)}…`}</code>
          <Copy text={digest} label="Copy the digest" />
        </li>
      )}
      {started !== undefined && (
        <li>
          {pull.phase === 'queued' ? 'announced' : 'started'}{' '}
          <time dateTime={pull.startedAt} title={pull.startedAt}>
            {clock(started)} {zone}
          </time>
        </li>
      )}
      {tried && <li data-field="attempt">{tried}</li>}
    </ul>
  );
}
