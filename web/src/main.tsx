// Where the page begins.

import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { openEvents } from './api/events';
import { getJson } from './api/get';
import { LiveContext } from './live/hooks';
import { Live } from './live/live';
import { applySettings } from './settings';

// Before the first drawing, so that nothing flashes.
applySettings();

const live = new Live({ open: openEvents, get: getJson, random: Math.random });
live.stream.start();
document.addEventListener('visibilitychange', () => live.stream.visible(!document.hidden));
window.addEventListener('online', live.stream.start);

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <LiveContext value={live}>
        <App />
      </LiveContext>
    </StrictMode>,
  );
}
