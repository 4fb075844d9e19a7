// Serves the built page with a running story: npm run sim -- --story NAME --port N --dist DIR
// --base PATH

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
    for (const { name, description } of STORIES) console.log(`${name.padEnd(24)}${description}`);
    return;
  }
  const { story, base, dist, port } = values;
  const server = new FakeServer({ story, base, ...(dist ? { dist } : {}) });
  server.feed.run();
  console.log(await server.start(Number(port)));
}
