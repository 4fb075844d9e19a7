// Entry point of the page.

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

// Applied before the first render to avoid a flash of the wrong theme.
applySettings();

const live = new Live({ open: openEvents, get: getJson, random: Math.random });
live.stream.start();
document.addEventListener('visibilitychange', () => live.stream.setVisible(!document.hidden));
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
