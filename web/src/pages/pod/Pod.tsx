// Pod.

import type { PageProps } from '../../App';

export function Pod(_: PageProps) {
  return <h1>Pod</h1>;
}
