// Export of pulls as CSV and JSON.

import type { PullStatus } from '../api/gen/wire';
import { waitingPods } from './pods';

type CellValue = string | number | boolean | undefined;

/** Sizes are in bytes, durations in seconds, times as on the wire: cells carry no units. */
const COLUMNS: readonly (readonly [name: string, cell: (pull: PullStatus) => CellValue])[] = [
  ['id', ({ id }) => id],
  ['node', ({ nodeName }) => nodeName],
  ['image', (pull) => pull.imageRef ?? pull.repository],
  ['digest', (pull) => pull.rootDigest ?? pull.manifestDigest],
  ['phase', ({ phase }) => phase],
  [
    'pods',
    ({ pods }) =>
      waitingPods(pods)
        .map(({ fullName }) => fullName)
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

/** Formats pulls as CSV (RFC 4180). Unknown values are empty. */
export function toCsv(pulls: readonly PullStatus[]): string {
  const lines = [
    COLUMNS.map(([name]) => name),
    ...pulls.map((pull) => COLUMNS.map(([, cell]) => csvField(cell(pull)))),
  ];
  return `${lines.map((line) => line.join(',')).join('\r\n')}\r\n`;
}

/** Spreadsheets evaluate such text as a formula; a leading apostrophe prevents that. */
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/;

function csvField(cell: CellValue): string {
  if (cell === undefined) return '';
  if (typeof cell !== 'string') return String(cell);
  const escaped = FORMULA.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(escaped) ? `"${escaped.replaceAll('"', '""')}"` : escaped;
}

/** Formats pulls as the API returns them. */
export function toJson(pulls: readonly PullStatus[]): string {
  return `${JSON.stringify({ pulls }, undefined, 2)}\n`;
}
