import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { podCommands, pullCommands, quoted, registryOf } from '../../src/model/commands';
import { format } from '../../src/model/format';
import { insight } from '../../src/model/insight';
import { lane, MOST, means, type Sample, sampled } from '../../src/model/lane';
import { said, sentence, stepOf } from '../../src/model/layers';
import { compared, downloadSpeed, median, nodeQueue, peers, successor } from '../../src/model/peers';
import { elapsed, spells } from '../../src/model/phases';
import { visible } from '../../src/model/text';
import { at, ended, layer, pull } from './some';

const now = Date.parse(at(20));
const iec = format('iec', 'utc');

describe('phases', () => {
  const times = { queuedAt: at(-18), downloadingAt: at(0.4), extractingAt: at(15) };
  test('are as long as they were, and the last goes on', () => {
    expect(spells(pull('p', times), now)).toEqual([
      { phase: 'queued', seconds: 18, open: false },
      { phase: 'resolving', seconds: 0.4, open: false },
      { phase: 'downloading', seconds: 14.6, open: false },
      { phase: 'extracting', seconds: 5, open: true },
    ]);
    expect(elapsed(pull('p', times), now)).toBe(20);
  });
  test('of an ended pull end with it', () => {
    const last = spells(ended('p', { ...times, completedAt: at(16) }), now).at(-1);
    expect(last).toEqual({ phase: 'extracting', seconds: 1, open: false });
  });
  test('of one that is queued, or not seen any more', () => {
    const queued = pull('p', { phase: 'queued', queuedAt: at(2), startedAt: at(2) });
    expect(spells(queued, now)).toEqual([{ phase: 'queued', seconds: 18, open: true }]);
    expect(elapsed(queued, now)).toBe(18);
    expect(elapsed(pull('p', { staleSince: at(7) }), now)).toBe(7);
  });
  test('whose ends are in no order are left out', () => {
    const odd = pull('p', { queuedAt: at(3600), downloadingAt: 'never', extractingAt: at(-5) });
    expect(spells(odd, now).map(({ phase }) => phase)).toEqual(['extracting']);
    expect(elapsed(pull('p', { startedAt: at(3600) }), now)).toBeUndefined();
  });
});

describe('other pulls', () => {
  const same = { manifestDigest: 'sha256:a' };
  const own = pull('own', { ...same, bytesPerSec: 50 });
  const rows = [
    own,
    pull('b', { ...same, nodeName: 'n10', bytesPerSec: 100 }),
    pull('c', { ...same, nodeName: 'n2', bytesPerSec: 300 }),
    pull('c-before', { ...same, nodeName: 'n2', startedAt: at(-100) }),
    ended('d', { ...same, nodeName: 'n3', downloadedBytes: 1000, downloadingAt: at(0), extractingAt: at(5) }),
    pull('e', { manifestDigest: 'sha256:b', nodeName: 'n4', imageRef: own.imageRef ?? '' }),
    pull('f', { nodeName: 'n5', imageRef: own.imageRef ?? '', phase: 'queued' }),
  ];
  test('of the same image are one for each other node', () => {
    expect(peers(rows, own).map(({ id }) => id)).toEqual(['c', 'd', 'f', 'b']);
  });
  test('tell how fast this one is', () => {
    expect(compared(own, peers(rows, own))).toEqual({ factor: 0.25, nodes: 3 });
    expect(compared(own, [])).toBeUndefined();
    expect(compared(pull('x'), peers(rows, own))).toBeUndefined();
    expect(downloadSpeed(pull('x', { bytesPerSec: 3, stalledSince: at(1) }))).toBeUndefined();
    expect([median([]), median([3]), median([4, 1]), median([9, 1, 2])]).toEqual([undefined, 3, 2.5, 2]);
  });
  test('of the node run, or wait in the order of its queue', () => {
    const queued = (id: string, ahead?: number) =>
      pull(id, {
        phase: 'queued',
        ...(ahead === undefined ? {} : { waitingOn: { kind: 'kubelet_queue', since: at(0), ahead } }),
      });
    const { running, waiting } = nodeQueue(
      [
        queued('z'),
        queued('second', 2),
        pull('late', { startedAt: at(3) }),
        queued('first', 1),
        pull('soon'),
        ended('over'),
      ],
      'n1',
    );
    expect(running.map(({ id }) => id)).toEqual(['soon', 'late']);
    expect(waiting.map(({ id }) => id)).toEqual(['first', 'second', 'z']);
  });
  test('are what one has become', () => {
    const same = (id: string) => id;
    const next = pull('next', { supersedes: 'own' });
    expect(successor([...rows, next], 'own', same)).toBe(next);
    expect(successor(rows, 'own', same)).toBeUndefined();
    expect(
      successor([pull('third', { supersedes: 'gone' })], 'own', (id) => (id === 'third' ? 'own' : id))?.id,
    ).toBe('third');
  });
});

