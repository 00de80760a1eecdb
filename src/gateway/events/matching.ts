/** Which events a filter means. One that is not about a host's traffic (a reload, a change of address) is meant by the empty filter only. */
import type { FlowTuple } from '../../conntrack/flow-info.ts';
import { parseAddress } from '../../wire/address.ts';
import { type Filter, isEverything } from '../observe/filter.ts';
import { type FlowSubject, flowMatcher } from '../observe/filter-match.ts';
import type {
  BlockBegin,
  BlockEnd,
  FlowBegin,
  FlowEnd,
  FlowMoved,
  GatewayEvent,
  MappingBegin,
  MappingEnd,
  Refused,
} from './event.ts';

/** Gaps are for everybody. */
export function eventMatcher(filter: Filter): (event: GatewayEvent) => boolean {
  if (isEverything(filter)) return () => true;
  const matches = flowMatcher(filter);
  return (event) => {
    const subject = subjectOf(event);
    return subject === undefined ? event.event === 'gap' : matches(subject);
  };
}

function subjectOf(event: GatewayEvent): FlowSubject | undefined {
  switch (event.event) {
    case 'begin':
    case 'moved':
    case 'end':
      return ofFlow(event);
    case 'mapping_begin':
    case 'mapping_end':
      return ofMapping(event);
    case 'block_begin':
    case 'block_end':
      return ofBlock(event);
    case 'exhausted':
    case 'quota':
      return ofRefusal(event);
    default:
      return undefined;
  }
}

function ofFlow(event: FlowBegin | FlowMoved | FlowEnd): FlowSubject {
  const { original, reply, ...flow } = event;
  const reason = event.event === 'end' ? event.why : undefined;
  return {
    ...flow,
    original: { ...original, src: wire(original.src), dst: wire(original.dst) },
    reply: { ...reply, src: wire(reply.src), dst: wire(reply.dst) },
    reason,
  };
}

function ofMapping(event: MappingBegin | MappingEnd): FlowSubject {
  const remote = { src: wire(event.remote ?? null), sport: event.remotePort ?? 0 };
  return {
    ...nothing(event),
    protocol: event.protocol,
    original: { src: wire(event.host), sport: event.port, dst: remote.src, dport: remote.sport },
    reply: { ...remote, dst: wire(event.external), dport: event.externalPort },
    reason: event.event === 'mapping_end' ? event.why : undefined,
  };
}

function ofBlock(event: BlockBegin | BlockEnd): FlowSubject {
  const reason = event.event === 'block_end' ? event.why : undefined;
  return { ...nothing(event), reply: { ...NO_TUPLE, dst: wire(event.external) }, reason };
}

function ofRefusal(event: Refused): FlowSubject {
  return { ...nothing(event), reason: event.reason };
}

const NO_TUPLE: FlowTuple = { src: 0, dst: 0, sport: 0, dport: 0 };

/** Of a private host of which no more is known. */
function nothing({ host, client, rule }: { host: string | null; client: string; rule: string }): FlowSubject {
  return {
    protocol: -1,
    state: '',
    original: { ...NO_TUPLE, src: wire(host) },
    reply: NO_TUPLE,
    assured: false,
    unreplied: false,
    related: false,
    side: 'private',
    rule,
    client,
  };
}

/** 0: none. */
function wire(text: string | null): number {
  return text === null ? 0 : (parseAddress(text) ?? 0);
}
