// All stories by name.

import { crowd } from './crowd';
import { failed } from './failed';
import { hostile } from './hostile';
import { rollout } from './rollout';
import * as servers from './servers';
import * as singlePulls from './singlePulls';
import type { Story } from './story';

export type { Story } from './story';

export const STORIES: readonly Story[] = [
  rollout,
  ...Object.values(singlePulls),
  failed,
  ...Object.values(servers),
  hostile,
  crowd,
];

export function storyByName(name: string): Story {
  const found = STORIES.find((story) => story.name === name);
  if (!found)
    throw new Error(`unknown story ${name}: expected one of ${STORIES.map((each) => each.name).join(', ')}`);
  return found;
}