describe('commands', () => {
  test.each([
    ['registry.example:5000/team/app:1.2@sha256:ab', 'registry.example:5000/team/app:1.2@sha256:ab'],
    ["it's", `'it'\\''s'`],
    ['$(reboot); `x` | y > z "q"', `'$(reboot); \`x\` | y > z "q"'`],
    ['', "''"],
    ['-rf', "'-rf'"],
    ['a\nb\u001b[201~', `$'a\\x0ab\\x1b[201~'`],
    ["\u202e'\\", `$'\\u202e\\x27\\x5c'`],
  ])('%j is one word', (word, expected) => {
    expect(quoted(word)).toBe(expected);
  });

  test('a shell reads what was meant, whatever a name holds', () => {
    for (const word of [
      "it's",
      '$(echo no)',
      'a\nb\u001b[201~\u0007',
      '*',
      '~',
      '#x',
      '!!',
      'ü\u202e',
      '\\',
      "'\\\n'",
    ]) {
      const heard = execFileSync('bash', ['-c', `printf %s ${quoted(word)}`], {
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C.UTF-8' },
      });
      expect(heard).toBe(word);
    }
  });

  const texts = (row: Parameters<typeof pullCommands>[0]) =>
    pullCommands(row).flatMap(({ commands }) => commands.map(({ text }) => text));
  const pods = [{ namespace: 'shop', podName: 'web-0', uid: 'u', container: 'app', image: 'i' }];

  test('fit what the pull does', () => {
    expect(texts(pull('a', { pods }))).toEqual([
      'kubectl describe pod/web-0 --namespace=shop',
      'kubectl get events --namespace=shop --field-selector=involvedObject.name=web-0 --sort-by=.lastTimestamp',
      'kubectl describe node/n1',
      'kubectl debug node/n1 -it --image=docker.io/library/busybox:1.37 -- chroot /host',
      'ctr --namespace k8s.io content active',
      'crictl images registry.example/team/a:1.0',
      "journalctl -u containerd --no-pager --since='2026-11-24 19:59:55 UTC'",
    ]);
    expect(texts(ended('a'))).toContain('crictl inspecti registry.example/team/a:1.0');
    expect(texts(pull('a', { imageRef: '--help' }))).toContain("crictl images -- '--help'");
  });

  test.each([
    ['not_found', 'crictl pull registry.example/team/a:1.0'],
    ['unauthorized', "kubectl get pod/web-0 --namespace=shop -o jsonpath='{.spec.imagePullSecrets}'"],
    ['no_space', 'df -h /var/lib/containerd /var/lib/kubelet'],
    ['dns', 'getent hosts registry.example'],
    ['tls', 'curl -sv -o /dev/null --max-time 10 https://registry.example/v2/'],
    [
      'other',
      "journalctl -u kubelet --no-pager --since='2026-11-24 19:59:55 UTC' --until='2026-11-24 20:00:10 UTC'",
    ],
  ] as const)('fit why it failed: %s', (reason, expected) => {
    const failed = ended('a', { phase: 'failed', outcome: 'failed', failure: { reason }, pods });
    expect(texts(failed)).toContain(expected);
  });

  test('of a pod name it so that it is no option', () => {
    expect(podCommands({ namespace: '-A', podName: '--all' })[0]?.text).toBe(
      "kubectl describe pod/--all --namespace='-A'",
    );
  });

  test.each([
    ['nginx', 'registry-1.docker.io'],
    ['team/app:1', 'registry-1.docker.io'],
    ['docker.io/library/nginx', 'registry-1.docker.io'],
    ['localhost/app', 'localhost'],
    ['reg:5000/app', 'reg:5000'],
    ['ghcr.io/a/b', 'ghcr.io'],
  ])('the registry of %s', (image, expected) => expect(registryOf(image)).toBe(expected));
});

