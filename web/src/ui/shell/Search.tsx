// Search for pods, images, nodes and pages. Also filters pulls: in place on the pulls page,
// otherwise as the first option.

import { type KeyboardEvent, useId, useRef, useState } from 'react';
import { useLive } from '../../live/hooks';
import { type SearchHit, type SearchHitKind, search } from '../../model/search';
import { escapeHidden } from '../../model/text';
import { href, navigate, PAGES, type Page, type Route } from '../../route';
import { useFilterInput } from '../filterText';
import { Icon, type IconName } from '../Icon';
import styles from './Search.module.css';

interface Option {
  key: string;
  icon: IconName;
  /** The kind of result; shown beside the first option of each kind. */
  kind: string;
  text: string;
  context: string;
  href: string;
}

const HIT_KINDS: Record<
  SearchHitKind,
  { kind: string; icon: IconName; toHref: (target: readonly string[]) => string }
> = {
  pod: { kind: 'Pods', icon: 'pod', toHref: (target) => href('pods', target) },
  image: { kind: 'Images', icon: 'image', toHref: (target) => href('images', [], { q: target.join(' ') }) },
  node: { kind: 'Nodes', icon: 'node', toHref: (target) => href('nodes', target) },
  page: { kind: 'Pages', icon: 'chevron', toHref: ([page]) => href(page as Page) },
};

/** Pods have no list page; they are found by name. */
const PAGE_NAMES = PAGES.filter((page) => page !== 'pods').map(
  (page) => [page, `${page[0]?.toUpperCase()}${page.slice(1)}`] as const,
);

const toOption = ({ kind, text, context, target }: SearchHit): Option => ({
  key: `${kind} ${target.join(' ')}`,
  icon: HIT_KINDS[kind].icon,
  kind: HIT_KINDS[kind].kind,
  text: escapeHidden(text),
  context: escapeHidden(context),
  href: HIT_KINDS[kind].toHref(target),
});

export function Search({ route }: { route: Route }) {
  const onPulls = route.page === 'pulls' && route.path.length === 0;
  const [filter, setFilter] = useFilterInput(onPulls ? (route.query.get('q') ?? '') : '');
  // On other pages, the text is local to this field.
  const [draft, setDraft] = useState({ page: route.page, text: '' });
  const setQuery = (text: string) => setDraft({ page: route.page, text });
  // The same component on all pages, so that it keeps the focus across navigation.
  return onPulls ? (
    <SearchField text={filter} setText={setFilter} filtersPulls />
  ) : (
    <SearchField text={draft.page === route.page ? draft.text : ''} setText={setQuery} filtersPulls={false} />
  );
}

interface FieldProps {
  text: string;
  setText: (text: string) => void;
  /** True on the pulls page: typing filters the table. */
  filtersPulls: boolean;
}

function SearchField({ text, setText, filtersPulls }: FieldProps) {
  const { store } = useLive();
  const [options, setOptions] = useState<readonly Option[]>([]);
  const [selected, setSelected] = useState(0);
  const [open, setOpen] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();

  const updateOptions = (next: string) => {
    const { rows, nodes } = store.dataset();
    const hits = search(next, rows.values(), nodes.keys(), PAGE_NAMES).map(toOption);
    const filter: Option = {
      key: 'filter',
      icon: 'search',
      kind: 'Pulls',
      text: `Filter pulls by “${next.trim()}”`,
      context: '',
      href: href('pulls', [], { q: next.trim() }),
    };
    setOptions(next.trim() === '' || filtersPulls ? hits : [filter, ...hits]);
    // If typing filters already, Enter selects nothing by default.
    setSelected(filtersPulls ? -1 : 0);
    setOpen(next.trim() !== '');
  };
  const close = () => setOpen(false);
  const choose = (chosen: Option) => {
    close();
    input.current?.blur();
    if (!filtersPulls) setText('');
    navigate(chosen.href);
  };
  const moveSelection = (delta: 1 | -1) => {
    const from = selected < 0 && delta < 0 ? 0 : selected;
    if (open && options.length > 0) setSelected((from + delta + options.length) % options.length);
    else updateOptions(text);
  };
  const handleKey = (key: string): boolean => {
    const chosen = open ? options[selected] : undefined;
    switch (key) {
      case 'ArrowDown':
        moveSelection(1);
        return true;
      case 'ArrowUp':
        moveSelection(-1);
        return true;
      case 'Enter':
        if (chosen) choose(chosen);
        else close();
        return true;
      case 'Escape':
        if (open) close();
        else if (text !== '') setText('');
        else input.current?.blur();
        return true;
      default:
        return false;
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing || !handleKey(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  };
  const isListShown = open && options.length > 0;
  return (
    // biome-ignore lint/a11y/useSemanticElements: not all screen readers support the search element.
    <div className={styles.search} role="search">
      <Icon name="search" />
      <input
        ref={input}
        id="search"
        type="text"
        role="combobox"
        aria-label="Search"
        aria-expanded={isListShown}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={isListShown && selected >= 0 ? `${list}-${selected}` : undefined}
        placeholder="Pod, image, node or filter"
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          updateOptions(event.target.value);
        }}
        onKeyDown={onKeyDown}
        // Typing replaces the previous search.
        onFocus={(event) => event.target.select()}
        onBlur={close}
      />
      <kbd>/</kbd>
      <div id={list} role="listbox" aria-label="Suggestions" className={styles.list} hidden={!isListShown}>
        {isListShown &&
          options.map((option, index) => (
            <div
              key={option.key}
              id={`${list}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === selected}
              data-href={option.href}
              className={styles.option}
              ref={index === selected ? scrollIntoView : undefined}
              // Keep the focus in the field.
              onPointerDown={(event) => event.preventDefault()}
              onClick={() => choose(option)}
              onKeyDown={onKeyDown}
            >
              <Icon name={option.icon} />
              <span className={styles.text}>{option.text}</span>
              <span className={styles.beside}>{option.context}</span>
              <span className={styles.kind}>{option.kind !== options[index - 1]?.kind && option.kind}</span>
            </div>
          ))}
      </div>
    </div>
  );
}

/** jsdom has no layout, so `scrollIntoView` is missing in tests. */
const scrollIntoView = (element: HTMLElement | null): void => element?.scrollIntoView?.({ block: 'nearest' });
