import { RequestError } from '../../src/api/events';
import type { PodStatus } from '../../src/api/gen/wire';
import { ended, pull, T0 } from './fixtures';
import { failed, link, main, ofStory, page, part, type State, server, show, surface } from './texts';

surface('pull', [
  ...ofStory(
    'pull',
    'one-pull',
    'size-unknown',
    'queued',
    'shared-layer',
    'extracting',
    'stalled',
    'trickling',
    'node-silent',
    'lazy',
    'fully-cached',
    'failed',
    'cancelled',
    'unknown-outcome',
  ),
  [
    'queued behind another pull, candidates',
    async () => {
      const on = { kind: 'kubelet_queue', since: T0, pull: 'b', ahead: 3, etaSeconds: 12 } as const;
      const same = { manifestDigest: 'sha256:f' };
      const rows = [
        pull('a', {
          ...same,
          phase: 'queued',
          totalKnown: false,
          waitingOn: on,
          candidates: [link('perhaps')],
        }),
        pull('b', { percent: 40, etaSeconds: 9 }),
        ended('c', { ...same, nodeName: 'n3' }),
      ];
      await show('#/pulls/a', { rows });
      return main();
    },
  ],
  [
    'not found',
    async () => {
      await show('#/pulls/none');
      return main();
    },
  ],
  [
    'no longer on the server',
    async () => {
      await show('#/pulls/a', { rows: [pull('a', { percent: 61, candidates: [link('perhaps')] })] });
      page.pushFrame(2, { rm: ['a'] });
      return main();
    },
  ],
  [
    'next attempt, pods unavailable',
    async () => {
      await show('#/pulls/a', { rows: [failed('a')] }, () => {
        const cluster = { pods: 'unreachable', events: 'off' } as const;
        page.answers['api/v1/server'] = server({ cluster });
      });
      page.pushFrame(2, { rows: [pull('b', { supersedes: 'a', attempt: 2 })] });
      await page.advance(100);
      return main();
    },
  ],
  [
    'kubelet disagrees, bytes lost',
    async () => {
      const rows = [
        ended('a', { kubelet: { pullSeconds: 14.2, agrees: false }, wastedBytes: 5000, pods: [link('web')] }),
      ];
      await show('#/pulls/a', { rows });
      return main();
    },
  ],
]);

const POD = 'api/v1/namespaces/shop/pods/web-0/pulls';
const pod = (more: Partial<PodStatus> = {}): PodStatus => ({
  namespace: 'shop',
  podName: 'web-0',
  uid: 'uid-1',
  nodeName: 'n1',
  ready: false,
  moving: true,
  summary: 'waits for its image',
  images: [
    { container: 'app', kind: 'container', image: 'registry.example/app:1', state: 'pending', pull: 'a' },
  ],
  ...more,
});
const podAnswer = (status: PodStatus) => {
  page.answers[POD] = { pod: status, pulls: [pull('a')] };
};
const podFails = (failure: RequestError) => {
  const rejected = Promise.reject(failure);
  rejected.catch(() => {});
  page.answers[POD] = rejected;
};
const showPod = (prepare: () => void) => show('#/pods/shop/web-0', {}, prepare);

surface('pod', [
  ...ofStory('pod', 'init-pod', 'queued', 'failed', 'node-silent'),
  ...(
    [
      ['ready, then gone', pod({ ready: true })],
      ['not progressing, then gone', pod({ moving: false })],
    ] as const
  ).map(
    ([title, status]): State => [
      title,
      async () => {
        await showPod(() => podAnswer(status));
        delete page.answers[POD];
        await page.advance(1_100);
        return main();
      },
    ],
  ),
  [
    'recreated',
    async () => {
      await showPod(() => podAnswer(pod()));
      podAnswer(pod({ uid: 'uid-2' }));
      await page.advance(1_100);
      return part('[data-message="made-again"]');
    },
  ],
  [
    'server fails',
    async () => {
      await showPod(() => podAnswer(pod()));
      podFails(new RequestError({ kind: 'unavailable', status: 503, detail: 'Pods are listed again.' }));
      await page.advance(1_100);
      return part('[data-message="not-answered"]');
    },
  ],
  [
    'not waiting',
    async () => {
      await showPod(() => {});
      return main();
    },
  ],
  [
    'forbidden',
    async () => {
      await showPod(() => podFails(new RequestError({ kind: 'forbidden' })));
      return part('[data-message="forbidden"]');
    },
  ],
  [
    'no answer',
    async () => {
      await showPod(() => podFails(new RequestError({ kind: 'unavailable', status: 503, detail: 'later' })));
      return part('[data-message="not-answered"]');
    },
  ],
  [
    'pods unavailable',
    async () => {
      await showPod(() => {
        page.answers['api/v1/server'] = server({
          cluster: { pods: 'off', events: 'off', podsReason: 'no cluster' },
        });
      });
      return part('[data-message="no-pods"]');
    },
  ],
]);
