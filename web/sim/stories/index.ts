// All stories, by their names.

import { crowd } from './crowd';
import { failed } from './failed';
import * as few from './few';
import { hostile } from './hostile';
import { rollout } from './rollout';
import * as servers from './servers';
import type { Story } from './story';

export type { Story } from './story';

export const STORIES: readonly Story[] = [
  rollout,
  ...Object.values(few),
  failed,
  ...Object.values(servers),
  hostile,
  crowd,
];

export function storyOf(name: string): Story {
  const found = STORIES.find((story) => story.name === name);
  if (!found) throw new Error(`no story ${name}: there are ${STORIES.map((each) => each.name).join(', ')}`);
  return found;
}
