import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { podCommands, pullCommands, registryHost, shellQuote } from '../../src/model/commands';
import { format } from '../../src/model/format';
import { insight } from '../../src/model/insight';
import { addSample, MAX_SAMPLES, meanSpeeds, type SpeedSample, speedLane } from '../../src/model/lane';
import { buildStep, describeLayer, layerLabel } from '../../src/model/layers';
import { compareToPeers, downloadSpeed, median, nodeQueue, peers, successor } from '../../src/model/peers';
import { elapsed, phaseDurations } from '../../src/model/phases';
import { escapeHidden } from '../../src/model/text';
import { at, ended, layer, pull } from './fixtures';

const now = Date.parse(at(20));
const iec = format('iec', 'utc');

describe('phases', () => {
  const times = { queuedAt: at(-18), downloadingAt: at(0.4), extractingAt: at(15) };
  test('have durations, the last one ongoing', () => {
    expect(phaseDurations(pull('p', times), now)).toEqual([
      { phase: 'queued', seconds: 18, ongoing: false },
      { phase: 'resolving', seconds: 0.4, ongoing: false },
      { phase: 'downloading', seconds: 14.6, ongoing: false },
      { phase: 'extracting', seconds: 5, ongoing: true },
    ]);
    expect(elapsed(pull('p', times), now)).toBe(20);
  });
  test('end with an ended pull', () => {
    const last = phaseDurations(ended('p', { ...times, completedAt: at(16) }), now).at(-1);
    expect(last).toEqual({ phase: 'extracting', seconds: 1, ongoing: false });
  });
  test('cover queued and stale pulls', () => {
    const queued = pull('p', { phase: 'queued', queuedAt: at(2), startedAt: at(2) });
    expect(phaseDurations(queued, now)).toEqual([{ phase: 'queued', seconds: 18, ongoing: true }]);
    expect(elapsed(queued, now)).toBe(18);
    expect(elapsed(pull('p', { staleSince: at(7) }), now)).toBe(7);
  });
  test('are omitted when times are unordered', () => {
    const unordered = pull('p', { queuedAt: at(3600), downloadingAt: 'never', extractingAt: at(-5) });
    expect(phaseDurations(unordered, now).map(({ phase }) => phase)).toEqual(['extracting']);
    expect(elapsed(pull('p', { startedAt: at(3600) }), now)).toBeUndefined();
  });
});

