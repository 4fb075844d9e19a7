// All images: on how many nodes they are, pull times, and the cached share.

import { useMemo } from 'react';
import { useDataset, useServer, useSyncState } from '../../live/hooks';
import { count, duration, formatPeriod, percent, UNKNOWN } from '../../model/format';
import { shortDigest } from '../../model/image';
import { type ImageEntry, imageEntries, imageMatches } from '../../model/images';
import { parseSort, type Sort } from '../../model/sort';
import { type PageProps, updateQuery } from '../../route';
import { Bytes, Figure } from '../../ui/Figure';
import { Filter, splitWords } from '../../ui/Filter';
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
    sortValue: ({ image }) => (image.known ? `${image.name} ${image.version}`.toLowerCase() : undefined),
    cell: (entry, open) => <NameCell entry={entry} open={open} />,
  },
  {
    key: 'digest',
    name: 'Digest',
    sortValue: ({ digest }) => digest,
    needs: 'wide',
    width: 150,
    cell: ({ digest, digests }) => <DigestCell digest={digest} count={digests} />,
  },
  {
    key: 'nodes',
    name: 'Nodes',
    title: 'Nodes that have the image, out of those that pulled it',
    sortValue: (entry) => entry.present + entry.pulling + entry.failed,
    descending: true,
    width: 122,
    cell: (entry) => <NodesCell entry={entry} />,
  },
  {
    key: 'failed',
    name: 'Failed',
    title: 'Nodes on which the last pull failed',
    sortValue: ({ failed }) => failed,
    descending: true,
    isNumeric: true,
    needs: 'middle',
    width: 84,
    cell: ({ failed }) => <FailedCell count={failed} />,
  },
  {
    key: 'size',
    name: 'Size',
    title: 'Compressed size',
    sortValue: ({ bytes }) => bytes,
    descending: true,
    isNumeric: true,
    width: 104,
    cell: ({ bytes }) => <Bytes value={bytes} />,
  },
  {
    key: 'p50',
    name: 'Time p50',
    title: 'Median pull time',
    sortValue: ({ p50 }) => p50,
    descending: true,
    isNumeric: true,
    needs: 'wide',
    width: 100,
    cell: ({ p50, timedPulls }) => <DurationCell seconds={p50} pulls={timedPulls} />,
  },
  {
    key: 'p95',
    name: 'Time p95',
    title: '95th percentile of pull times',
    sortValue: ({ p95 }) => p95,
    descending: true,
    isNumeric: true,
    needs: 'middle',
    width: 100,
    cell: ({ p95, timedPulls }) => <DurationCell seconds={p95} pulls={timedPulls} />,
  },
  {
    key: 'cached',
    name: 'Cached',
    title: 'Share that was already on the nodes',
    sortValue: ({ cached }) => cached,
    descending: true,
    isNumeric: true,
    needs: 'wide',
    width: 136,
    cell: ({ cached }) => <CachedCell share={cached} />,
  },
  {
    key: 'pods',
    name: 'Pods',
    title: 'Pods that wait or waited for it',
    sortValue: ({ pods }) => pods,
    descending: true,
    isNumeric: true,
    needs: 'middle',
    width: 76,
    cell: ({ pods }) => <Figure value={pods.toLocaleString('en')} />,
  },
];

const DEFAULT_SORT: Sort = { key: 'nodes', descending: true };
const keyOf = (entry: ImageEntry): string => entry.key;
const detail = (entry: ImageEntry) => <OnNodes entry={entry} />;
const rowOf = (entry: ImageEntry) => ({ 'data-image': entry.key });

