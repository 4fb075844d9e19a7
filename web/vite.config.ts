import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { simulation } from './sim/dev.ts';

/** The server whose API the page is developed against; without one a story of the simulation answers. */
const real = process.env.PULLTRACE_URL;
const story = process.env.PULLTRACE_STORY ?? 'rollout';

// Nothing may be inlined: the page runs under a policy that allows files of its own origin only.
export default defineConfig({
  base: './',
  plugins: [react(), ...(real ? [] : [simulation(story)])],
  build: {
    target: 'es2023',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // 2 % smaller than the default, which `npm run size` counts.
    minify: 'terser',
    terserOptions: { module: true, ecma: 2020, compress: { passes: 3 } },
  },
  // A page that comes later needs it, and the development server would load the page anew for it.
  optimizeDeps: { include: ['@tanstack/react-virtual'] },
  // Names of classes are in scripts too: short ones, of which no two of the page's are the same.
  css: { modules: { generateScopedName: '[hash:base64:5]' } },
  server: real ? { proxy: { '/api': real } } : {},
});
