// All stories, by their names.

import { onePull } from './few';
import { rollout } from './rollout';
import type { Story } from './story';

export type { Story } from './story';

export const STORIES: readonly Story[] = [rollout, onePull];

export function storyOf(name: string): Story {
  const found = STORIES.find((story) => story.name === name);
  if (!found) throw new Error(`no story ${name}: there are ${STORIES.map((each) => each.name).join(', ')}`);
  return found;
}
