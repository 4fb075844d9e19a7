// Each image that is pulled or was: where it is, how long it takes, how much of it was there before.

import { useMemo } from 'react';
import { useAll, useServer, useSync } from '../../live/hooks';
import { type Order, parseOrder } from '../../model/columns';
import { count, duration, lasting, NONE, percent } from '../../model/format';
import { shortDigest } from '../../model/image';
import { type ImageEntry, imageMatches, images } from '../../model/images';
import { look, type PageProps } from '../../route';
import { Bytes, Figure } from '../../ui/Figure';
import { Filter, wordsOf } from '../../ui/Filter';
import { Icon } from '../../ui/Icon';
import { ImageTitle } from '../../ui/Image';
import { Message } from '../../ui/Message';
import { Panel } from '../../ui/Panel';
import { type Column, Table, TableSkeleton } from '../../ui/Table';
import styles from './Images.module.css';
import { OnNodes } from './OnNodes';

const COLUMNS: readonly Column<ImageEntry>[] = [
  {
    key: 'image',
    name: 'Image',
    by: ({ image }) => (image.known ? `${image.name} ${image.version}`.toLowerCase() : undefined),
    cell: (entry, open) => <Name entry={entry} open={open} />,
  },
  {
    key: 'digest',
    name: 'Digest',
    by: ({ digest }) => digest,
    needs: 'wide',
    width: 150,
    cell: ({ digest, digests }) => <Digest digest={digest} count={digests} />,
  },
  {
    key: 'nodes',
    name: 'Nodes',
    title: 'To how many nodes it was brought, of those that pull it or did',
    by: (entry) => entry.have + entry.pulling + entry.failed,
    down: true,
    width: 122,
    cell: (entry) => <Nodes entry={entry} />,
  },
  {
    key: 'failed',
    name: 'Failed',
    title: 'On how many nodes the last pull of it failed',
    by: ({ failed }) => failed,
    down: true,
    figure: true,
    needs: 'middle',
    width: 84,
    cell: ({ failed }) => <Failed count={failed} />,
  },
  {
    key: 'size',
    name: 'Size',
    title: 'What it weighs, compressed',
    by: ({ bytes }) => bytes,
    down: true,
    figure: true,
    width: 104,
    cell: ({ bytes }) => <Bytes value={bytes} />,
  },
  {
    key: 'p50',
    name: 'Time p50',
    title: 'How long half of its pulls took at most',
    by: ({ p50 }) => p50,
    down: true,
    figure: true,
    needs: 'wide',
    width: 100,
    cell: ({ p50, timed }) => <Time seconds={p50} pulls={timed} />,
  },
  {
    key: 'p95',
    name: 'Time p95',
    title: 'How long 95 % of its pulls took at most',
    by: ({ p95 }) => p95,
    down: true,
    figure: true,
    needs: 'middle',
    width: 100,
    cell: ({ p95, timed }) => <Time seconds={p95} pulls={timed} />,
  },
  {
    key: 'cached',
    name: 'Cached',
    title: 'How much of it was on the nodes before',
    by: ({ cached }) => cached,
    down: true,
    figure: true,
    needs: 'wide',
    width: 136,
    cell: ({ cached }) => <Cached share={cached} />,
  },
  {
    key: 'pods',
    name: 'Pods',
    title: 'How many pods wait for it, or waited',
    by: ({ pods }) => pods,
    down: true,
    figure: true,
    needs: 'middle',
    width: 76,
    cell: ({ pods }) => <Figure value={pods.toLocaleString('en')} />,
  },
];

const USUAL: Order = { key: 'nodes', down: true };
const keyOf = (entry: ImageEntry): string => entry.key;
const detail = (entry: ImageEntry) => <OnNodes entry={entry} />;
const rowOf = (entry: ImageEntry) => ({ 'data-image': entry.key });

