// Runs the exported `main` of a TypeScript file: node scripts/run.mjs FILE [ARGUMENTS]

import { resolve } from 'node:path';
import { runnerImport } from 'vite';

const [file = '', ...args] = process.argv.slice(2);
const { module } = await runnerImport(resolve(file), { configFile: false, logLevel: 'warn' });
await module.main(args);
