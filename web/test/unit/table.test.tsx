import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';
import { type Column, Table } from '../../src/ui/Table';

interface Thing {
  name: string;
  size: number;
}

let drawn: string[] = [];
const COLUMNS: readonly Column<Thing>[] = [
  {
    key: 'name',
    name: 'Name',
    sortValue: ({ name }) => name,
    cell: ({ name, size }) => {
      drawn.push(name);
      return `${name} of ${size}`;
    },
  },
];
const keyOf = ({ name }: Thing): string => name;
const rowOf = ({ name }: Thing) => ({ 'data-thing': name });
const SORT = { key: 'name', descending: false };

const table = (items: readonly Thing[]) => (
  <Table
    label="Things"
    columns={COLUMNS}
    items={items}
    keyOf={keyOf}
    sort={SORT}
    noun={['thing', 'things']}
    rowAttributes={rowOf}
  />
);
const many = (count: number): Thing[] =>
  Array.from({ length: count }, (_, index) => ({ name: `n${String(index).padStart(5, '0')}`, size: 1 }));
const more = () => screen.getAllByRole('button').at(-1) as HTMLElement;
const rows = () => document.querySelectorAll('[data-thing]').length;

afterEach(cleanup);

test('table renders 200 rows, more on request', () => {
  render(table(many(10_450)));
  expect(rows()).toBe(200);
  expect(screen.getByText(/^200 \D+ 10,450 things$/)).toBeTruthy();
  fireEvent.click(more());
  expect(rows()).toBe(400);
  cleanup();
  render(table(many(250)));
  expect(more().textContent).toContain(' 50 ');
  fireEvent.click(more());
  expect(rows()).toBe(250);
  expect(screen.queryAllByRole('button')).toHaveLength(COLUMNS.length);
});

test('table rerenders only the changed row', () => {
  const { rerender } = render(table(many(3)));
  drawn = [];
  const next = many(3);
  next[1] = { name: 'n00001', size: 2 };
  rerender(table(next));
  expect(drawn).toEqual(['n00001']);
  expect(screen.getByText('n00001 of 2')).toBeTruthy();
});