export function Images({ route }: PageProps) {
  const all = useAll();
  const sync = useSync();
  const every = useMemo(() => images(all.rows.values()), [all]);
  const sort = route.query.get('sort');
  const order = useMemo(() => parseOrder(sort, COLUMNS, USUAL), [sort]);
  const q = route.query.get('q') ?? '';
  const shown = useMemo(() => {
    const words = wordsOf(q);
    return words.length === 0 ? every : every.filter((entry) => imageMatches(entry, words));
  }, [every, q]);
  return (
    <>
      <h1 className="hidden">Images</h1>
      <Panel
        className={styles.panel}
        title="Images"
        more={
          shown.length === every.length ? every.length || undefined : `${shown.length} of ${every.length}`
        }
        beside={<Filter label="Image, registry or digest" value={q} />}
      >
        {every.length === 0 ? (
          sync === 'filling' ? (
            <TableSkeleton />
          ) : (
            <None />
          )
        ) : shown.length === 0 ? (
          <Message name="no-match" title="No image has these words">
            <button type="button" onClick={() => look({ q: undefined })}>
              Show all {every.length.toLocaleString('en')}
            </button>
          </Message>
        ) : (
          <Table
            label="Images"
            columns={COLUMNS}
            items={shown}
            keyOf={keyOf}
            order={order}
            open={route.query.get('open') ?? undefined}
            detail={detail}
            what={['image', 'images']}
            rowOf={rowOf}
          />
        )}
      </Panel>
    </>
  );
}

function None() {
  const keeps = useServer()?.keepsEndedSeconds;
  return (
    <Message
      name="idle"
      title={`No image has been pulled${keeps === undefined ? '' : ` in the last ${lasting(keeps)}`}`}
    >
      <p>An image shows up here with its first pull.</p>
    </Message>
  );
}

function Name({ entry, open }: { entry: ImageEntry; open: boolean }) {
  return (
    <button
      type="button"
      className={styles.name}
      aria-expanded={open}
      onClick={() => look({ open: open ? undefined : entry.key })}
    >
      <span className={styles.chevron}>
        <Icon name="chevron" size={14} />
      </span>
      <ImageTitle image={entry.image} whole={entry.key} />
    </button>
  );
}

function Digest({ digest, count: seen }: { digest: string | undefined; count: number }) {
  if (digest === undefined) return NONE;
  return (
    <span className={styles.digest} title={seen > 1 ? `${count(seen, 'digest')} under this name` : digest}>
      <code>{shortDigest(digest)}</code>
      {seen > 1 && (
        <span className={styles.moved}>
          <Icon name="warning" size={13} />+{seen - 1}
        </span>
      )}
    </span>
  );
}

function Nodes({ entry: { have, pulling, failed } }: { entry: ImageEntry }) {
  const words = [
    `${count(have, 'node has', 'nodes have')} it`,
    pulling > 0 && `${pulling.toLocaleString('en')} pull it`,
    failed > 0 && `it failed on ${failed.toLocaleString('en')}`,
  ];
  return (
    <span className={styles.nodes} title={words.filter(Boolean).join(', ')}>
      <span>
        {have.toLocaleString('en')}
        <small> / {(have + pulling + failed).toLocaleString('en')}</small>
      </span>
      <span className={styles.stack} aria-hidden="true">
        {have > 0 && <i className={styles.have} style={{ flexGrow: have }} />}
        {pulling > 0 && <i className={styles.pulling} style={{ flexGrow: pulling }} />}
        {failed > 0 && <i className={styles.bad} style={{ flexGrow: failed }} />}
      </span>
    </span>
  );
}

function Failed({ count: failed }: { count: number }) {
  if (failed === 0) return <span className={styles.none}>0</span>;
  return (
    <span className={styles.failed}>
      <Icon name="failed" size={13} />
      {failed.toLocaleString('en')}
    </span>
  );
}

function Time({ seconds: value, pulls }: { seconds: number | undefined; pulls: number }) {
  return (
    <span title={pulls === 0 ? 'No whole pull of it was seen' : `of ${count(pulls, 'pull')}`}>
      <Figure value={duration(value)} />
    </span>
  );
}

function Cached({ share }: { share: number | undefined }) {
  return (
    <span className={styles.cached}>
      {share !== undefined && (
        <span className={styles.meter} aria-hidden="true">
          <i style={{ width: `${share * 100}%` }} />
        </span>
      )}
      <Figure value={percent(share === undefined ? undefined : share * 100)} />
    </span>
  );
}
