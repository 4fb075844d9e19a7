import { screen, within } from '@testing-library/react';
import { expect, vi } from 'vitest';
import { RequestError } from '../../src/api/events';
import type { ServerStatus } from '../../src/api/gen/wire';
import { ErrorBoundary } from '../../src/ui/ErrorBoundary';
import { SHORTCUTS } from '../../src/ui/shell/keys';
import { BUTTON, FIELD, REGION } from '../names';
import { at, pull } from './fixtures';
import { pageText } from './pageText';
import { failed, link, main, newPage, page, part, type State, server, show, surface } from './texts';

/** The frame around the screens after losing the connection for this reason. */
const lost = (rejected: RequestError): State => [
  `disconnected: ${rejected.failure.kind}`,
  async () => {
    await show('#/');
    page.rejectWith = rejected;
    page.disconnect();
    await page.advance(4_000);
    return [
      part(`[aria-label="${REGION.connection}"]`),
      part('[data-connection]'),
      part('[data-field="announcement"]'),
      document.title,
    ].join('\n');
  },
];
const notice = (title: string, name: string, first: ServerStatus, then = first): State => [
  title,
  async () => {
    await show('#/', {}, () => {
      page.answers['api/v1/server'] = first;
    });
    page.answers['api/v1/server'] = then;
    await page.advance(11_000);
    return pageText(screen.getByRole('region', { name }));
  },
];

function Broken(): never {
  throw new Error('this one');
}

surface('shell', [
  [
    'top bar',
    async () => {
      await show('#/', { rows: [pull('a'), failed('b')] }, () => {
        page.answers['api/v1/server'] = server({ clusterName: 'prod-eu-west-1' });
      });
      await page.advance(100);
      return [part('header'), part('[data-field="announcement"]'), document.title].join('\n');
    },
  ],
  lost(new RequestError({ kind: 'unauthorized' })),
  lost(new RequestError({ kind: 'forbidden' })),
  lost(new RequestError({ kind: 'not_found' })),
  lost(new RequestError({ kind: 'unavailable', status: 503, detail: 'too many readers' })),
  lost(new RequestError({ kind: 'unreachable' })),
  [
    'wrong token, then a valid one',
    async () => {
      newPage();
      page.rejectWith = new RequestError({ kind: 'unauthorized' });
      await page.show();
      const form = () => within(screen.getByRole('region', { name: REGION.connection }));
      const field = () => form().getByLabelText(/./);
      await page.user.type(field(), 'wrong{Enter}');
      await page.advance(0);
      const wrong = part(`[aria-label="${REGION.connection}"]`);
      await page.user.clear(field());
      await page.user.type(field(), 's3cret{Enter}');
      await page.advance(0);
      const panel = document.getElementById('settings') as HTMLElement;
      panel.dispatchEvent(Object.assign(new Event('toggle'), { newState: 'open', oldState: 'closed' }));
      await page.advance(0);
      return `${wrong}\n${pageText(panel)}`;
    },
  ],
  notice('page outdated', REGION.update, server(), server({ page: 'bbbb' })),
  notice('server restarted', REGION.restart, server(), server({ startedAt: at(-30) })),
  notice('server just started', REGION.restart, server({ startedAt: at(-8) })),
  [
    'paused',
    async () => {
      await show('#/', { rows: [pull('a')] });
      await page.user.click(screen.getByRole('button', { name: BUTTON.pause }));
      page.pushFrame(2, { rows: [pull('a', { percent: 1 })] });
      await page.advance(1_000);
      return part('header');
    },
  ],
  [
    'suspended',
    async () => {
      await show('#/');
      page.live.stream.setVisible(false);
      await page.advance(31_000);
      return part('[data-connection]');
    },
  ],
  [
    'settings, with dropped updates',
    async () => {
      await show('#/', {}, () => {
        page.answers['api/v1/server'] = server();
      });
      page.live.store.handleEvent('frame', 'no frame', 'e-2');
      const panel = document.getElementById('settings') as HTMLElement;
      panel.dispatchEvent(Object.assign(new Event('toggle'), { newState: 'open', oldState: 'closed' }));
      await page.advance(0);
      return pageText(panel);
    },
  ],
  [
    'shortcuts',
    async () => {
      await show('#/');
      await page.user.keyboard('?');
      expect(SHORTCUTS.length).toBeGreaterThan(5);
      return pageText(screen.getByRole('dialog'));
    },
  ],
  [
    'search',
    async () => {
      const rows = [pull('web', { nodeName: 'worker-1', pods: [link('web-1')] })];
      await show('#/', { rows });
      await page.user.type(screen.getByRole('combobox', { name: FIELD.search }), 'we');
      return pageText(screen.getByRole('listbox'));
    },
  ],
  [
    'unknown page',
    async () => {
      await show('#/nowhere');
      return main();
    },
  ],
  [
    'render error',
    async () => {
      const quiet = vi.spyOn(console, 'error').mockImplementation(() => {});
      newPage();
      await page.show(
        <ErrorBoundary>
          <Broken />
        </ErrorBoundary>,
      );
      quiet.mockRestore();
      document.querySelector('details pre')?.remove();
      return main();
    },
  ],
]);
