// Sentences that the screens compose, in states that no story shows.

import type { WaitingOn } from '../../src/api/gen/wire';
import * as commands from '../../src/model/commands';
import { format } from '../../src/model/format';
import { insight } from '../../src/model/insight';
import { describeLayer, layerLabel } from '../../src/model/layers';
import { containerLabel, imageStateLabel, podsUnavailable } from '../../src/model/pod';
import { candidatesText, evidenceText, waitingPods } from '../../src/model/pods';
import {
  attemptText,
  failureText,
  kubeletDuration,
  noteText,
  pullNotes,
  retryText,
  sizeText,
  waitingText,
} from '../../src/model/pull';
import { describeDisconnect } from '../../src/ui/Connection';
import { at, ended, layer, pull } from './fixtures';
import { failed, link, surface } from './texts';

/** One line per case: its name and the text. */
const table = (cases: readonly (readonly [string, unknown])[]): string =>
  cases.map(([name, text]) => `${name}: ${text || '(none)'}`).join('\n');
const wait = (kind: string, more: Partial<WaitingOn> = {}): WaitingOn => ({
  kind: kind as WaitingOn['kind'],
  since: at(20),
  ...more,
});
const WAITS = [
  'download_slot',
  'registry',
  'parent_layer',
  'shared_layer',
  'kubelet_queue',
  'moon_phase',
] as const;
const now = Date.parse(at(30));
const iec = format('iec', 'utc');
const notes = (row: Parameters<typeof pullNotes>[0]) => pullNotes(row).map((note) => noteText(note, now));

