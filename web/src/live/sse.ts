// Parses server-sent events from text chunks that may be split anywhere.

export interface SseEvent {
  /** `message` if the server sent no event name. */
  event: string;
  data: string;
  /** The last event id, which may be that of an earlier event. */
  id: string;
}

/** State between chunks: the unfinished line and event. */
export interface ParserState {
  partialLine: string;
  /** True if the last chunk ended with CR: a following LF belongs to it. */
  endsWithCr: boolean;
  event: string;
  data: string[];
  id: string;
}

export const INITIAL_STATE: ParserState = { partialLine: '', endsWithCr: false, event: '', data: [], id: '' };

/** Parses one chunk. Lines end with LF, CR or CRLF; an empty line ends an event. */
export function parseChunk(state: ParserState, chunk: string): [ParserState, SseEvent[]] {
  if (chunk === '') return [state, []];
  const text = state.endsWithCr && chunk.startsWith('\n') ? chunk.slice(1) : chunk;
  const lines = (state.partialLine + text).split(/\r\n|\n|\r/);
  const next: ParserState = {
    partialLine: lines.pop() ?? '',
    endsWithCr: chunk.endsWith('\r'),
    event: state.event,
    data: [...state.data],
    id: state.id,
  };
  const events: SseEvent[] = [];
  for (const line of lines) {
    if (line === '') {
      if (next.data.length > 0) {
        events.push({ event: next.event || 'message', data: next.data.join('\n'), id: next.id });
      }
      next.event = '';
      next.data = [];
      continue;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') next.data.push(value);
    else if (field === 'event') next.event = value;
    else if (field === 'id' && !value.includes('\0')) next.id = value;
  }
  return [next, events];
}

/** Number of buffered characters, so that the caller can limit the size of an event. */
export function bufferedLength(state: ParserState): number {
  return state.data.reduce((sum, line) => sum + line.length, state.partialLine.length);
}
