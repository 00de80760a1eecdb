/** `natgate events`: what the control socket tells of, as it comes. */
import type { GatewayEvent } from '../gateway/events/event.ts';
import { type Filter, formatFilter } from '../gateway/observe/filter.ts';
import { protocolName } from '../wire/protocols.ts';
import { untilInterrupted } from './output.ts';
import { readEvents } from './server-events.ts';

/** Ends when the gateway ends, or when it is interrupted. Throws NatgateError as client.ts does. */
export async function followEvents(
  which: { name: string; stateRoot: string },
  filter: Filter,
  { kinds, json }: { kinds: string; json: boolean },
): Promise<void> {
  const { write, signal, end } = untilInterrupted();
  const path = `/v1/events?filter=${encodeURIComponent(formatFilter(filter))}&kinds=${encodeURIComponent(kinds)}`;
  try {
    for await (const { kind, data } of readEvents(which, path, signal)) {
      if (kind === 'ready') process.stderr.write('natgate: following events; Ctrl-C ends it\n');
      else if (kind === 'gap') {
        const { missed } = data as { missed: number };
        process.stderr.write(`natgate: ${missed} events came too fast, and are missing here\n`);
      } else await write(`${json ? JSON.stringify(data) : eventLine(data as GatewayEvent)}\n`);
    }
  } finally {
    end();
  }
}

/** For people: time, name, who. */
export function eventLine(event: GatewayEvent): string {
  return [event.time, event.event, ...wordsOf(event)].filter((word) => word !== '').join(' ');
}

function wordsOf(event: GatewayEvent): string[] {
  switch (event.event) {
    case 'begin':
    case 'moved':
    case 'end': {
      const { protocol, original, reply, client, rule } = event;
      const words = [
        nameOf(protocol),
        `${end(original.src, original.sport)} > ${end(original.dst, original.dport)}`,
        `as ${end(reply.dst, reply.dport)} > ${end(reply.src, reply.sport)}`,
        client === '' ? '' : `(${client})`,
        `rule ${rule}`,
      ];
      if (event.event !== 'end') return words;
      const { originalPackets, replyPackets, originalBytes, replyBytes, ageSeconds, why } = event;
      return [
        ...words,
        `after ${ageSeconds} s: ${why};`,
        `${originalPackets}/${replyPackets} packets, ${originalBytes}/${replyBytes} bytes`,
      ];
    }
    case 'mapping_begin':
    case 'mapping_end': {
      const { protocol, host, port, external, externalPort, client, rule } = event;
      const name = client === '' ? '' : `(${client})`;
      return [
        nameOf(protocol),
        `${end(host, port)} as ${end(external, externalPort)}`,
        name,
        `rule ${rule}`,
        whyOf(event),
      ];
    }
    case 'block_begin':
    case 'block_end': {
      const { host, external, first, last, client, rule } = event;
      return [
        `${host} as ${external}:${first}-${last}`,
        client === '' ? '' : `(${client})`,
        `rule ${rule}`,
        whyOf(event),
      ];
    }
    case 'exhausted':
    case 'quota':
      return [event.reason, event.host ?? 'several hosts', `rule ${event.rule}`, `${event.count} flows`];
    case 'address':
      return [`${event.interface}: ${event.before ?? 'none'} -> ${event.after ?? 'none'}`];
    case 'reload':
      return [event.applied ? 'applied:' : 'refused:', event.text];
    case 'engine':
      return [event.what, event.text ?? ''];
    case 'gap':
      return [`${event.missed} events are missing`];
  }
}

function end(address: string, port: number): string {
  return `${address}:${port}`;
}

function whyOf(event: object): string {
  return 'why' in event ? `${event.why}` : '';
}

function nameOf(protocol: number): string {
  return protocolName(protocol) ?? `protocol ${protocol}`;
}