surface('sentences', [
  [
    'waits',
    async () =>
      table(
        WAITS.flatMap((kind) => [
          [kind, waitingText(wait(kind))],
          [`${kind} of web:1`, waitingText(wait(kind, { layer: 'sha256:0123456789abcdef' }), 'web:1')],
        ]),
      ),
  ],
  [
    'notes',
    async () =>
      table([
        ['stale', notes(pull('a', { staleSince: at(1) }))],
        ['stale, time unknown', notes(pull('a', { staleSince: 'nonsense' }))],
        ['stalled', notes(pull('a', { stalledSince: at(10) }))],
        ['stalled unpacking', notes(pull('a', { stalledSince: at(10), phase: 'extracting' }))],
        ['slow', notes(pull('a', { slow: true }))],
        ['waiting', notes(pull('a', { waitingOn: wait('registry') }))],
        ['waiting, time unknown', notes(pull('a', { waitingOn: wait('registry', { since: '' }) }))],
      ]),
  ],
  [
    'attempts and retries',
    async () =>
      table([
        ...[undefined, 1, 2, 3, 4, 11, 21, 102, 111].map(
          (attempt) => [`attempt ${attempt}`, attemptText({ attempt })] as const,
        ),
        ...[12, 0, -20, -90].map((left) => [`retry due in ${left} s`, retryText(0, -left * 1000)] as const),
      ]),
  ],
  [
    'ended pulls',
    async () =>
      table([
        ['size', sizeText(ended('a', { layerCount: 7, cachedBytes: 200 }))],
        ['cached', sizeText(ended('a', { layerCount: 1, cachedBytes: 1000, toDownloadBytes: 0 }))],
        ['kubelet', kubeletDuration({ pullSeconds: 5.21, withWaitingSeconds: 7.19 })],
        ['failure without message', failureText(ended('a', { failure: { reason: 'unexplained' } }))],
        [
          'failure of an unknown reason',
          failureText(ended('a', { failure: { reason: 'new_word' as never, message: 'x' } })),
        ],
      ]),
  ],
  [
    'pods',
    async () =>
      table([
        ...['image_record', 'digest', 'learned_tag', 'event', 'only_candidate', 'by_the_stars'].map(
          (evidence) => [evidence, evidenceText({ evidence })] as const,
        ),
        ...[1, 2, 5].map(
          (count) =>
            [
              `${count} candidates`,
              candidatesText(waitingPods([...'abcde'].slice(0, count).map((name) => link(name)))),
            ] as const,
        ),
        ...['listing', 'forbidden', 'unauthorized', 'unreachable', 'odd', 'off', 'on_fire'].map(
          (pods) => [pods, podsUnavailable({ pods: pods as 'off', events: 'live' })] as const,
        ),
        ...['volume', 'init', 'sidecar', 'container', 'ephemeral', 'new_kind'].map(
          (kind) =>
            [
              kind,
              containerLabel({ kind: kind as 'init', container: 'a', image: '', state: 'pending' }),
            ] as const,
        ),
        ...['pending', 'queued', 'pulling', 'failed', 'present', 'new_state'].map(
          (state) => [state, imageStateLabel(state)] as const,
        ),
      ]),
  ],
  [
    'layers',
    async () => {
      const live = pull('p', { downloadingAt: at(1) });
      const over = failed('p');
      const states = [
        'cached',
        'remote',
        'waiting',
        'downloading',
        'downloaded',
        'extracting',
        'complete',
        'half_done',
      ] as const;
      const label = (row: typeof live, more: Parameters<typeof layer>[1]) => {
        const { emphasis, text } = layerLabel(row, layer('a', more), iec);
        return [emphasis, text].filter(Boolean).join(' ');
      };
      const done = layer('a', {
        state: 'complete',
        startedAt: at(3),
        downloadedAt: at(5),
        extractingAt: at(6),
        completedAt: at(9),
      });
      return table([
        ...states.flatMap((state) => [
          [state, label(live, { state: state as 'cached' })] as const,
          [`${state}, failed pull`, label(over, { state: state as 'cached', downloadedBytes: 355 })] as const,
        ]),
        ...WAITS.map(
          (kind) => [`waiting on ${kind}`, label(live, { state: 'waiting', waitingOn: wait(kind) })] as const,
        ),
        ['downloading', label(live, { downloadedBytes: 355, bytesPerSec: 2048 })],
        ['extracting', label(live, { state: 'extracting', unpackedBytes: 2048 })],
        ['complete', label(live, { state: 'complete', startedAt: at(1), completedAt: at(3.25) })],
        ['description, complete', describeLayer(live, done, false, iec)],
        ['description, critical', describeLayer(live, layer('a', { downloadedBytes: 500 }), true, iec)],
      ]);
    },
  ],
  [
    'insights',
    async () => {
      const MiB = 1 << 20;
      const row = pull('p', { percent: 10 });
      const big = layer('a', { totalBytes: 90 * MiB, createdBy: 'RUN big' });
      const small = layer('b', { totalBytes: 10 * MiB });
      const text = (...[of, layers, peers]: [typeof row, (typeof big)[], Parameters<typeof insight>[2]?]) => {
        const found = insight(of, layers, peers, iec);
        return found && [found.headline, found.detail, found.step].filter(Boolean).join(' | ');
      };
      return table([
        ['largest layer', text(row, [small, big])],
        ['last layer', text(row, [big, layer('c', { state: 'cached' })])],
        ['slower than peers', text(row, [big], { factor: 0.25, nodes: 3 })],
        [
          'extracting',
          text(pull('p', { phase: 'extracting' }), [
            layer('a', { state: 'extracting' }),
            layer('b', { state: 'downloaded' }),
          ]),
        ],
        [
          'ended',
          text(ended('p'), [layer('a', { state: 'complete', startedAt: at(0), downloadedAt: at(4) })]),
        ],
        ['ended, cached', text(ended('p', { toDownloadBytes: 0 }), [])],
      ]);
    },
  ],
  [
    'disconnects',
    async () =>
      table([
        ...(
          ['unauthorized', 'forbidden', 'not_found', 'unreachable', 'silent', 'ended', 'broken'] as const
        ).map((kind) => [kind, describeDisconnect({ kind })] as const),
        ['unavailable', describeDisconnect({ kind: 'unavailable', status: 503, detail: 'busy' })],
        ['refused', describeDisconnect({ kind: 'refused', status: 418 })],
      ]),
  ],
  [
    'places of commands',
    async () =>
      [
        ...commands.pullCommands(pull('a', { pods: [link('web')] })),
        ...commands.pullCommands(failed('a', { failure: { reason: 'tls' } })),
      ]
        .flatMap(({ place, commands: list }) => [
          place,
          ...list.map((each) => `  ${each.title}: ${each.text}`),
        ])
        .join('\n'),
  ],
]);
