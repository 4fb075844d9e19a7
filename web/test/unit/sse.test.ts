import { expect, test } from 'vitest';
import { bufferedLength, INITIAL_STATE, parseChunk, type SseEvent } from '../../src/live/sse';

const TEXT = [
  'retry: 1000\n\n',
  ': a comment\n\n',
  'event: frame\nid: e1-7\ndata: {"seq":7,\ndata: "now":"ü"}\n\n',
  'data\n\n',
  'event: snapshot-end\ndata: {}\n\n',
  'event: nothing\n\n',
  'id: e1-8\ndata:no blank\n\n',
  'data: not over yet',
].join('');

const EVENTS: SseEvent[] = [
  { event: 'frame', id: 'e1-7', data: '{"seq":7,\n"now":"ü"}' },
  { event: 'message', id: 'e1-7', data: '' },
  { event: 'snapshot-end', id: 'e1-7', data: '{}' },
  { event: 'message', id: 'e1-8', data: 'no blank' },
];

const read = (...pieces: string[]): SseEvent[] => {
  let pending = INITIAL_STATE;
  return pieces.flatMap((piece) => {
    const [next, events] = parseChunk(pending, piece);
    pending = next;
    return events;
  });
};

test.each(['\n', '\r\n', '\r'])('parser accepts %j line endings at any split', (end) => {
  const text = TEXT.replaceAll('\n', end);
  expect(read(text)).toEqual(EVENTS);
  expect(read(...text)).toEqual(EVENTS);
  for (let at = 0; at <= text.length; at += 1) {
    expect(read(text.slice(0, at), '', text.slice(at))).toEqual(EVENTS);
  }
});

test('parser ignores an unterminated event', () => {
  expect(read('event: frame\ndata: {}\n')).toEqual([]);
});

test('parser reports the buffered length', () => {
  const [pending] = parseChunk(INITIAL_STATE, 'data: 1234567890\ndata: 12345');
  expect(bufferedLength(pending)).toBe('1234567890'.length + 'data: 12345'.length);
});
