import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// Nothing may be inlined: the page runs under a policy that allows files of its own origin only.
export default defineConfig({
  base: './',
  plugins: [react()],
  build: {
    target: 'es2023',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/api': process.env.PULLTRACE_URL ?? 'http://127.0.0.1:8080' },
  },
});
