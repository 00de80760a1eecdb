import { expect, test } from 'vitest';
import { bytesAnswer, eventsAnswer } from '../../../src/gateway/control/pulled-stream.ts';
import { Streams } from '../../../src/gateway/control/streams.ts';

const streams = new Streams();

/** Counts what it was asked for; `ended` when it was ended. */
function source(limit: number) {
  const seen = { asked: 0, ended: false };
  async function* start(signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
    try {
      while (seen.asked < limit && !signal.aborted) {
        seen.asked++;
        yield Uint8Array.of(seen.asked);
      }
    } finally {
      seen.ended = true;
    }
  }
  return { seen, start };
}

test('all that comes, in order', async () => {
  const { seen, start } = source(5);
  const answer = await bytesAnswer(streams, 'application/x-pcapng', start);
  expect(answer.headers.get('content-type')).toBe('application/x-pcapng');
  expect([...new Uint8Array(await answer.arrayBuffer())]).toEqual([1, 2, 3, 4, 5]);
  expect(seen.ended).toBe(true);
});

test('nobody reads: one piece waits, and no more is made', async () => {
  const { seen, start } = source(1000);
  const answer = await bytesAnswer(streams, 'x/y', start);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(seen.asked).toBeLessThanOrEqual(2);
  await answer.body!.cancel();
  expect(seen.ended).toBe(true);
});

test('what is wrong from the start is an error, and no stream', async () => {
  // biome-ignore lint/correctness/useYield: it fails before.
  async function* start(): AsyncGenerator<Uint8Array, void, void> {
    throw new Error('no room');
  }
  await expect(bytesAnswer(streams, 'x/y', start)).rejects.toThrow('no room');
});

test('events', async () => {
  async function* start(): AsyncGenerator<{ kind: string; n?: number }, void, void> {
    yield { kind: 'ready' };
    yield { kind: 'packet', n: 1 };
  }
  const answer = await eventsAnswer(streams, start);
  expect(answer.headers.get('content-type')).toBe('text/event-stream');
  expect(await answer.text()).toBe('event: ready\ndata: {}\n\nevent: packet\ndata: {"n":1}\n\n');
});

test('a reader of events that goes away ends what makes them, also while it waits', async () => {
  let ended = false;
  async function* start(signal: AbortSignal): AsyncGenerator<{ kind: string }, void, void> {
    try {
      yield { kind: 'ready' };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    } finally {
      ended = true;
    }
  }
  const answer = await eventsAnswer(streams, start);
  const reader = answer.body!.getReader();
  await reader.read();
  await reader.cancel();
  expect(ended).toBe(true);
});

test('each that is open counts', async () => {
  const few = new Streams({ most: 1 });
  const { start } = source(1000);
  const answer = await bytesAnswer(few, 'x/y', start);
  await expect(bytesAnswer(few, 'x/y', start)).rejects.toMatchObject({ code: 'too_many_streams' });
  await answer.body!.cancel();
  await (await bytesAnswer(few, 'x/y', source(3).start)).text();
  expect(few.size).toBe(0);
});
