// How the reader wants the page, and what page and server these are.

import { type ReactNode, type ToggleEvent, useState } from 'react';
import { useConnection, useLive, useServer } from '../../live/hooks';
import { NONE } from '../../model/format';
import { changeSettings, type Settings, useSettings } from '../../settings';
import { Choice } from '../Choice';
import { Icon } from '../Icon';
import { TokenForm } from '../TokenForm';
import button from './IconButton.module.css';
import { openKeys } from './KeyList';
import { useFirst } from './News';
import styles from './Settings.module.css';

const ID = 'settings';

const CHOICES: {
  [Name in keyof Settings]: { label: string; choices: readonly (readonly [Settings[Name], string])[] };
} = {
  theme: {
    label: 'Theme',
    choices: [
      ['auto', 'System'],
      ['light', 'Light'],
      ['dark', 'Dark'],
    ],
  },
  density: {
    label: 'Rows',
    choices: [
      ['comfortable', 'Comfortable'],
      ['compact', 'Compact'],
    ],
  },
  units: {
    label: 'Units',
    choices: [
      ['iec', 'MiB'],
      ['si', 'MB'],
      ['bits', 'Mbit/s'],
    ],
  },
  zone: {
    label: 'Times',
    choices: [
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
  const { page } = useFirst({ page: server?.page });
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
        <OneOf name="theme" />
        <OneOf name="density" />
        <OneOf name="units" />
        <OneOf name="zone" />
      </div>
      <Token />
      <dl className={styles.facts}>
        <Fact name="Server">{server ?? NONE}</Fact>
        <Fact name="Page">{page ?? NONE}</Fact>
        <LeftOut />
        <Fact name="API">
          <a href="api/v1/openapi.json">OpenAPI description</a>
        </Fact>
        <Fact name="Contains">
          <ul>
            {LICENCES.map(([file, name]) => (
              <li key={file}>
                <a href={`licences/${file}`}>{name}</a>
              </li>
            ))}
          </ul>
        </Fact>
      </dl>
      <button type="button" className={styles.keys} onClick={openKeys}>
        <Icon name="keyboard" size={15} />
        Keyboard
        <kbd>?</kbd>
      </button>
    </>
  );
}

/** What the server said and could not be used, where there is such. */
function LeftOut() {
  const { notUnderstood, unknownRow, outOfOrder } = useLive().store.counts;
  const parts = [
    notUnderstood > 0 && `${notUnderstood.toLocaleString('en')} not understood`,
    unknownRow > 0 && `${unknownRow.toLocaleString('en')} of unknown rows`,
    outOfOrder > 0 && `${outOfOrder.toLocaleString('en')} out of order`,
  ].filter(Boolean);
  return parts.length === 0 ? null : <Fact name="Left out">{parts.join(', ')}</Fact>;
}

function OneOf<Name extends keyof Settings>({ name }: { name: Name }) {
  const value = useSettings()[name];
  const { label, choices } = CHOICES[name];
  return (
    <div className={styles.choice} data-setting={name}>
      <span aria-hidden="true">{label}</span>
      <Choice
        label={label}
        value={value}
        choices={choices}
        choose={(next) => changeSettings({ [name]: next })}
      />
    </div>
  );
}

/** Only where one is in use, or is asked for. */
function Token() {
  const { stream } = useLive();
  const connection = useConnection();
  const asked = connection.state === 'lost' && connection.loss.kind === 'unauthorized';
  if (!asked && stream.token() === undefined) return null;
  return (
    <div className={styles.token}>
      <TokenForm words={asked ? 'The server asks for a token' : 'Another token'} />
      <p>It is kept in this page only, and gone when that is closed or loaded again.</p>
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
