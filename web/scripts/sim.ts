// The built page on a story that runs: npm run sim -- --story NAME --port N --dist DIR --base PATH

import { parseArgs } from 'node:util';
import { FakeServer } from '../sim/server';
import { STORIES } from '../sim/stories';

export async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      story: { type: 'string', default: 'rollout' },
      port: { type: 'string', default: '8081' },
      dist: { type: 'string' },
      base: { type: 'string', default: '/' },
      list: { type: 'boolean', default: false },
    },
  });
  if (values.list) {
    for (const { name, shows } of STORIES) console.log(`${name.padEnd(24)}${shows}`);
    return;
  }
  const { story, base, dist, port } = values;
  const server = new FakeServer({ story, base, ...(dist ? { dist } : {}) });
  server.feed.run();
  console.log(await server.start(Number(port)));
}
