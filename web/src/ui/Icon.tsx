// The few icons of the page, drawn here: 16 units, strokes in the colour of the text.

const PATHS = {
  queued: 'M2.5 3.5h11M2.5 8h7.5M2.5 12.5h4',
  pod: 'M4.5 2.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2zM5.8 8h4.4',
  hint: 'M8 1.8a4.3 4.3 0 0 0-2.4 7.9c.5.4.7.8.7 1.4h3.4c0-.6.2-1 .7-1.4A4.3 4.3 0 0 0 8 1.8zM6.6 13.8h2.8',
  resolving: 'M8 2.2a5.8 5.8 0 1 1-5.8 5.8',
  downloading: 'M8 2.5v8M4.6 7.3 8 10.7l3.4-3.4M3 13.5h10',
  extracting: 'M2.5 5.5 8 2.5l5.5 3v5.5L8 14l-5.5-3zM2.5 5.5 8 8.5l5.5-3M8 8.5V14',
  waiting: 'M8 4.5V8l2.3 1.4M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z',
  warning:
    'M8 6v3.2M8 11.6v.1M7 2.7 1.7 12a1.15 1.15 0 0 0 1 1.7h10.6a1.15 1.15 0 0 0 1-1.7L9 2.7a1.15 1.15 0 0 0-2 0z',
  slow: 'M2.6 12.5a6.2 6.2 0 1 1 10.8 0M8 9.5 4.8 6.8',
  completed: 'm3 8.5 3.2 3.3L13 4.7',
  failed: 'm4 4 8 8m0-8-8 8',
  cancelled: 'M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0zM3.8 3.8l8.4 8.4',
  unknown: 'M5.7 6a2.3 2.3 0 1 1 3.4 2c-.7.4-1.1.8-1.1 1.6M8 12v.1',
  chevron: 'm6 4 4 4-4 4',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.3v1M8 13.7v1M1.3 8h1M13.7 8h1M3.3 3.3l.7.7M12 12l.7.7M3.3 12.7l.7-.7M12 4l.7-.7',
  moon: 'M13.5 9.5A5.8 5.8 0 0 1 6.5 2.5a5.8 5.8 0 1 0 7 7z',
  auto: 'M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0zM8 2v12M8 5.5h4.8M8 8h6M8 10.5h4.8',
  node: 'M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 14 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.7}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
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
