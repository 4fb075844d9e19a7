// What holds on every page and draws nothing: keys, the title of the tab, its icon.

import type { Route } from '../../route';

export function Habits(_: { route: Route }) {
  return null;
}
