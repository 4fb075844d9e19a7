// What is typed into a field that filters the pulls: at once in the field, and soon in the address. An address changes
// more slowly than people type, so a field that showed only that would lose letters.

import { useEffect, useRef, useState } from 'react';
import { look } from '../route';

const SOON_MS = 120;

/** `query`: what the address says. Gives what the field says, and takes what is typed; `now` does not wait. */
export function useFilterText(query: string): [text: string, type: (text: string, now?: boolean) => void] {
  const [shown, show] = useState({ text: query, query, sent: query });
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  if (shown.query !== query) {
    // Said by this field itself a moment ago, or by somebody else.
    show(shown.sent === query ? { ...shown, query } : { text: query, query, sent: query });
  }
  const send = (text: string) => {
    show((now) => ({ ...now, sent: text }));
    look({ q: text || undefined });
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (text: string, now = false) => {
    show((before) => ({ ...before, text }));
    clearTimeout(timer.current);
    if (now) send(text);
    else timer.current = setTimeout(() => send(text), SOON_MS);
  };
  return [shown.text, type];
}
