import { afterEach, expect, test, vi } from 'vitest';
import { go, href, look, parse, route } from '../../src/route';

afterEach(() => {
  window.location.hash = '';
});

test('an address names a page, what it is of, and how it is looked at', () => {
  expect(parse('')).toMatchObject({ page: 'overview', path: [] });
  expect(parse('#/')).toMatchObject({ page: 'overview', path: [] });
  const found = parse('#/pulls/a%2Fb?q=node:a&sort=-speed');
  expect(found).toMatchObject({ page: 'pulls', path: ['a/b'] });
  expect([...found.query]).toEqual([
    ['q', 'node:a'],
    ['sort', '-speed'],
  ]);
  expect(parse('#/nothing').page).toBeUndefined();
});

test('what is written into an address is read from it again', () => {
  const path = ['prod', 'odd/name?&#%é "x"'];
  const q = 'image:a/b?c "two words" #5 100%';
  const found = parse(href('pods', path, { q, sort: undefined, group: '' }));
  expect(found.path).toEqual(path);
  expect([...found.query]).toEqual([['q', q]]);
  expect(href('overview')).toBe('#/');
  expect(href('overview', [], { group: 'node' })).toBe('#/?group=node');
});

test('an address that nobody encoded is taken as it is', () => {
  expect(parse('#/pulls/100%').path).toEqual(['100%']);
});

test('another look replaces the address and keeps the rest of it', () => {
  go('#/pulls?q=a&sort=eta');
  const steps = window.history.length;
  const heard = vi.fn();
  window.addEventListener('hashchange', heard);
  look({ q: 'b c', sort: undefined });
  expect(window.location.hash).toBe('#/pulls?q=b+c');
  expect(route().query.get('q')).toBe('b c');
  expect(window.history.length).toBe(steps);
  expect(heard).toHaveBeenCalledTimes(1);
  look({ q: 'b c' });
  expect(heard).toHaveBeenCalledTimes(1);
  window.removeEventListener('hashchange', heard);
});
