// What is typed into a field that filters the pulls: at once in the field, and soon in the address. An address changes
// more slowly than people type, so a field that showed only that would lose letters.

import { useEffect, useRef, useState } from 'react';
import { look, route } from '../route';

const SOON_MS = 120;

/** `query`: what the address says. Gives what the field says, and takes what is typed; `now` does not wait. */
export function useFilterText(query: string): [text: string, type: (text: string, now?: boolean) => void] {
  const [text, setText] = useState(query);
  const sent = useRef(query);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // A link, the way back, or another field says another one: what was typed here last is of the past.
  useEffect(() => {
    if (sent.current === query) return;
    sent.current = query;
    clearTimeout(timer.current);
    setText(query);
  }, [query]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const send = (next: string) => {
    const { page, path } = route();
    // The reader has left the table meanwhile.
    if (page !== 'pulls' || path.length > 0) return;
    sent.current = next;
    look({ q: next || undefined });
  };
  const type = (next: string, now = false) => {
    setText(next);
    clearTimeout(timer.current);
    if (now) send(next);
    else timer.current = setTimeout(() => send(next), SOON_MS);
  };
  return [text, type];
}
