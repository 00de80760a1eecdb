/**
 * Who had an external port at a time, from the lines of the event log: mappings say it of a port, blocks of a range, and where neither was
 * written, flows do.
 *
 * A port without a begin in the files that are kept, but with an end, was had since before them (the end itself says since when); one without
 * an end is had still. Where a gateway starts without the flows of the run before, whatever was open has ended.
 */
import { protocolName } from '../../wire/protocols.ts';
import type { GatewayEvent } from './event.ts';

export interface Question {
  /** Host order. */
  port: number;
  /** Number; null: any. */
  protocol: number | null;
  /** Null: any. */
  external: string | null;
  /** ms since 1970; null: whenever. */
  time: number | null;
}

export interface Holder {
  host: string;
  /** Name of the host; empty: it had none. */
  client: string;
  external: string;
  /** By name; null: a block of ports, which is of every protocol. */
  protocol: string | null;
  rule: string;
  /** ISO 8601. */
  from: string;
  /** Null: still. */
  until: string | null;
  by: 'mapping' | 'block' | 'flow';
}

interface Port extends Omit<Holder, 'until'> {
  first: number;
  last: number;
  number: number | null;
}

export class WhoHad {
  readonly #question: Question;
  readonly #open = new Map<string, Holder>();
  readonly #found: Holder[] = [];
  /** Events that the files say are missing. */
  missing = 0;

  constructor(question: Question) {
    this.#question = question;
  }

  /** A line of the log, in the order of the files, oldest first. A line that is none of natgate's is passed over. */
  line(text: string): void {
    let event: GatewayEvent;
    try {
      event = JSON.parse(text);
    } catch {
      return;
    }
    if (event === null || typeof event !== 'object') return;
    if (event.event === 'gap') this.missing += event.missed;
    if (event.event === 'engine' && event.what === 'started' && event.adopted !== true)
      this.#endAll(event.time);
    if (event.event === 'moved') this.#leave(`flow ${event.id}`, event.time);
    const port = portOf(event);
    if (port === null || !this.#concerns(port)) return;
    const { first, last, number, ...holder } = port;
    const key = keyOf(event, port);
    const known = this.#open.get(key);
    this.#open.delete(key);
    if (isEnd(event)) this.#found.push({ ...(known ?? holder), until: event.time });
    else this.#open.set(key, { ...holder, until: null });
  }

  /** A flow that has another external address now has not that of before any more. */
  #leave(key: string, time: string): void {
    const known = this.#open.get(key);
    if (known === undefined) return;
    this.#open.delete(key);
    this.#found.push({ ...known, until: time });
  }

  /** Oldest first; flows only where no mapping or block says it. */
  holders(): Holder[] {
    const { time } = this.#question;
    const all = [...this.#found, ...this.#open.values()].filter(
      ({ from, until }) =>
        time === null || (Date.parse(from) <= time && (until === null || time <= Date.parse(until))),
    );
    const better = all.filter(({ by }) => by !== 'flow');
    const isSaid = ({ host, external }: Holder) =>
      better.some((other) => other.host === host && other.external === external);
    return all
      .filter((holder) => holder.by !== 'flow' || !isSaid(holder))
      .toSorted((a, b) => a.from.localeCompare(b.from));
  }

  #endAll(time: string): void {
    for (const holder of this.#open.values()) this.#found.push({ ...holder, until: time });
    this.#open.clear();
  }

  #concerns({ first, last, number, external }: Port): boolean {
    const { port, protocol, external: wanted } = this.#question;
    if (port < first || port > last || (wanted ?? external) !== external) return false;
    return protocol === null || number === null || number === protocol;
  }
}

function isEnd({ event }: GatewayEvent): boolean {
  return event === 'end' || event === 'mapping_end' || event === 'block_end';
}

/** The same in the begin and in the end. */
function keyOf(event: GatewayEvent, { by, number, host, external, first }: Port): string {
  if ('id' in event) return `flow ${event.id}`;
  const remote = 'externalPort' in event ? `${event.port} ${event.remote}:${event.remotePort}` : '';
  return [by, number, host, external, first, remote].join(' ');
}

/** Null: the event is about no external port. */
function portOf(event: GatewayEvent): Port | null {
  const from = 'began' in event ? event.began : event.time;
  switch (event.event) {
    case 'begin':
    case 'moved':
    case 'end': {
      const { original, reply, side, client, rule, protocol } = event;
      const isOut = side === 'private';
      const [host, end] = isOut ? [original.src, reply.dst] : [reply.src, original.dst];
      if (host === end) return null;
      const port = isOut ? reply.dport : original.dport;
      return {
        host,
        client,
        external: end,
        rule,
        from,
        by: 'flow',
        ...named(protocol),
        first: port,
        last: port,
      };
    }
    case 'mapping_begin':
    case 'mapping_end': {
      const { host, client, external, externalPort: port, rule, protocol } = event;
      return {
        host,
        client,
        external,
        rule,
        from,
        by: 'mapping',
        ...named(protocol),
        first: port,
        last: port,
      };
    }
    case 'block_begin':
    case 'block_end': {
      const { host, client, external, rule, first, last } = event;
      return { host, client, external, rule, from, by: 'block', protocol: null, number: null, first, last };
    }
    default:
      return null;
  }
}

function named(protocol: number): { protocol: string; number: number } {
  return { protocol: protocolName(protocol) ?? String(protocol), number: protocol };
}
