// Asks the server for one answer. Addresses are relative, so that the page works under any path.

import { Refused, refusal } from './events';

/** Throws `Refused`, or whatever `fetch` does where `signal` aborted it. */
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
    throw new Refused({ kind: 'unreachable' });
  }
  if (!response.ok) throw new Refused(await refusal(response));
  return response.json();
}
