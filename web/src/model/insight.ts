// The one thing about a pull that a reader would find by looking for a while.

import type { LayerStatus, PullStatus } from '../api/gen/wire';
import { count, duration, type Format, instant } from './format';
import type { Compared } from './peers';
import { isLive, isSeen, took } from './pull';
import { leftOf } from './waterfall';

export interface Insight {
  /** The finding. */
  what: string;
  /** The figures that it rests on. */
  more?: string;
  /** The build step that it is about. */
  step?: string | undefined;
}

const MOST = 0.5;
/** Nothing is said of what is over in a moment. */
const WORTH_BYTES = 1 << 20;
const SLOW = 0.5;

/** Undefined where nothing stands out. */
export function insight(
  pull: PullStatus,
  layers: readonly LayerStatus[],
  compared: Compared | undefined,
  format: Format,
): Insight | undefined {
  if (!isLive(pull)) return pull.outcome === 'completed' ? ofPast(pull, layers) : undefined;
  if (!isSeen(pull)) return undefined;
  return slower(compared) ?? heaviest(layers, format) ?? unpacking(pull, layers, format);
}

function slower(compared: Compared | undefined): Insight | undefined {
  if (compared === undefined || compared.nodes < 2 || compared.factor > SLOW) return undefined;
  return {
    what: `This node is ${(1 / compared.factor).toFixed(1)} times slower than others with the same image`,
    more: `the median of ${count(compared.nodes, 'other node')} is what it is compared with`,
  };
}

/** One layer holds most of what is to come. */
function heaviest(layers: readonly LayerStatus[], format: Format): Insight | undefined {
  const left = layers.map((layer) => leftOf(layer) ?? 0);
  const sum = left.reduce((all, each) => all + each, 0);
  const most = Math.max(0, ...left);
  const index = left.indexOf(most);
  const open = left.filter((each) => each > 0).length;
  if (layers.length < 2 || most < WORTH_BYTES || most / sum < MOST) return undefined;
  const part = `holds ${Math.min(99, Math.floor((most / sum) * 100))} % of what is left`;
  return {
    what: `Layer ${index + 1} ${open === 1 ? 'is all that is left to download' : part}`,
    more: format.bytes(most),
    step: layers[index]?.createdBy,
  };
}

/** All bytes are here. */
function unpacking(pull: PullStatus, layers: readonly LayerStatus[], format: Format): Insight | undefined {
  const index = layers.findIndex(({ state }) => state === 'extracting');
  const layer = layers[index];
  if (pull.phase !== 'extracting' || layer === undefined) return undefined;
  const after = layers.filter(({ state }) => state === 'downloaded').length;
  return {
    what: `All bytes are here, and layer ${index + 1} is being unpacked`,
    more: after > 0 ? `${count(after, 'layer')} after it, one by one` : format.bytes(layer.totalBytes),
    step: layer.createdBy,
  };
}

/** What an ended pull spent its time with. */
function ofPast(pull: PullStatus, layers: readonly LayerStatus[]): Insight | undefined {
  const whole = took(pull);
  if (whole === undefined) return undefined;
  if (pull.toDownloadBytes === 0) {
    return { what: 'Nothing had to be downloaded', more: `it was ready after ${duration(whole)}` };
  }
  let longest = { index: -1, seconds: 0 };
  for (const [index, layer] of layers.entries()) {
    const [from, to] = [instant(layer.startedAt), instant(layer.downloadedAt)];
    const seconds = from === undefined || to === undefined ? 0 : (to - from) / 1000;
    if (seconds > longest.seconds) longest = { index, seconds };
  }
  const layer = layers[longest.index];
  if (layer === undefined || whole < 2 || longest.seconds / whole < MOST) return undefined;
  return {
    what: `Layer ${longest.index + 1} was downloaded for ${duration(longest.seconds)} of the ${duration(whole)}`,
    step: layer.createdBy,
  };
}