export function Images({ route }: PageProps) {
  const dataset = useDataset();
  const sync = useSyncState();
  const entries = useMemo(() => imageEntries(dataset.rows.values()), [dataset]);
  const sortText = route.query.get('sort');
  const sort = useMemo(() => parseSort(sortText, COLUMNS) ?? DEFAULT_SORT, [sortText]);
  const q = route.query.get('q') ?? '';
  const shown = useMemo(() => {
    const terms = splitWords(q);
    return terms.length === 0 ? entries : entries.filter((entry) => imageMatches(entry, terms));
  }, [entries, q]);
  return (
    <>
      <h1 className="hidden">Images</h1>
      <Panel
        className={styles.panel}
        title="Images"
        summary={
          shown.length === entries.length
            ? entries.length || undefined
            : `${shown.length} of ${entries.length}`
        }
        actions={<Filter label="Image, registry or digest" value={q} />}
      >
        {entries.length === 0 ? (
          sync === 'loading' ? (
            <TableSkeleton />
          ) : (
            <NoImages />
          )
        ) : shown.length === 0 ? (
          <Message name="no-match" title="No matching images">
            <button type="button" onClick={() => updateQuery({ q: undefined })}>
              Show all {entries.length.toLocaleString('en')}
            </button>
          </Message>
        ) : (
          <Table
            label="Images"
            columns={COLUMNS}
            items={shown}
            keyOf={keyOf}
            sort={sort}
            open={route.query.get('open') ?? undefined}
            detail={detail}
            noun={['image', 'images']}
            rowAttributes={rowOf}
          />
        )}
      </Panel>
    </>
  );
}

function NoImages() {
  const retention = useServer()?.keepsEndedSeconds;
  return (
    <Message
      name="idle"
      title={`No images pulled${retention === undefined ? '' : ` in the last ${formatPeriod(retention)}`}`}
    >
      <p>Images appear with their first pull.</p>
    </Message>
  );
}

function NameCell({ entry, open }: { entry: ImageEntry; open: boolean }) {
  return (
    <button
      type="button"
      className={styles.name}
      aria-expanded={open}
      onClick={() => updateQuery({ open: open ? undefined : entry.key })}
    >
      <span className={styles.chevron}>
        <Icon name="chevron" size={14} />
      </span>
      <ImageTitle image={entry.image} fullName={entry.key} />
    </button>
  );
}

function DigestCell({ digest, count: digests }: { digest: string | undefined; count: number }) {
  if (digest === undefined) return UNKNOWN;
  return (
    <span
      className={styles.digest}
      title={digests > 1 ? `${count(digests, 'digest')} for this name` : digest}
    >
      <code>{shortDigest(digest)}</code>
      {digests > 1 && (
        <span className={styles.moved}>
          <Icon name="warning" size={13} />+{digests - 1}
        </span>
      )}
    </span>
  );
}

function NodesCell({ entry: { present, pulling, failed } }: { entry: ImageEntry }) {
  const parts = [
    `${count(present, 'node has', 'nodes have')} it`,
    pulling > 0 && `${pulling.toLocaleString('en')} pulling`,
    failed > 0 && `failed on ${failed.toLocaleString('en')}`,
  ];
  return (
    <span className={styles.nodes} title={parts.filter(Boolean).join(', ')}>
      <span>
        {present.toLocaleString('en')}
        <small> / {(present + pulling + failed).toLocaleString('en')}</small>
      </span>
      <span className={styles.stack} aria-hidden="true">
        {present > 0 && <i className={styles.have} style={{ flexGrow: present }} />}
        {pulling > 0 && <i className={styles.pulling} style={{ flexGrow: pulling }} />}
        {failed > 0 && <i className={styles.bad} style={{ flexGrow: failed }} />}
      </span>
    </span>
  );
}

function FailedCell({ count: failed }: { count: number }) {
  if (failed === 0) return <span className={styles.none}>0</span>;
  return (
    <span className={styles.failed}>
      <Icon name="failed" size={13} />
      {failed.toLocaleString('en')}
    </span>
  );
}

function DurationCell({ seconds: value, pulls }: { seconds: number | undefined; pulls: number }) {
  return (
    <span title={pulls === 0 ? 'No complete pull recorded' : `of ${count(pulls, 'pull')}`}>
      <Figure value={duration(value)} />
    </span>
  );
}

function CachedCell({ share }: { share: number | undefined }) {
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
