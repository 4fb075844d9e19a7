// Opens the event stream. URLs are relative so that the page works under any base path.

import type { Problem } from './gen/wire';

/** Cause of a failed request. Each kind needs another action by the user. */
export type RequestFailure =
  | { kind: 'unauthorized' }
  | { kind: 'forbidden' | 'not_found'; detail?: string }
  | { kind: 'unavailable' | 'refused'; status: number; detail?: string }
  | { kind: 'unreachable' };

export class RequestError extends Error {
  readonly failure: RequestFailure;

  constructor(failure: RequestFailure) {
    super(failure.kind);
    this.failure = failure;
  }
}

export type ByteStream = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * Opens the event stream, resuming after event `since` if the server still has the events that
 * follow it. Throws `RequestError`, or the error of `fetch` if `signal` aborted the request.
 */
export async function openEvents(
  since: string | undefined,
  signal: AbortSignal,
  token?: string,
): Promise<ByteStream> {
  const query = new URLSearchParams({ format: 'frame', layers: 'none' });
  if (since !== undefined) query.set('since', since);
  let response: Response;
  try {
    response = await fetch(`api/v1/events?${query}`, {
      headers: {
        accept: 'text/event-stream',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      cache: 'no-store',
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new RequestError({ kind: 'unreachable' });
  }
  const type = response.headers.get('content-type') ?? '';
  if (response.ok && response.body && type.startsWith('text/event-stream')) return response.body;
  throw new RequestError(await parseFailure(response));
}

/** Maps an error response to a failure kind. */
export async function parseFailure(response: Response): Promise<RequestFailure> {
  const { status } = response;
  const problem = (await response.json().catch(() => undefined)) as Partial<Problem> | undefined;
  const text = problem?.detail ?? problem?.title;
  const detail = typeof text === 'string' ? { detail: text } : {};
  if (status === 401) return { kind: 'unauthorized' };
  if (status === 403) return { kind: 'forbidden', ...detail };
  if (status === 404) return { kind: 'not_found', ...detail };
  // Temporary: the server is overloaded, or a gateway cannot reach it.
  if (status === 502 || status === 503 || status === 504 || status === 429) {
    return { kind: 'unavailable', status, ...detail };
  }
  return { kind: 'refused', status, ...detail };
}
