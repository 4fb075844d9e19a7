// Opens the stream of frames. Addresses are relative, so that the page works under any path.

import type { Problem } from './gen/wire';

/** Why there is no stream: what a person can do about it differs. */
export type Refusal =
  | { kind: 'unauthorized' }
  | { kind: 'forbidden' | 'not_found'; detail?: string }
  | { kind: 'unavailable' | 'refused'; status: number; detail?: string }
  | { kind: 'unreachable' };

export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.kind);
    this.refusal = refusal;
  }
}

export type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * The body of the stream, from `since` on where the server still has what came after it. Throws `Refused`, or
 * whatever `fetch` does where `signal` aborted it.
 */
export async function openEvents(
  since: string | undefined,
  signal: AbortSignal,
  token?: string,
): Promise<Body> {
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
    throw new Refused({ kind: 'unreachable' });
  }
  const type = response.headers.get('content-type') ?? '';
  if (response.ok && response.body && type.startsWith('text/event-stream')) return response.body;
  throw new Refused(await refusal(response));
}

/** What an answer that is none says. */
export async function refusal(response: Response): Promise<Refusal> {
  const { status } = response;
  const problem = (await response.json().catch(() => undefined)) as Partial<Problem> | undefined;
  const text = problem?.detail ?? problem?.title;
  const detail = typeof text === 'string' ? { detail: text } : {};
  if (status === 401) return { kind: 'unauthorized' };
  if (status === 403) return { kind: 'forbidden', ...detail };
  if (status === 404) return { kind: 'not_found', ...detail };
  // A gateway in between says that the server behind it is away.
  if (status === 502 || status === 503 || status === 504 || status === 429) {
    return { kind: 'unavailable', status, ...detail };
  }
  return { kind: 'refused', status, ...detail };
}
