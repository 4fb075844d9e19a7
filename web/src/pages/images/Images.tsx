// Images.

import type { PageProps } from '../../App';

export function Images(_: PageProps) {
  return <h1>Images</h1>;
}