test('what a terminal would obey is shown', () => {
  expect(visible('\u001b[31mred\u001b[0m\r\nnext\tline\u0007\u007f\u0085\u202e')).toBe(
    '\\x1b[31mred\\x1b[0m\nnext\tline\\x07\\x7f\\x85\\u202e',
  );
});

describe('what is said of a layer', () => {
  const row = pull('p', { downloadingAt: at(1) });
  test.each([
    [{ state: 'cached' }, 'on node'],
    [{ state: 'remote' }, 'served remotely'],
    [{ state: 'waiting', waitingOn: { kind: 'download_slot', since: at(1) } }, 'waits for a slot'],
    [{ state: 'waiting' }, 'waiting'],
    [{ downloadedBytes: 355, bytesPerSec: 2048 }, '35 % 2.00 KiB/s'],
    [{ downloadedBytes: 1000, bytesPerSec: 0 }, '99 % 0 B/s'],
    [{}, 'downloading'],
    [{ state: 'downloaded', waitingOn: { kind: 'parent_layer', since: at(1) } }, 'waits for its parent'],
    [{ state: 'extracting', unpackedBytes: 2048 }, 'extracting · 2.00 KiB'],
    [{ state: 'complete', startedAt: at(1), completedAt: at(3.25) }, 'done in 2.2 s'],
    [{ state: 'complete' }, 'done'],
    [{ state: 'half_done' as 'complete' }, 'half done'],
  ] as const)('%j', (more, expected) => {
    const { strong, text } = said(row, layer('a', more), iec);
    expect([strong, text].filter(Boolean).join(' ')).toBe(expected);
  });

  test('of a pull that failed tells how far it came', () => {
    const failed = ended('p', { phase: 'failed', outcome: 'failed' });
    expect(said(failed, layer('a', { downloadedBytes: 355 }), iec).text).toBe('35 % of it came');
    expect(said(failed, layer('a', { state: 'waiting' }), iec).text).toBe('never began');
    expect(said(failed, layer('a', { state: 'extracting' }), iec).text).toBe('not unpacked');
  });

  test('is a sentence too', () => {
    const done = layer('a', {
      state: 'complete',
      startedAt: at(3),
      downloadedAt: at(5),
      extractingAt: at(6),
      completedAt: at(9),
    });
    expect(sentence(row, done, false, iec)).toBe(
      'waited 2.0 s; downloaded in 2.0 s; waited 1.0 s for the layer below; unpacked in 3.0 s',
    );
    expect(sentence(row, layer('a', { downloadedBytes: 500 }), true, iec)).toBe(
      '50 %, downloading; the pull waits for it',
    );
  });

  test.each([
    ['/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'],
    ['/bin/sh -c apt-get update', 'RUN apt-get update'],
    ['COPY . /app # buildkit', 'COPY . /app'],
    [' ', 'aaaaaaaaaaaa'],
    [undefined, 'aaaaaaaaaaaa'],
  ])('%j is the step %s', (createdBy, expected) => {
    expect(stepOf(layer('a', createdBy === undefined ? {} : { createdBy }))).toBe(expected);
  });
});

