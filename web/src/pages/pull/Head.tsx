// The pull, its state and actions, and its layers in one strip.

import { memo } from 'react';
import type { PullStatus } from '../../api/gen/wire';
import { parseInstant, percent } from '../../model/format';
import { imageName, shortDigest, shortName } from '../../model/image';
import { attemptText, pullState } from '../../model/pull';
import { escapeHidden } from '../../model/text';
import { href } from '../../route';
import { useFormat } from '../../settings';
import { Actions } from '../../ui/Actions';
import { Breadcrumbs } from '../../ui/Breadcrumbs';
import { Copy } from '../../ui/Copy';
import { LayerStrip } from '../../ui/LayerStrip';
import { StateLabel } from '../../ui/StateLabel';
import styles from './Head.module.css';

interface Props {
  pull: PullStatus;
  showCommands: () => void;
}

export function Head({ pull, showCommands }: Props) {
  const state = pullState(pull);
  return (
    <div className={styles.whole}>
      <PullBreadcrumbs node={pull.nodeName} {...nameFields(pull)} />
      <header className={styles.head}>
        <div className={styles.row}>
          <Heading {...nameFields(pull)} />
          <Actions showCommands={showCommands}>
            <span className={styles.badge}>
              <StateLabel state={state} word={pull.outcome ?? pull.phase} />
            </span>
          </Actions>
        </div>
        <About pull={pull} />
        <div className={styles.strip}>
          <LayerStrip
            pull={pull}
            label={`Pull of ${escapeHidden(shortName(pull))}`}
            text={percent(pull.percent)}
            tall
          />
        </div>
      </header>
    </div>
  );
}

type NameFields = Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'>;
const nameFields = ({ imageRef, repository, rootDigest, manifestDigest }: PullStatus): NameFields => ({
  imageRef,
  repository,
  rootDigest,
  manifestDigest,
});

const PullBreadcrumbs = memo(({ node, ...image }: NameFields & { node: string }) => {
  const { name, known } = imageName(image);
  return (
    <Breadcrumbs
      items={[
        { text: 'Pulls', href: href('pulls') },
        { text: shortName(image), href: known ? href('pulls', [], { q: `image:${name}` }) : undefined },
        { text: node },
      ]}
    />
  );
});

const Heading = memo((image: NameFields) => {
  const { registry, name, version, known } = imageName(image);
  return (
    <h1 className={styles.name} title={image.imageRef ?? image.repository ?? image.rootDigest}>
      <span data-field="image">
        <span>
          {registry !== '' && <span className={styles.registry}>{escapeHidden(registry)}/</span>}
          <b className={known ? '' : styles.nameless}>{escapeHidden(name)}</b>
          {version !== '' && <code className={styles.version}>{escapeHidden(version)}</code>}
        </span>
      </span>
    </h1>
  );
});

function About({ pull }: { pull: PullStatus }) {
  const { clock, zone } = useFormat();
  const digest = pull.manifestDigest ?? pull.rootDigest;
  const attempt = attemptText(pull);
  const started = parseInstant(pull.startedAt);
  return (
    <ul className={styles.about}>
      <li className={styles.node}>
        on{' '}
        <a href={href('nodes', [pull.nodeName])} title={pull.nodeName}>
          {pull.nodeName}
        </a>
      </li>
      {pull.platform && <li>{pull.platform}</li>}
      {digest && (
        <li>
          <code title={digest}>{`${digest.split(':')[0]}:${shortDigest(digest)}…`}</code>
          <Copy text={digest} label="Copy digest" />
        </li>
      )}
      {started !== undefined && (
        <li>
          {pull.phase === 'queued' ? 'queued' : 'started'}{' '}
          <time dateTime={pull.startedAt} title={pull.startedAt}>
            {clock(started)} {zone}
          </time>
        </li>
      )}
      {attempt && <li data-field="attempt">{attempt}</li>}
    </ul>
  );
}
