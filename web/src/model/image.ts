// The name of an image, in the parts that people look for.

import type { PullStatus } from '../api/gen/wire';

export interface ImageName {
  /** `docker.io/library`: empty where nothing of it is known. */
  registry: string;
  /** `nginx`: the last part of the path, or words where the name is not known. */
  name: string;
  /** `1.27`, or twelve digits of a digest; empty where neither is known. */
  version: string;
  /** Whether `name` is one. */
  known: boolean;
}

/** The twelve digits that people know from other tools. */
export function shortDigest(digest: string): string {
  return digest.replace(/^[a-z0-9+._-]+:/i, '').slice(0, 12);
}

/** `host:5000/team/app:1.2` in its parts. The tag wins over a digest. */
export function parts(reference: string): Omit<ImageName, 'known'> {
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

/** The best name there is. */
export function imageName(
  pull: Pick<PullStatus, 'imageRef' | 'repository' | 'rootDigest' | 'manifestDigest'>,
): ImageName {
  const digest = pull.rootDigest ?? pull.manifestDigest;
  const reference = pull.imageRef ?? pull.repository;
  if (reference) {
    const found = parts(reference);
    return { ...found, version: found.version || (digest ? shortDigest(digest) : ''), known: true };
  }
  return {
    registry: '',
    name: digest ? 'Image without a name yet' : 'Image not known yet',
    version: digest ? shortDigest(digest) : '',
    known: false,
  };
}

/** The name in one short text, to speak of a pull beside another: `app:1.2`. */
export function shortName(pull: Parameters<typeof imageName>[0]): string {
  const { name, version, known } = imageName(pull);
  if (!known) return version ? `image ${version}` : 'an image not known yet';
  return version ? `${name}:${version}` : name;
}
