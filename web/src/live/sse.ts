// Server-sent events out of text that comes in pieces, cut anywhere.

export interface SseEvent {
  /** `message` where the server named none. */
  event: string;
  data: string;
  /** The last id that was said, also by an earlier event. */
  id: string;
}

/** What is not over yet. */
export interface Pending {
  /** The beginning of a line. */
  line: string;
  /** Whether the last piece ended in a CR: an LF that follows belongs to it. */
  cr: boolean;
  event: string;
  data: string[];
  id: string;
}

export const NOTHING: Pending = { line: '', cr: false, event: '', data: [], id: '' };

/** Reads one more piece. Lines end with LF, CR or both; an event ends with an empty line. */
export function parse(before: Pending, piece: string): [Pending, SseEvent[]] {
  if (piece === '') return [before, []];
  const text = before.cr && piece.startsWith('\n') ? piece.slice(1) : piece;
  const lines = (before.line + text).split(/\r\n|\n|\r/);
  const rest: Pending = {
    line: lines.pop() ?? '',
    cr: piece.endsWith('\r'),
    event: before.event,
    data: [...before.data],
    id: before.id,
  };
  const events: SseEvent[] = [];
  for (const line of lines) {
    if (line === '') {
      if (rest.data.length > 0) {
        events.push({ event: rest.event || 'message', data: rest.data.join('\n'), id: rest.id });
      }
      rest.event = '';
      rest.data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') rest.data.push(value);
    else if (field === 'event') rest.event = value;
    else if (field === 'id' && !value.includes('\0')) rest.id = value;
  }
  return [rest, events];
}

/** How many characters wait for their end: the caller's bound on what an event may weigh. */
export function waiting(pending: Pending): number {
  return pending.data.reduce((sum, line) => sum + line.length, pending.line.length);
}
