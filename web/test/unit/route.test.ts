import { afterEach, expect, test, vi } from 'vitest';
import { currentRoute, href, navigate, parseRoute, updateQuery } from '../../src/route';

afterEach(() => {
  window.location.hash = '';
});

test('hash parses into page, path and query', () => {
  expect(parseRoute('')).toMatchObject({ page: 'overview', path: [] });
  expect(parseRoute('#/')).toMatchObject({ page: 'overview', path: [] });
  const found = parseRoute('#/pulls/a%2Fb?q=node:a&sort=-speed');
  expect(found).toMatchObject({ page: 'pulls', path: ['a/b'] });
  expect([...found.query]).toEqual([
    ['q', 'node:a'],
    ['sort', '-speed'],
  ]);
  expect(parseRoute('#/nothing').page).toBeUndefined();
});

test('path and query survive a round trip', () => {
  const path = ['prod', 'odd/name?&#%é "x"'];
  const q = 'image:a/b?c "two words" #5 100%';
  const found = parseRoute(href('pods', path, { q, sort: undefined, group: '' }));
  expect(found.path).toEqual(path);
  expect([...found.query]).toEqual([['q', q]]);
  expect(href('overview')).toBe('#/');
  expect(href('overview', [], { group: 'node' })).toBe('#/?group=node');
});

test('unencoded path is kept as is', () => {
  expect(parseRoute('#/pulls/100%').path).toEqual(['100%']);
});

test('updateQuery replaces the history entry', () => {
  navigate('#/pulls?q=a&sort=eta');
  const steps = window.history.length;
  const listener = vi.fn();
  window.addEventListener('hashchange', listener);
  updateQuery({ q: 'b c', sort: undefined });
  expect(window.location.hash).toBe('#/pulls?q=b+c');
  expect(currentRoute().query.get('q')).toBe('b c');
  expect(window.history.length).toBe(steps);
  expect(listener).toHaveBeenCalledTimes(1);
  updateQuery({ q: 'b c' });
  expect(listener).toHaveBeenCalledTimes(1);
  window.removeEventListener('hashchange', listener);
});
