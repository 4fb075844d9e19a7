import { screen } from '@testing-library/react';
import { BUTTON } from '../names';
import { at, ended, node, pull, T0 } from './fixtures';
import { pageText } from './pageText';
import {
  failed,
  link,
  main,
  ofStory,
  page,
  part,
  type State,
  server,
  setWidth,
  show,
  story,
  surface,
} from './texts';

surface('overview', [
  ...ofStory(
    'overview',
    'no-agents',
    'first-load',
    'idle',
    'quiet-with-ended',
    'queued',
    'stalled',
    'trickling',
    'node-silent',
    'failed',
  ),
  ...(['node', 'namespace', 'pod'] as const).map(
    (by): State => [
      `story init-pod, by ${by}`,
      async () => {
        await story('init-pod', 'overview', `#/?group=${by}`);
        return main();
      },
    ],
  ),
  [
    'many groups, a name conflict, pods forbidden',
    async () => {
      const rows = Array.from({ length: 16 }, (_, index) => pull(`p${index}`));
      const nodes = [node('n1', { live: 16 }), node('n9', { state: 'conflict' })];
      await show('#/', { rows, nodes }, () => {
        const cluster = { pods: 'forbidden', podsReason: 'cannot list pods', events: 'off' } as const;
        page.answers['api/v1/server'] = server({ cluster });
      });
      return main();
    },
  ],
  [
    'server started within the chart',
    async () => {
      await show('#/', {}, () => {
        page.answers['api/v1/server'] = server({
          startedAt: at(-300),
          throughput: { stepSeconds: 2, endsAt: T0, bytesPerSec: [0, 2048, null, 1024] },
        });
      });
      return part('[aria-labelledby="throughput-title"]');
    },
  ],
]);

surface('pulls', [
  ...ofStory(
    'pulls',
    'no-agents',
    'first-load',
    'idle',
    'one-pull',
    'size-unknown',
    'queued',
    'shared-layer',
    'extracting',
    'stalled',
    'trickling',
    'node-silent',
    'cancelled',
    'unknown-outcome',
    'fully-cached',
    'failed',
    'hostile',
  ),
  [
    'by namespace',
    async () => {
      await story('init-pod', 'pulls', '#/pulls?group=namespace');
      return main();
    },
  ],
  [
    'unknown filter key, no match',
    async () => {
      await show('#/pulls?q=owner:me', { rows: [pull('a')] });
      return main();
    },
  ],
  [
    'cards',
    async () => {
      setWidth(390);
      await show('#/pulls', { rows: [pull('a', { percent: 5 }), failed('b')] });
      setWidth(1440);
      return main();
    },
  ],
  ...([BUTTON.columns, BUTTON.export] as const).map(
    (name): State => [
      `menu ${name}`,
      async () => {
        await show('#/pulls', { rows: [pull('a')] });
        const button = screen.getByRole('button', { name });
        await page.user.click(button);
        return pageText(button.parentElement as Element);
      },
    ],
  ),
]);

surface('images', [
  ...ofStory('images', 'first-load', 'failed', 'hostile'),
  [
    'expanded, tag moved',
    async () => {
      const web = { imageRef: 'ghcr.io/acme/web:1' };
      const rows = [
        ended('a', { ...web, nodeName: 'n1', rootDigest: 'sha256:aaaaaaaaaaaaaaaa' }),
        pull('b', { ...web, nodeName: 'n2', percent: 40, etaSeconds: 12, rootDigest: 'sha256:bbbbbbbbbbbb' }),
      ];
      await show('#/images?open=ghcr.io/acme/web:1', { rows });
      return main();
    },
  ],
  [
    'no match',
    async () => {
      await show('#/images?q=zzz', { rows: [pull('a')] });
      return main();
    },
  ],
  [
    'empty',
    async () => {
      await show('#/images', {}, () => {
        page.answers['api/v1/server'] = server();
      });
      return main();
    },
  ],
]);

surface('nodes', [
  ...ofStory('nodes', 'no-agents', 'first-load', 'node-silent', 'failed'),
  [
    'name conflict, clock off, no match',
    async () => {
      await show('#/nodes', {
        nodes: [node('twice', { state: 'conflict' }), node('off', { clockOffsetMs: 60_000 })],
      });
      const list = main();
      await page.navigate('#/nodes?q=zzz');
      return `${list}\n\n${main()}`;
    },
  ],
  [
    'no unhealthy node',
    async () => {
      await show('#/nodes?show=trouble');
      return main();
    },
  ],
  [
    'one node',
    async () => {
      await story('node-silent', 'nodes', '#/nodes/worker-b-19');
      return main();
    },
  ],
  [
    'one node, idle',
    async () => {
      await show('#/nodes/n1');
      return main();
    },
  ],
  [
    'unknown node',
    async () => {
      await show('#/nodes/n9');
      return main();
    },
  ],
]);

surface('failures', [
  ...ofStory('failures', 'first-load', 'failed', 'hostile'),
  [
    'retried, without message, on many nodes',
    async () => {
      const image = { imageRef: 'docker.io/library/redis:7' };
      const many = Array.from({ length: 12 }, (_, index) =>
        failed(`f${index}`, { ...image, nodeName: `n${index}`, pods: [link(`web-${index}`)] }),
      );
      const { failure: _, ...silent } = failed('silent');
      const retry = pull('r', { ...image, nodeName: 'n1', attempt: 2 });
      await show('#/failures', { rows: [...many, silent, retry] });
      return main();
    },
  ],
  [
    'no match',
    async () => {
      await show('#/failures?reason=tls', { rows: [failed('a')] });
      return main();
    },
  ],
  [
    'empty',
    async () => {
      await show('#/failures', {}, () => {
        page.answers['api/v1/server'] = server();
      });
      return main();
    },
  ],
]);
