// Nodes.

import type { PageProps } from '../../App';

export function Nodes(_: PageProps) {
  return <h1>Nodes</h1>;
}
