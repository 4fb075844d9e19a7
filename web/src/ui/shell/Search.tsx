// One field to find anything: a pod, an image, a node, a page. What is typed also filters the pulls, which are filtered
// at once where they are what is looked at.

import { type KeyboardEvent, useId, useRef, useState } from 'react';
import { useLive } from '../../live/hooks';
import { find, type Hit, type HitKind } from '../../model/search';
import { visible } from '../../model/text';
import { go, href, PAGES, type Page, type Route } from '../../route';
import { useFilterText } from '../filterText';
import { Icon, type IconName } from '../Icon';
import styles from './Search.module.css';

interface Option {
  key: string;
  icon: IconName;
  /** What kind of thing it is: the heading over the first of them. */
  kind: string;
  text: string;
  beside: string;
  href: string;
}

const KINDS: Record<HitKind, { kind: string; icon: IconName; to: (of: readonly string[]) => string }> = {
  pod: { kind: 'Pods', icon: 'pod', to: (of) => href('pods', of) },
  image: { kind: 'Images', icon: 'image', to: (of) => href('images', [], { q: of.join(' ') }) },
  node: { kind: 'Nodes', icon: 'node', to: (of) => href('nodes', of) },
  page: { kind: 'Pages', icon: 'chevron', to: ([page]) => href(page as Page) },
};

/** A pod is reached by its name. */
const NAMED = PAGES.filter((page) => page !== 'pods').map(
  (page) => [page, `${page[0]?.toUpperCase()}${page.slice(1)}`] as const,
);

const option = ({ kind, text, beside, of }: Hit): Option => ({
  key: `${kind} ${of.join(' ')}`,
  icon: KINDS[kind].icon,
  kind: KINDS[kind].kind,
  text: visible(text),
  beside: visible(beside),
  href: KINDS[kind].to(of),
});

export function Search({ route }: { route: Route }) {
  const onPulls = route.page === 'pulls' && route.path.length === 0;
  const [filter, typeFilter] = useFilterText(onPulls ? (route.query.get('q') ?? '') : '');
  // On another page what is typed is of this field alone.
  const [own, typeOwn] = useState({ of: route.page, text: '' });
  const type = (text: string) => typeOwn({ of: route.page, text });
  // One field on all pages: who is in it while the page changes, stays in it.
  return onPulls ? (
    <Field text={filter} type={typeFilter} filters />
  ) : (
    <Field text={own.of === route.page ? own.text : ''} type={type} filters={false} />
  );
}

interface FieldProps {
  text: string;
  type: (text: string) => void;
  /** Whether the pulls are filtered already by what is typed. */
  filters: boolean;
}

function Field({ text, type, filters }: FieldProps) {
  const { store } = useLive();
  const [options, setOptions] = useState<readonly Option[]>([]);
  const [at, setAt] = useState(0);
  const [open, setOpen] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();

  const look = (next: string) => {
    const { rows, nodes } = store.all();
    const hits = find(next, rows.values(), nodes.keys(), NAMED).map(option);
    const filter: Option = {
      key: 'filter',
      icon: 'search',
      kind: 'Pulls',
      text: `Filter pulls by “${next.trim()}”`,
      beside: '',
      href: href('pulls', [], { q: next.trim() }),
    };
    setOptions(next.trim() === '' || filters ? hits : [filter, ...hits]);
    // Where typing filters already, Enter need not lead away.
    setAt(filters ? -1 : 0);
    setOpen(next.trim() !== '');
  };
  const close = () => setOpen(false);
  const take = (chosen: Option) => {
    close();
    input.current?.blur();
    if (!filters) type('');
    go(chosen.href);
  };
  const step = (by: 1 | -1) => {
    const from = at < 0 && by < 0 ? 0 : at;
    if (open && options.length > 0) setAt((from + by + options.length) % options.length);
    else look(text);
  };
  const act = (key: string): boolean => {
    const chosen = open ? options[at] : undefined;
    switch (key) {
      case 'ArrowDown':
        step(1);
        return true;
      case 'ArrowUp':
        step(-1);
        return true;
      case 'Enter':
        if (chosen) take(chosen);
        else close();
        return true;
      case 'Escape':
        if (open) close();
        else if (text !== '') type('');
        else input.current?.blur();
        return true;
      default:
        return false;
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing || !act(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const shown = open && options.length > 0;
  return (
    // biome-ignore lint/a11y/useSemanticElements: not all that reads pages aloud knows the newer element.
    <div className={styles.search} role="search">
      <Icon name="search" />
      <input
        ref={input}
        id="search"
        type="text"
        role="combobox"
        aria-label="Search"
        aria-expanded={shown}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={shown && at >= 0 ? `${list}-${at}` : undefined}
        placeholder="Pod, image, node or filter"
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          type(event.target.value);
          look(event.target.value);
        }}
        onKeyDown={onKeyDown}
        // What is typed next is another search.
        onFocus={(event) => event.target.select()}
        onBlur={close}
      />
      <kbd>/</kbd>
      <div id={list} role="listbox" aria-label="What it may be" className={styles.list} hidden={!shown}>
        {shown &&
          options.map((each, index) => (
            <div
              key={each.key}
              id={`${list}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === at}
              className={styles.option}
              ref={index === at ? intoView : undefined}
              // The field keeps the focus.
              onPointerDown={(event) => event.preventDefault()}
              onClick={() => take(each)}
              onKeyDown={onKeyDown}
            >
              <Icon name={each.icon} />
              <span className={styles.text}>{each.text}</span>
              <span className={styles.beside}>{each.beside}</span>
              <span className={styles.kind}>{each.kind !== options[index - 1]?.kind && each.kind}</span>
            </div>
          ))}
      </div>
    </div>
  );
}

/** jsdom has no layout, and so nothing to scroll. */
const intoView = (element: HTMLElement | null): void => element?.scrollIntoView?.({ block: 'nearest' });