describe('the speed', () => {
  test('is told by layers where nobody watched', () => {
    const layers = [
      layer('a', {
        state: 'complete',
        startedAt: at(1),
        downloadedAt: at(11),
        totalBytes: 1000,
        downloadedBytes: 1000,
      }),
      layer('b', { startedAt: at(6), downloadedBytes: 2800 }),
      layer('c', { state: 'cached' }),
    ];
    const found = means(pull('p'), layers, now).map(({ at: when, speed }) => [
      (when - now) / 1000 + 20,
      speed,
    ]);
    expect(found).toEqual([
      [1, 100],
      [6, 300],
      [11, 200],
      [20, 0],
    ]);
  });
  test('is what was seen from then on, in pieces', () => {
    const steps: Sample[] = [
      { at: 1000, speed: 10 },
      { at: 9000, speed: 5 },
    ];
    const samples = [3000, 4000, 5000, 20_000, 21_000].map((when) => ({
      at: when,
      speed: when === 5000 ? 90 : 20,
    }));
    const found = lane(steps, samples);
    expect(found.means).toEqual([
      { at: 1000, speed: 10 },
      { at: 3000, speed: 0 },
    ]);
    expect(found.seen.map((piece) => piece.length)).toEqual([3, 2]);
    expect(found.peak).toBe(90);
    expect(lane(steps, []).means).toEqual(steps);
    expect(lane([], [{ at: 1, speed: undefined }])).toEqual({ means: [], seen: [], peak: 0 });
  });
  test('is kept twice a second, and of a long time more seldom', () => {
    let samples: readonly Sample[] = [];
    for (let i = 0; i < 10_000; i += 1) samples = sampled(samples, { at: i * 250, speed: i });
    expect(samples.length).toBeLessThanOrEqual(MOST);
    expect(samples.at(-1)?.at).toBeGreaterThan(9_990 * 250);
    expect(samples[0]?.at).toBe(0);
  });
});

describe('the insight', () => {
  const MiB = 1 << 20;
  const row = pull('p', { percent: 10 });
  const big = layer('a', { totalBytes: 90 * MiB, createdBy: 'RUN big' });
  const small = layer('b', { totalBytes: 10 * MiB });
  test('is the layer that holds most', () => {
    expect(insight(row, [small, big], undefined, iec)).toEqual({
      what: 'Layer 2 holds 90 % of what is left',
      more: '90.0 MiB',
      step: 'RUN big',
    });
    expect(insight(row, [big], undefined, iec)).toBeUndefined();
    const cached = layer('c', { state: 'cached' });
    expect(insight(row, [big, cached], undefined, iec)?.what).toBe('Layer 1 is all that is left to download');
    expect(insight(row, [small, small, small], undefined, iec)).toBeUndefined();
  });
  test('is that others are faster', () => {
    expect(insight(row, [big], { factor: 0.25, nodes: 3 }, iec)?.what).toBe(
      'This node is 4.0 times slower than others with the same image',
    );
    expect(insight(row, [big], { factor: 0.25, nodes: 1 }, iec)).toBeUndefined();
  });
  test('is what is unpacked', () => {
    const layers = [layer('a', { state: 'extracting' }), layer('b', { state: 'downloaded' })];
    expect(insight(pull('p', { phase: 'extracting' }), layers, undefined, iec)).toEqual({
      what: 'All bytes are here, and layer 1 is being unpacked',
      more: '1 layer after it, one by one',
      step: undefined,
    });
  });
  test('is what an ended pull spent its time with', () => {
    const layers = [layer('a', { state: 'complete', startedAt: at(0), downloadedAt: at(4) })];
    expect(insight(ended('p'), layers, undefined, iec)?.what).toBe(
      'Layer 1 was downloaded for 4.0 s of the 5.0 s',
    );
    expect(insight(ended('p', { toDownloadBytes: 0 }), [], undefined, iec)?.what).toBe(
      'Nothing had to be downloaded',
    );
    expect(insight(ended('p', { outcome: 'failed' }), layers, undefined, iec)).toBeUndefined();
  });
});
