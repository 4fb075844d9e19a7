// Fetches JSON from the API. URLs are relative so that the page works under any base path.

import { parseFailure, RequestError } from './events';

/** Throws `RequestError`, or the error of `fetch` if `signal` aborted the request. */
export async function getJson(path: string, signal: AbortSignal, token?: string): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, {
      headers: {
        accept: 'application/json',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new RequestError({ kind: 'unreachable' });
  }
  if (!response.ok) throw new RequestError(await parseFailure(response));
  return response.json();
}
