// How fast a pull was while this page looked at it.

import { useEffect, useState } from 'react';
import { useLive } from '../../live/hooks';
import { type Sample, sampled } from '../../model/lane';
import { downloadSpeed } from '../../model/peers';
import { isLive } from '../../model/pull';

export function useSeen(id: string): readonly Sample[] {
  const { store } = useLive();
  const [samples, set] = useState<readonly Sample[]>([]);
  useEffect(() => {
    const take = () => {
      const row = store.row(id);
      if (row === undefined || !isLive(row) || store.paused()) return;
      set((before) => sampled(before, { at: store.now(), speed: downloadSpeed(row) }));
    };
    take();
    return store.onRow(id, take);
  }, [store, id]);
  return samples;
}
