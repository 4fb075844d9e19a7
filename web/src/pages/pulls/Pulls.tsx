// Pulls.

import type { PageProps } from '../../App';

export function Pulls(_: PageProps) {
  return <h1>Pulls</h1>;
}
