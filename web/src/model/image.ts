// Image names, split into the parts that users search for.

import type { PullStatus } from '../api/gen/wire';

export interface ImageName {
  /** `docker.io/library`; empty if unknown. */
  registry: string;
  /** Last part of the path, such as `nginx`; a placeholder if unknown. */
  name: string;
  /** Tag such as `1.27`, or 12 digits of the digest; empty if both are unknown. */
  version: string;
  /** True if `name` is not a placeholder. */
  known: boolean;
}

/** The usual 12-digit form of a digest. */
export function shortDigest(digest: string): string {
  return digest.replace(/^[a-z0-9+._-]+:/i, '').slice(0, 12);
}

/** Splits `host:5000/team/app:1.2`. A tag takes precedence over a digest. */
export function parseReference(reference: string): Omit<ImageName, 'known'> {
  const [path = '', digest] = reference.split('@', 2);
  const slash = path.lastIndexOf('/');
  const last = path.slice(slash + 1);
  const colon = last.indexOf(':');
  const tag = colon < 0 ? '' : last.slice(colon + 1);
  return {
    registry: slash < 0 ? '' : path.slice(0, slash),
    name: colon < 0 ? last : last.slice(0, colon),
    version: tag || (digest ? shortDigest(digest) : ''),
  };
}

/** The best known name of the pull's image. */
export function imageName(
  pull: Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'>,
): ImageName {
  const digest = pull.rootDigest ?? pull.manifestDigest;
  const reference = pull.imageRef ?? pull.repository;
  if (reference) {
    const parsed = parseReference(reference);
    return { ...parsed, version: parsed.version || (digest ? shortDigest(digest) : ''), known: true };
  }
  return {
    registry: '',
    name: digest ? 'Unnamed image' : 'Unknown image',
    version: digest ? shortDigest(digest) : '',
    known: false,
  };
}

/** Short name for references in text: `app:1.2`. */
export function shortName(pull: Parameters<typeof imageName>[0]): string {
  const { name, version, known } = imageName(pull);
  if (!known) return version ? `image ${version}` : 'unknown image';
  return version ? `${name}:${version}` : name;
}
