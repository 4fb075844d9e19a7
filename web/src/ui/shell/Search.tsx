// One field to find anything: what is typed filters the pulls.

import type { Route } from '../../route';

export function Search(_: { route: Route }) {
  return null;
}
