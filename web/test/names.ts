// Accessible names that tests use as selectors, where a role alone is ambiguous. In tests, a reworded
// name changes here and in the goldens only.

export const REGION = {
  attention: 'Needs attention',
  connection: 'Connection',
  failure: 'Failure',
  nodeQueue: 'On this node now',
  peers: 'Same image on other nodes',
  restart: 'Restart',
  status: 'Status',
  throughput: 'Download throughput',
  update: 'Update',
  waitingPods: 'Waiting pods',
} as const;

export const FIELD = {
  failures: 'Image, node, pod or reason',
  filterPulls: 'Filter pulls',
  group: 'Group',
  images: 'Image, registry or digest',
  search: 'Search',
} as const;

export const BUTTON = {
  close: 'Close',
  columns: 'Columns',
  copyError: 'Copy error',
  csv: 'CSV',
  export: 'Export',
  json: 'JSON',
  pause: 'Pause updates',
  resume: 'Resume updates',
  settings: 'Settings',
  theme: /^Theme: /,
} as const;

export const COLUMN = { size: 'Size', speed: 'Speed' } as const;

/** Values of settings and of segmented controls. */
export const OPTION = {
  bits: 'Mbit/s',
  compact: 'Compact',
  image: 'Image',
  local: 'Local',
  node: 'Node',
  pod: 'Pod',
  pulling: 'Pulling',
  unhealthy: 'Unhealthy',
} as const;

export const LIST = {
  nodesOfImage: 'Last pull on each node',
  pages: 'Pages',
  pulls: 'Pulls',
  shortcuts: 'Shortcuts',
} as const;
