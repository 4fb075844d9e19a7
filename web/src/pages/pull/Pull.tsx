// Pull.

import type { PageProps } from '../../App';

export function Pull(_: PageProps) {
  return <h1>Pull</h1>;
}
