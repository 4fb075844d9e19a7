// Icons by meaning, so that the same thing looks the same everywhere.

import {
  ArrowDownToLine,
  Ban,
  Box,
  Check,
  ChevronRight,
  CircleDashed,
  CircleHelp,
  CircleSlash2,
  Clock3,
  Copy,
  Download,
  Gauge,
  HardDrive,
  Image as ImageIcon,
  Keyboard,
  KeyRound,
  Lightbulb,
  Link2,
  ListOrdered,
  LoaderCircle,
  type LucideIcon,
  Moon,
  PackageOpen,
  Pause,
  Play,
  Search,
  Server,
  ServerOff,
  Settings2,
  SquareTerminal,
  Sun,
  SunMoon,
  TriangleAlert,
  X,
} from 'lucide-react';

const ICONS = {
  queued: ListOrdered,
  resolving: LoaderCircle,
  downloading: ArrowDownToLine,
  extracting: PackageOpen,
  waiting: Clock3,
  warning: TriangleAlert,
  slow: Gauge,
  completed: Check,
  failed: X,
  cancelled: Ban,
  unknown: CircleHelp,
  none: CircleDashed,
  cached: CircleSlash2,
  pod: Box,
  hint: Lightbulb,
  node: Server,
  silent: ServerOff,
  image: ImageIcon,
  disk: HardDrive,
  key: KeyRound,
  chevron: ChevronRight,
  search: Search,
  pause: Pause,
  resume: Play,
  settings: Settings2,
  keyboard: Keyboard,
  link: Link2,
  copy: Copy,
  export: Download,
  command: SquareTerminal,
  close: X,
  sun: Sun,
  moon: Moon,
  auto: SunMoon,
} satisfies Record<string, LucideIcon>;

export type IconName = keyof typeof ICONS;

const REASONS: Record<string, IconName> = {
  not_found: 'search',
  unauthorized: 'key',
  signature: 'key',
  rate_limited: 'slow',
  kubelet_qps: 'slow',
  no_space: 'disk',
  timeout: 'waiting',
  progress_timeout: 'waiting',
};

/** Returns the icon of a failure reason. */
export const reasonIcon = (reason: string): IconName => REASONS[reason] ?? 'failed';

/** Decorative: the text beside it has the meaning. */
export function Icon({ name, size = 14 }: { name: IconName; size?: number }) {
  const Shape = ICONS[name];
  return <Shape size={size} strokeWidth={2} aria-hidden="true" />;
}

export function Logo() {
  return (
    <svg
      width={26}
      height={26}
      viewBox="0 0 32 32"
      fill="none"
      strokeWidth={3.6}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path stroke="var(--downloading)" d="M4 8h20M4 16h12M4 24h8" />
      <path stroke="var(--extracting)" d="M23 14v11m-5-4.5 5 5 5-5" />
    </svg>
  );
}
