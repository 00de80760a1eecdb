/** Server-sent events of the control socket, as they come. */
import type { IncomingMessage } from 'node:http';
import { openStream, type Which } from './client.ts';

export interface ServerEvent {
  kind: string;
  data: unknown;
}

/** Ends when the gateway ends it, or `signal` is aborted. Throws NatgateError as client.ts does. */
export async function* readEvents(
  which: Which,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void, void> {
  const response = await openStream(which, 'GET', path);
  const stop = () => response.destroy();
  signal.addEventListener('abort', stop);
  try {
    yield* eventsOf(response);
  } catch (error) {
    // A gateway that ends, or we, cut it off.
    if (!signal.aborted && (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    response.destroy();
  }
}

async function* eventsOf(response: IncomingMessage): AsyncGenerator<ServerEvent, void, void> {
  response.setEncoding('utf8');
  let text = '';
  for await (const part of response) {
    text += part as string;
    const blocks = text.split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks) {
      const lines = block.split('\n');
      const field = (name: string) =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field('data');
      if (data !== undefined) yield { kind: field('event') ?? 'message', data: JSON.parse(data) };
    }
  }
}
