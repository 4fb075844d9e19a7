// Failures.

import type { PageProps } from '../../App';

export function Failures(_: PageProps) {
  return <h1>Failures</h1>;
}
