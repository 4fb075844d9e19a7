import { defineConfig } from 'vitest/config';

// Over a real server: started by `cargo test -p pulltrace-testkit --test fleet -- page_stays_correct`.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/e2e/real.ts'],
    testTimeout: 180_000,
    hookTimeout: 60_000,
  },
});
