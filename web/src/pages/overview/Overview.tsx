// Overview.

import type { PageProps } from '../../App';

export function Overview(_: PageProps) {
  return <h1>Overview</h1>;
}
