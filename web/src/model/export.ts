// Pulls as files for other programs.

import type { PullStatus } from '../api/gen/wire';
import { podNames } from './pods';

type Cell = string | number | boolean | undefined;

/** Amounts are bytes and seconds, times as the wire has them: what reads a file wants no units in its cells. */
const COLUMNS: readonly (readonly [name: string, cell: (pull: PullStatus) => Cell])[] = [
  ['id', ({ id }) => id],
  ['node', ({ nodeName }) => nodeName],
  ['image', (pull) => pull.imageRef ?? pull.repository],
  ['digest', (pull) => pull.rootDigest ?? pull.manifestDigest],
  ['phase', ({ phase }) => phase],
  [
    'pods',
    ({ pods }) =>
      podNames(pods)
        .map(({ pod }) => pod)
        .join(' '),
  ],
  ['attempt', ({ attempt }) => attempt],
  ['percent', ({ percent }) => percent],
  ['totalBytes', ({ totalBytes }) => totalBytes],
  ['cachedBytes', ({ cachedBytes }) => cachedBytes],
  ['toDownloadBytes', ({ toDownloadBytes }) => toDownloadBytes],
  ['downloadedBytes', ({ downloadedBytes }) => downloadedBytes],
  ['extractedBytes', ({ extractedBytes }) => extractedBytes],
  ['bytesPerSec', ({ bytesPerSec }) => bytesPerSec],
  ['etaSeconds', ({ etaSeconds }) => etaSeconds],
  ['layerCount', ({ layerCount }) => layerCount],
  ['layersDone', ({ layersDone }) => layersDone],
  ['queuedAt', ({ queuedAt }) => queuedAt],
  ['startedAt', ({ startedAt }) => startedAt],
  ['completedAt', ({ completedAt }) => completedAt],
  ['stalledSince', ({ stalledSince }) => stalledSince],
  ['staleSince', ({ staleSince }) => staleSince],
  ['waitingFor', ({ waitingOn }) => waitingOn?.kind],
  ['reason', ({ failure }) => failure?.reason],
  ['message', (pull) => pull.failure?.message ?? pull.error],
  ['nextRetryAt', ({ failure }) => failure?.nextRetryAt],
];

/** By RFC 4180. What is unknown is an empty cell. */
export function toCsv(pulls: readonly PullStatus[]): string {
  const lines = [
    COLUMNS.map(([name]) => name),
    ...pulls.map((pull) => COLUMNS.map(([, cell]) => text(cell(pull)))),
  ];
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`;
}

/** A spreadsheet computes a text that begins like this; after an apostrophe it is a text. */
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/;

function text(cell: Cell): string {
  if (cell === undefined) return '';
  if (typeof cell !== 'string') return String(cell);
  const tame = FORMULA.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
}

/** As the API tells them. */
export function toJson(pulls: readonly PullStatus[]): string {
  return `${JSON.stringify({ pulls }, undefined, 2)}\n`;
}
