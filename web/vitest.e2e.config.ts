import { defineConfig } from 'vitest/config';

// Tests in a real browser against the built page: run `npm run build` first.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/e2e/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
