/**
 * Answers that go on, of what is kept elsewhere for whoever comes late (rings): bytes, or server-sent events, out of a generator. The reader sets the pace: the generator is asked for the next
 * piece when there is room for it, so at most one piece waits. A reader who goes away ends it.
 */

import { EVENT_STREAM } from './event-stream.ts';
import type { Streams } from './streams.ts';

/** Sent where nothing else was for so long, so that whoever is gone is noticed by what is in between. */
const STILL_THERE_MS = 15_000;

/**
 * `start` makes the generator; it is ended by the signal, and by its return(). Rejects with what its first piece rejects with, and with
 * NatgateError `too_many_streams`.
 */
export async function bytesAnswer(
  streams: Streams,
  type: string,
  start: (signal: AbortSignal) => AsyncGenerator<Uint8Array, void, void>,
): Promise<Response> {
  const controller = new AbortController();
  const leave = streams.enter();
  const pieces = start(controller.signal);
  // What is wrong with the request shows now, and is answered as other errors are.
  const first = await pieces.next().catch((error: unknown) => {
    leave();
    throw error;
  });
  let next: Promise<IteratorResult<Uint8Array, void>> | null = Promise.resolve(first);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(stream) {
        const piece = await (next ?? pieces.next()).catch((error: unknown) => {
          leave();
          throw error;
        });
        next = null;
        if (piece.done !== true) return stream.enqueue(piece.value);
        leave();
        stream.close();
      },
      async cancel() {
        leave();
        controller.abort();
        await pieces.return();
      },
    },
    { highWaterMark: 1 },
  );
  return new Response(body, { headers: { 'content-type': type, 'cache-control': 'no-store' } });
}

/** Each value as an event named by its `kind`. */
export function eventsAnswer<T extends { kind: string }>(
  streams: Streams,
  start: (signal: AbortSignal) => AsyncGenerator<T, void, void>,
): Promise<Response> {
  return bytesAnswer(streams, EVENT_STREAM, (signal) => eventBytes(start(signal)));
}

async function* eventBytes<T extends { kind: string }>(
  events: AsyncGenerator<T, void, void>,
): AsyncGenerator<Uint8Array, void, void> {
  const encoder = new TextEncoder();
  try {
    for (;;) {
      const next = events.next();
      let event: IteratorResult<T, void> | null;
      for (;;) {
        event = await within(next, STILL_THERE_MS);
        if (event !== null) break;
        yield encoder.encode(': still there\n\n');
      }
      if (event.done === true) return;
      const { kind, ...rest } = event.value;
      yield encoder.encode(`event: ${kind}\ndata: ${JSON.stringify(rest)}\n\n`);
    }
  } finally {
    await events.return();
  }
}

/** null: it was not there in time, and may be asked for again. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