describe('peers and queue', () => {
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
  test('peers are one pull per other node', () => {
    expect(peers(rows, own).map(({ id }) => id)).toEqual(['c', 'd', 'f', 'b']);
  });
  test('peers give the relative speed', () => {
    expect(compareToPeers(own, peers(rows, own))).toEqual({ factor: 0.25, nodes: 3 });
    expect(compareToPeers(own, [])).toBeUndefined();
    expect(compareToPeers(pull('x'), peers(rows, own))).toBeUndefined();
    expect(downloadSpeed(pull('x', { bytesPerSec: 3, stalledSince: at(1) }))).toBeUndefined();
    expect([median([]), median([3]), median([4, 1]), median([9, 1, 2])]).toEqual([undefined, 3, 2.5, 2]);
  });
  test('queue lists running and waiting pulls', () => {
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
  test('successor is the pull that supersedes it', () => {
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
  ])('%j is quoted as one word', (word, expected) => {
    expect(shellQuote(word)).toBe(expected);
  });

  test('bash reads back the original word', () => {
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
      const output = execFileSync('bash', ['-c', `printf %s ${shellQuote(word)}`], {
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C.UTF-8' },
      });
      expect(output).toBe(word);
    }
  });

  const texts = (row: Parameters<typeof pullCommands>[0]) =>
    pullCommands(row).flatMap(({ commands }) => commands.map(({ text }) => text));
  const pods = [{ namespace: 'shop', podName: 'web-0', uid: 'u', container: 'app', image: 'i' }];

  test('match the phase of the pull', () => {
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
  ] as const)('match the failure reason %s', (reason, expected) => {
    const failed = ended('a', { phase: 'failed', outcome: 'failed', failure: { reason }, pods });
    expect(texts(failed)).toContain(expected);
  });

  test('quote pod names that look like options', () => {
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
  ])('registry host of %s', (image, expected) => expect(registryHost(image)).toBe(expected));
});

test('control characters are escaped', () => {
  expect(escapeHidden('\u001b[31mred\u001b[0m\r\nnext\tline\u0007\u007f\u0085\u202e')).toBe(
    '\\x1b[31mred\\x1b[0m\nnext\tline\\x07\\x7f\\x85\\u202e',
  );
});

describe('layer label', () => {
  const row = pull('p', { downloadingAt: at(1) });
  const label = (more: Parameters<typeof layer>[1]) => {
    const { emphasis, text } = layerLabel(row, layer('a', more), iec);
    return [emphasis, text].filter(Boolean).join(' ');
  };
  test.each([
    [{ downloadedBytes: 355, bytesPerSec: 2048 }, /^35 % 2\.00 KiB\/s$/],
    [{ downloadedBytes: 1000, bytesPerSec: 0 }, /^99 % 0 B\/s$/],
    [{ state: 'extracting', unpackedBytes: 2048 }, / 2\.00 KiB$/],
    [{ state: 'complete', startedAt: at(1), completedAt: at(3.25) }, / 2\.2 s$/],
    [{ state: 'half_done' as 'complete' }, /^half done$/],
  ] as const)('%j has figures', (more, expected) => expect(label(more)).toMatch(expected));

  test('differs by state and by wait', () => {
    const states = ['cached', 'remote', 'waiting', 'downloading', 'extracting', 'complete'] as const;
    const waits = ['download_slot', 'shared_layer', 'parent_layer'] as const;
    const labels = [
      ...states.map((state) => label({ state })),
      ...waits.map((kind) => label({ state: 'waiting', waitingOn: { kind, since: at(1) } })),
    ];
    expect(new Set(labels).size).toBe(labels.length);
    for (const text of labels) expect(text).toMatch(/^\D+$/);
  });

  test('shows progress of a failed pull', () => {
    const failed = ended('p', { phase: 'failed', outcome: 'failed' });
    expect(layerLabel(failed, layer('a', { downloadedBytes: 355 }), iec).text).toMatch(/^35 % /);
    for (const state of ['waiting', 'extracting'] as const) {
      const text = layerLabel(failed, layer('a', { state }), iec).text;
      expect(text, state).not.toBe(label({ state }));
    }
  });

  test('has a long description', () => {
    const done = layer('a', {
      state: 'complete',
      startedAt: at(3),
      downloadedAt: at(5),
      extractingAt: at(6),
      completedAt: at(9),
    });
    // Waiting, downloading, waiting for the parent, extracting.
    expect(describeLayer(row, done, false, iec)).toMatch(/^\D+2\.0 s; \D+2\.0 s; \D+1\.0 s \D+; \D+3\.0 s$/);
    const half = layer('a', { downloadedBytes: 500 });
    const plain = describeLayer(row, half, false, iec);
    expect(plain).toMatch(/^50 %, \D+$/);
    expect(describeLayer(row, half, true, iec)).toMatch(new RegExp(`^${plain}; \\D+$`));
  });

  test.each([
    ['/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'],
    ['/bin/sh -c apt-get update', 'RUN apt-get update'],
    ['COPY . /app # buildkit', 'COPY . /app'],
    [' ', 'aaaaaaaaaaaa'],
    [undefined, 'aaaaaaaaaaaa'],
  ])('build step of %j is %s', (createdBy, expected) => {
    expect(buildStep(layer('a', createdBy === undefined ? {} : { createdBy }))).toBe(expected);
  });
});

describe('speed lane', () => {
  const sampled = (times: readonly number[], speed: (at: number) => number) =>
    times.reduce<readonly SpeedSample[]>(
      (found, when) => addSample(found, { at: when, speed: speed(when) }),
      [],
    );
  test('uses layer means before observation', () => {
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
    const found = meanSpeeds(pull('p'), layers, now).map(({ at: when, speed }) => [
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
  test('uses observed samples, split at gaps', () => {
    const steps: SpeedSample[] = [
      { at: 1000, speed: 10 },
      { at: 9000, speed: 5 },
    ];
    const samples = sampled([3000, 4000, 5000, 20_000, 21_000], (when) => (when === 5000 ? 90 : 20));
    const found = speedLane(steps, samples);
    expect(found.means).toEqual([
      { at: 1000, speed: 10 },
      { at: 3000, speed: 0 },
    ]);
    expect(found.observed.map((piece) => piece.length)).toEqual([3, 2]);
    expect(found.peak).toBe(90);
    expect(speedLane(steps, []).means).toEqual(steps);
    expect(speedLane([], [{ at: 1, speed: undefined }])).toEqual({ means: [], observed: [], peak: 0 });
  });
  test('thins out samples over time', () => {
    const times = Array.from({ length: 10_000 }, (_, index) => index * 250);
    const samples = sampled(times, (when) => when);
    expect(samples.length).toBeLessThanOrEqual(MAX_SAMPLES);
    expect(samples.at(-1)?.at).toBeGreaterThan(9_990 * 250);
    expect(samples[0]?.at).toBe(0);
    // Wider spacing is not a gap.
    expect(speedLane([], samples).observed.map((piece) => piece[0]?.at)).toEqual([0]);
  });
  test('keeps gaps when thinning out', () => {
    const times = Array.from({ length: 2_000 }, (_, index) => index * 500 + (index < 1_000 ? 0 : 60_000));
    const { observed } = speedLane(
      [],
      sampled(times, () => 1),
    );
    expect(observed).toHaveLength(2);
    expect(observed[1]?.[0]?.at).toBeGreaterThanOrEqual(560_000);
    const irregular = Array.from({ length: 10_000 }, (_, index) => index * 6_000);
    expect(sampled(irregular, () => 1).length).toBeLessThanOrEqual(MAX_SAMPLES);
  });
});

describe('insight', () => {
  const MiB = 1 << 20;
  const row = pull('p', { percent: 10 });
  const big = layer('a', { totalBytes: 90 * MiB, createdBy: 'RUN big' });
  const small = layer('b', { totalBytes: 10 * MiB });
  test('names the largest remaining layer', () => {
    expect(insight(row, [small, big], undefined, iec)).toEqual({
      headline: expect.stringMatching(/\b2 \D+90 % /),
      detail: '90.0 MiB',
      step: 'RUN big',
    });
    expect(insight(row, [big], undefined, iec)).toBeUndefined();
    const cached = layer('c', { state: 'cached' });
    // The only layer left: a share of the rest would be meaningless.
    expect(insight(row, [big, cached], undefined, iec)?.headline).toMatch(/\b1 \D+$/);
    expect(insight(row, [small, small, small], undefined, iec)).toBeUndefined();
  });
  test('reports a node slower than its peers', () => {
    const slower = insight(row, [big], { factor: 0.25, nodes: 3 }, iec);
    expect(slower?.headline).toMatch(/ 4\.0× /);
    expect(slower?.detail).toMatch(/ 3 /);
    expect(insight(row, [big], { factor: 0.25, nodes: 1 }, iec)).toBeUndefined();
  });
  test('names the layer being extracted', () => {
    const layers = [layer('a', { state: 'extracting' }), layer('b', { state: 'downloaded' })];
    expect(insight(pull('p', { phase: 'extracting' }), layers, undefined, iec)).toEqual({
      headline: expect.stringMatching(/ 1 /),
      detail: expect.stringMatching(/^1 /),
      step: undefined,
    });
  });
  test('names the slowest download of an ended pull', () => {
    const layers = [layer('a', { state: 'complete', startedAt: at(0), downloadedAt: at(4) })];
    expect(insight(ended('p'), layers, undefined, iec)?.headline).toMatch(/ 1 \D+4\.0 s \D+5\.0 s$/);
    expect(insight(ended('p', { toDownloadBytes: 0 }), [], undefined, iec)?.detail).toMatch(/ 5\.0 s$/);
    expect(insight(ended('p', { outcome: 'failed' }), layers, undefined, iec)).toBeUndefined();
  });
});
