// User settings, and versions of page and server.

import { type ReactNode, type ToggleEvent, useState } from 'react';
import { useConnection, useLive, useServer } from '../../live/hooks';
import { UNKNOWN } from '../../model/format';
import { changeSettings, type Settings, useSettings } from '../../settings';
import { Icon } from '../Icon';
import { SegmentedControl } from '../SegmentedControl';
import { TokenForm } from '../TokenForm';
import button from './IconButton.module.css';
import { useInitialServer } from './ServerNotices';
import styles from './Settings.module.css';
import { openShortcuts } from './ShortcutList';

const ID = 'settings';

const SETTING_OPTIONS: {
  [Name in keyof Settings]: { label: string; options: readonly (readonly [Settings[Name], string])[] };
} = {
  theme: {
    label: 'Theme',
    options: [
      ['auto', 'System'],
      ['light', 'Light'],
      ['dark', 'Dark'],
    ],
  },
  density: {
    label: 'Rows',
    options: [
      ['comfortable', 'Comfortable'],
      ['compact', 'Compact'],
    ],
  },
  units: {
    label: 'Units',
    options: [
      ['iec', 'MiB'],
      ['si', 'MB'],
      ['bits', 'Mbit/s'],
    ],
  },
  zone: {
    label: 'Time zone',
    options: [
      ['utc', 'UTC'],
      ['local', 'Local'],
    ],
  },
};

const LICENCES = [
  ['react-MIT.txt', 'React'],
  ['tanstack-virtual-MIT.txt', 'TanStack Virtual'],
  ['lucide-ISC.txt', 'Lucide'],
  ['inter-OFL.txt', 'Inter'],
  ['jetbrains-mono-OFL.txt', 'JetBrains Mono'],
] as const;

export function SettingsButton() {
  const [open, setOpen] = useState(false);
  const server = useServer();
  const { page } = useInitialServer({ page: server?.page });
  return (
    <>
      <button
        type="button"
        className={button.button}
        aria-label="Settings"
        title="Settings"
        popoverTarget={ID}
      >
        <Icon name="settings" size={16} />
      </button>
      <section
        id={ID}
        popover="auto"
        className={styles.panel}
        aria-label="Settings"
        data-open={open || undefined}
        onToggle={(event: ToggleEvent) => setOpen(event.newState === 'open')}
      >
        {open && <Panel server={server?.version} page={page} />}
      </section>
    </>
  );
}

function Panel({ server, page }: { server: string | undefined; page: string | undefined }) {
  return (
    <>
      <div className={styles.choices}>
        <SettingRow name="theme" />
        <SettingRow name="density" />
        <SettingRow name="units" />
        <SettingRow name="zone" />
      </div>
      <TokenSection />
      <dl className={styles.facts}>
        <Fact name="Server">{server ?? UNKNOWN}</Fact>
        <Fact name="Page">{page ?? UNKNOWN}</Fact>
        <DroppedUpdates />
        <Fact name="API">
          <a href="api/v1/openapi.json">OpenAPI description</a>
        </Fact>
        <Fact name="Licences">
          <ul>
            {LICENCES.map(([file, name]) => (
              <li key={file}>
                <a href={`licences/${file}`}>{name}</a>
              </li>
            ))}
          </ul>
        </Fact>
      </dl>
      <button type="button" className={styles.keys} onClick={openShortcuts}>
        <Icon name="keyboard" size={15} />
        Shortcuts
        <kbd>?</kbd>
      </button>
    </>
  );
}

/** Counts of updates that were dropped. Hidden if there are none. */
function DroppedUpdates() {
  const { invalid, unknownRows, outOfOrder } = useLive().store.dropCounts;
  const parts = [
    invalid > 0 && `${invalid.toLocaleString('en')} invalid`,
    unknownRows > 0 && `${unknownRows.toLocaleString('en')} for unknown rows`,
    outOfOrder > 0 && `${outOfOrder.toLocaleString('en')} out of order`,
  ].filter(Boolean);
  return parts.length === 0 ? null : (
    <Fact name="Dropped">
      <span data-field="dropped">{parts.join(', ')}</span>
    </Fact>
  );
}

function SettingRow<Name extends keyof Settings>({ name }: { name: Name }) {
  const value = useSettings()[name];
  const { label, options } = SETTING_OPTIONS[name];
  return (
    <div className={styles.choice} data-setting={name}>
      <span aria-hidden="true">{label}</span>
      <SegmentedControl
        label={label}
        value={value}
        options={options}
        onSelect={(next) => changeSettings({ [name]: next })}
      />
    </div>
  );
}

/** Shown only if a token is required or in use. */
function TokenSection() {
  const { stream } = useLive();
  const connection = useConnection();
  const isRequired = connection.state === 'lost' && connection.reason.kind === 'unauthorized';
  if (!isRequired && stream.token() === undefined) return null;
  return (
    <div className={styles.token}>
      <TokenForm prompt={isRequired ? 'Access token required' : 'Change token'} />
      <p>Kept in memory only; cleared when you close or reload the page.</p>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
