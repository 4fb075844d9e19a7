import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { simulationPlugin } from './sim/dev.ts';

/** URL of a server to proxy the API to; without it, a simulated story is served. */
const real = process.env.PULLTRACE_URL;
const story = process.env.PULLTRACE_STORY ?? 'rollout';

// Nothing is inlined: the content security policy allows only files of the same origin.
export default defineConfig({
  base: './',
  plugins: [react(), ...(real ? [] : [simulationPlugin(story)])],
  build: {
    target: 'es2023',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // 2 % smaller than the default minifier, as measured by `npm run size`.
    minify: 'terser',
    terserOptions: { module: true, ecma: 2020, compress: { passes: 3 } },
  },
  // Used by lazily loaded pages; without this the dev server would reload the page on first use.
  optimizeDeps: { include: ['@tanstack/react-virtual'] },
  // Class names also appear in scripts, so they are short. No two of the page collide.
  css: { modules: { generateScopedName: '[hash:base64:5]' } },
  server: real ? { proxy: { '/api': real } } : {},
});
