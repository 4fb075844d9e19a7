// What is typed into a field that filters a page: at once in the field, and soon in the address. An address changes more
// slowly than people type, so a field that showed only that would lose letters.

import { useEffect, useRef, useState } from 'react';
import { href, look, route } from '../route';

const SOON_MS = 120;

/** Which page it is, and of what; not how it is looked at. */
function here(): string {
  const { page, path } = route();
  return href(page ?? 'overview', path);
}

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
  const type = (next: string, now = false) => {
    setText(next);
    clearTimeout(timer.current);
    const typed = here();
    const send = () => {
      // The reader has left the page meanwhile.
      if (here() !== typed) return;
      sent.current = next;
      look({ q: next || undefined });
    };
    if (now) send();
    else timer.current = setTimeout(send, SOON_MS);
  };
  return [text, type];
}
