// State of a filter field: updated at once in the field, debounced in the URL. The URL lags behind
// typing, so a field bound to it directly would lose letters.

import { useEffect, useRef, useState } from 'react';
import { currentRoute, href, updateQuery } from '../route';

const DEBOUNCE_MS = 120;

/** The current page without its query. */
function currentPage(): string {
  const { page, path } = currentRoute();
  return href(page ?? 'overview', path);
}

/**
 * Returns the text of the field and a setter. `query` is the filter in the URL; `immediate` skips
 * the debounce.
 */
export function useFilterInput(
  query: string,
): [text: string, setQuery: (text: string, immediate?: boolean) => void] {
  const [text, setText] = useState(query);
  const applied = useRef(query);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // Navigation or another field changed the URL: discard local edits.
  useEffect(() => {
    if (applied.current === query) return;
    applied.current = query;
    clearTimeout(timer.current);
    setText(query);
  }, [query]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const setQuery = (next: string, immediate = false) => {
    setText(next);
    clearTimeout(timer.current);
    const typedOn = currentPage();
    const apply = () => {
      // The user has left the page.
      if (currentPage() !== typedOn) return;
      applied.current = next;
      updateQuery({ q: next || undefined });
    };
    if (immediate) apply();
    else timer.current = setTimeout(apply, DEBOUNCE_MS);
  };
  return [text, setQuery];
}
