// Speed samples of a pull, recorded while its page is open.

import { useEffect, useState } from 'react';
import { useLive } from '../../live/hooks';
import { addSample, type SpeedSample } from '../../model/lane';
import { downloadSpeed } from '../../model/peers';
import { isLive } from '../../model/pull';

export function useSpeedSamples(id: string): readonly SpeedSample[] {
  const { store } = useLive();
  const [samples, set] = useState<readonly SpeedSample[]>([]);
  useEffect(() => {
    const addCurrent = () => {
      const row = store.row(id);
      if (row === undefined || !isLive(row) || store.paused()) return;
      set((previous) => addSample(previous, { at: store.serverNow(), speed: downloadSpeed(row) }));
    };
    addCurrent();
    return store.onRow(id, addCurrent);
  }, [store, id]);
  return samples;
}
