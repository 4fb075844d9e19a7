// Where the page begins.

import './styles/tokens.css';
import './styles/base.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { openEvents } from './api/events';
import { LiveContext } from './live/hooks';
import { Store } from './live/store';
import { Stream } from './live/stream';
import { applyTheme } from './ui/Theme';

applyTheme();

const store = new Store();
const stream = new Stream(store, { open: openEvents, random: Math.random });
stream.start();
document.addEventListener('visibilitychange', () => stream.visible(!document.hidden));
window.addEventListener('online', stream.start);

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <LiveContext value={{ store, stream }}>
        <App />
      </LiveContext>
    </StrictMode>,
  );
}
