// The most useful single observation about a pull.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { count, duration, type Format, parseInstant } from './format';
import type { PeerComparison } from './peers';
import { isFresh, isLive, pullDuration } from './pull';
import { remainingBytes } from './waterfall';

export interface Insight {
  headline: string;
  /** Supporting figures. */
  detail?: string;
  /** The build step of the layer concerned. */
  step?: string | undefined;
}

const LARGE_SHARE = 0.5;
/** Smaller remainders are not worth reporting. */
const MIN_BYTES = 1 << 20;
const SLOW_FACTOR = 0.5;

/** Returns undefined if there is no finding. */
export function insight(
  pull: PullStatus,
  layers: readonly LayerStatus[],
  comparison: PeerComparison | undefined,
  format: Format,
): Insight | undefined {
  if (!isLive(pull)) return pull.outcome === 'completed' ? endedInsight(pull, layers) : undefined;
  if (!isFresh(pull)) return undefined;
  return slowerThanPeers(comparison) ?? largestLayer(layers, format) ?? unpacking(pull, layers, format);
}

function slowerThanPeers(comparison: PeerComparison | undefined): Insight | undefined {
  if (comparison === undefined || comparison.nodes < 2 || comparison.factor > SLOW_FACTOR) return undefined;
  return {
    headline: `This node is ${(1 / comparison.factor).toFixed(1)}× slower than other nodes with the same image`,
    detail: `compared with the median of ${count(comparison.nodes, 'other node')}`,
  };
}

/** Reports a layer that holds most of the remaining bytes. */
function largestLayer(layers: readonly LayerStatus[], format: Format): Insight | undefined {
  const left = layers.map((layer) => remainingBytes(layer) ?? 0);
  const sum = left.reduce((all, each) => all + each, 0);
  const largest = Math.max(0, ...left);
  const index = left.indexOf(largest);
  const unfinished = left.filter((each) => each > 0).length;
  if (layers.length < 2 || largest < MIN_BYTES || largest / sum < LARGE_SHARE) return undefined;
  const part = `holds ${Math.min(99, Math.floor((largest / sum) * 100))} % of the remaining bytes`;
  return {
    headline: `Layer ${index + 1} ${unfinished === 1 ? 'is the only one left to download' : part}`,
    detail: format.bytes(largest),
    step: layers[index]?.createdBy,
  };
}

/** Reports extraction after the download has finished. */
function unpacking(pull: PullStatus, layers: readonly LayerStatus[], format: Format): Insight | undefined {
  const index = layers.findIndex(({ state }) => state === 'extracting');
  const layer = layers[index];
  if (pull.phase !== 'extracting' || layer === undefined) return undefined;
  const after = layers.filter(({ state }) => state === 'downloaded').length;
  return {
    headline: `Download complete; layer ${index + 1} is being extracted`,
    detail: after > 0 ? `${count(after, 'layer')} to extract after it` : format.bytes(layer.totalBytes),
    step: layer.createdBy,
  };
}

/** Reports how an ended pull spent its time. */
function endedInsight(pull: PullStatus, layers: readonly LayerStatus[]): Insight | undefined {
  const total = pullDuration(pull);
  if (total === undefined) return undefined;
  if (pull.toDownloadBytes === 0) {
    return { headline: 'No download needed', detail: `ready after ${duration(total)}` };
  }
  let longest = { index: -1, seconds: 0 };
  for (const [index, layer] of layers.entries()) {
    const [from, to] = [parseInstant(layer.startedAt), parseInstant(layer.downloadedAt)];
    const seconds = from === undefined || to === undefined ? 0 : (to - from) / 1000;
    if (seconds > longest.seconds) longest = { index, seconds };
  }
  const layer = layers[longest.index];
  if (layer === undefined || total < 2 || longest.seconds / total < LARGE_SHARE) return undefined;
  return {
    headline: `Downloading layer ${longest.index + 1} took ${duration(longest.seconds)} of ${duration(total)}`,
    step: layer.createdBy,
  };
}
