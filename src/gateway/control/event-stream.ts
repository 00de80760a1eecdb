/**
 * Events over HTTP, as browsers' EventSource and `curl -N` read them (WHATWG HTML, server-sent events): `event: NAME`, `data: JSON`,
 * `id: …`. A reader that is too slow misses events and is told how many, by an event `gap` in their place; whoever sends never waits.
 */
import type { Sink, Streams } from './streams.ts';

export const EVENT_STREAM = 'text/event-stream';
/** So often something is said, that a connection without a peer is noticed. */
const BEAT_MS = 15_000;

export interface Events {
  /** `data`: what JSON can say; `id`: what a reader that comes back gives as `last-event-id`, without line breaks. False: it is missed. */
  send(event: string, data: unknown, id?: string): boolean;
  /** No more comes. */
  end(): void;
}

/** `start` is called at once, and returns what stops it. Throws NatgateError `too_many_streams`. */
export function eventStream(
  streams: Streams,
  start: (events: Events) => () => void,
  beatMs = BEAT_MS,
): Response {
  return streams.open(EVENT_STREAM, (sink) => {
    const events = new EventQueue(sink);
    const beat = setInterval(() => sink.push(BEAT), beatMs).unref();
    // The answer begins before the first event does.
    sink.push(BEAT);
    const stop = start(events);
    return () => {
      clearInterval(beat);
      stop();
    };
  });
}

const encoder = new TextEncoder();
/** A comment. */
const BEAT = encoder.encode(':\n\n');

class EventQueue implements Events {
  readonly #sink: Sink;
  #missed = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
    // Where nothing follows for a while, it is said that something was missed.
    sink.onDrained = () => this.#fill();
  }

  send(event: string, data: unknown, id?: string): boolean {
    const isSent =
      this.#fill() && this.#sink.push(encoder.encode(eventText(event, JSON.stringify(data), id)));
    if (!isSent) this.#missed++;
    return isSent;
  }

  end(): void {
    this.#fill();
    this.#sink.end();
  }

  /** Says what is missing. False: there is no room even for that. */
  #fill(): boolean {
    if (this.#missed === 0) return true;
    const text = eventText('gap', JSON.stringify({ missed: this.#missed }));
    if (!this.#sink.push(encoder.encode(text))) return false;
    this.#missed = 0;
    return true;
  }
}

/** JSON has no line breaks. */
function eventText(event: string, data: string, id?: string): string {
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`;
}
