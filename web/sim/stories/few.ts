// One thing each: a state of a pull, alone.

import { container, pod } from '../plan';
import { played, small } from './story';

export const onePull = played(
  { name: 'one-pull', shows: 'One pull of an image of 12 layers, halfway', from: 14 },
  () =>
    small('one-pull', [
      pod('ml-serving', 'inference', 0, 'gpu-worker-01', 0, [
        container('inference', 'ghcr.io/acme/ml-inference:2.4.1'),
      ]),
    ]),
);
