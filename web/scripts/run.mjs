// Runs a TypeScript file: node scripts/run.mjs FILE [ARGUMENTS]. It exports `main`, which is given the arguments.

import { resolve } from 'node:path';
import { runnerImport } from 'vite';

const [file = '', ...args] = process.argv.slice(2);
const { module } = await runnerImport(resolve(file), { configFile: false, logLevel: 'warn' });
await module.main(args);
