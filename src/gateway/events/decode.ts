/** Records of an event ring (engine/event-ring.ts) as events. */
import { endReasonNames } from '../../conntrack/end-reasons.ts';
import { readTuple } from '../../conntrack/flow-info.ts';
import {
  ASSURED,
  EXPECTED,
  ORIGINAL_SIDE,
  SEEN_REPLY,
  STATE_MASK,
  STATE_SHIFT,
  TUPLE,
} from '../../conntrack/flow-table.ts';
import { sctpStateNames } from '../../conntrack/sctp-states.ts';
import { tcpStateNames } from '../../conntrack/tcp-states.ts';
import { HOST_FLOW_LIMIT, HOST_PORT_LIMIT, reasonNames } from '../../core/reasons.ts';
import {
  BLOCK_BEGIN,
  BLOCK_END,
  E_AGE,
  E_BYTES,
  E_BYTES_HIGH,
  E_COUNT,
  E_FLOW,
  E_HOST,
  E_KIND,
  E_LIFE,
  E_OPEN,
  E_PACKETS,
  E_RULE,
  E_STATUS,
  E_TIME,
  E_TUPLES,
  FLOW_BEGIN,
  FLOW_END,
  FLOW_MOVED,
  MAPPING_BEGIN,
  MAPPING_END,
  REFUSED,
  S_BEGAN,
  S_EXTERNAL,
  S_INTERNAL,
  S_PORT,
  S_PORTS,
  S_REMOTE,
  S_WHAT,
} from '../../engine/event-ring.ts';
import type { ClientNames } from '../../host/client-names.ts';
import { ICMP, TCP } from '../../nat/external-addresses.ts';
import { formatAddress } from '../../wire/address.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP } from '../../wire/ipv4.ts';
import { formatFlowId } from '../observe/flow-list.ts';
import { isoTime as isoTimeOf } from '../observe/iso-time.ts';
import type { FlowBegin, FlowEnd, RingEvent } from './event.ts';

/** Texts of addresses that are remembered. */
const MOST_TEXTS = 65_536;

export interface Names {
  /** Of NAT rules, by number. */
  rules: readonly string[];
  clients: Pick<ClientNames, 'nameOf'>;
}

export class Decoder {
  #names: Names;
  readonly #texts = new Map<number, string>();

  constructor(names: Names) {
    this.#names = names;
  }

  setNames(names: Names): void {
    this.#names = names;
  }

  /** Null: a kind that this version does not know. `record` and `floats` are the same bytes. */
  decode(record: Int32Array, floats: Float64Array, worker: number): RingEvent | null {
    const time = floats[E_TIME >> 1]!;
    switch (record[E_KIND]! & 0xff) {
      case FLOW_BEGIN:
        return this.#flow(record, time, worker, 'begin');
      case FLOW_MOVED:
        return this.#flow(record, time, worker, 'moved');
      case FLOW_END:
        return this.#flowEnd(record, time, worker);
      case MAPPING_BEGIN:
      case MAPPING_END:
        return this.#mapping(record, time);
      case BLOCK_BEGIN:
      case BLOCK_END:
        return this.#block(record, time);
      case REFUSED:
        return this.#refused(record, time);
      default:
        return null;
    }
  }

  #flow<E extends 'begin' | 'moved' | 'end'>(record: Int32Array, time: number, worker: number, event: E) {
    const status = record[E_STATUS]!;
    const protocol = status & 0xff;
    const isInside = (status & ORIGINAL_SIDE) === 0;
    const client = record[isInside ? E_TUPLES : E_TUPLES + TUPLE]!;
    const flow: Omit<FlowBegin, 'event'> & { event: E } = {
      time: isoTime(time),
      event,
      id: formatFlowId({ worker, flow: record[E_FLOW]!, life: record[E_LIFE]! }),
      protocol,
      state: stateName(protocol, (status & STATE_MASK) >>> STATE_SHIFT),
      side: isInside ? 'private' : 'public',
      client: this.#names.clients.nameOf(client),
      rule: this.#rule(record[E_RULE]!),
      original: this.#tuple(record, E_TUPLES, protocol),
      reply: this.#tuple(record, E_TUPLES + TUPLE, protocol),
      originalPackets: record[E_PACKETS]! >>> 0,
      originalBytes: bytesOf(record, 0),
      replyPackets: record[E_PACKETS + 1]! >>> 0,
      replyBytes: bytesOf(record, 1),
      ageSeconds: (record[E_AGE]! >>> 0) / 1000,
      assured: (status & ASSURED) !== 0,
      unreplied: (status & SEEN_REPLY) === 0,
      related: (status & EXPECTED) !== 0,
    };
    return flow;
  }

  #flowEnd(record: Int32Array, time: number, worker: number): FlowEnd {
    const flow = this.#flow(record, time, worker, 'end');
    return { ...flow, began: isoTime(time - (record[E_AGE]! >>> 0)), why: why(record) };
  }

  #mapping(record: Int32Array, time: number): RingEvent {
    const what = record[E_OPEN + S_WHAT]!;
    const ports = record[E_OPEN + S_PORTS]!;
    const remote = record[E_OPEN + S_REMOTE]!;
    const remotePort = record[E_OPEN + S_PORT]! & 0xffff;
    const table = (what >>> 8) & 0xff;
    const mapping = {
      protocol: table === TCP ? PROTO_TCP : table === ICMP ? PROTO_ICMP : PROTO_UDP,
      ...this.#host(record[E_OPEN + S_INTERNAL]!),
      port: ports & 0xffff,
      external: this.#address(record[E_OPEN + S_EXTERNAL]!),
      externalPort: ports >>> 16,
      ...(remote === 0 ? {} : { remote: this.#address(remote) }),
      ...(remotePort === 0 ? {} : { remotePort }),
      rule: this.#rule(what >>> 16),
    };
    if ((record[E_KIND]! & 0xff) === MAPPING_BEGIN) {
      return { time: isoTime(time), event: 'mapping_begin', ...mapping };
    }
    return { time: isoTime(time), event: 'mapping_end', ...mapping, began: began(record), why: why(record) };
  }

  #block(record: Int32Array, time: number): RingEvent {
    const block = {
      ...this.#host(record[E_OPEN + S_INTERNAL]!),
      external: this.#address(record[E_OPEN + S_EXTERNAL]!),
      first: record[E_OPEN + S_PORTS]! >>> 16,
      last: record[E_OPEN + S_PORT]!,
      rule: this.#rule(record[E_OPEN + S_WHAT]! >>> 16),
    };
    if ((record[E_KIND]! & 0xff) === BLOCK_BEGIN) {
      return { time: isoTime(time), event: 'block_begin', ...block };
    }
    return { time: isoTime(time), event: 'block_end', ...block, began: began(record), why: why(record) };
  }

  #refused(record: Int32Array, time: number): RingEvent {
    const reason = record[E_KIND]! >>> 16;
    const host = record[E_HOST]!;
    const isQuota = reason === HOST_FLOW_LIMIT || reason === HOST_PORT_LIMIT;
    return {
      time: isoTime(time),
      event: isQuota ? 'quota' : 'exhausted',
      reason: reasonNames[reason] ?? String(reason),
      ...(host === 0 ? { host: null, client: '' } : this.#host(host)),
      rule: this.#rule(record[E_RULE]!),
      count: record[E_COUNT]! >>> 0,
    };
  }

  #host(address: number): { host: string; client: string } {
    return { host: this.#address(address), client: this.#names.clients.nameOf(address) };
  }

  #tuple(record: Int32Array, at: number, protocol: number): FlowBegin['original'] {
    const { src, dst, ...rest } = readTuple(record, at, protocol);
    return { src: this.#address(src), dst: this.#address(dst), ...rest };
  }

  #rule(number: number): string {
    return this.#names.rules[number] ?? String(number);
  }

  #address(address: number): string {
    const known = this.#texts.get(address);
    if (known !== undefined) return known;
    if (this.#texts.size >= MOST_TEXTS) this.#texts.clear();
    const text = formatAddress(address);
    this.#texts.set(address, text);
    return text;
  }
}

function stateName(protocol: number, state: number): string {
  if (protocol === PROTO_TCP) return tcpStateNames[state] ?? '';
  return protocol === PROTO_SCTP ? (sctpStateNames[state] ?? '') : '';
}

function bytesOf(record: Int32Array, direction: 0 | 1): number {
  const high = (record[E_BYTES_HIGH]! >>> (16 * direction)) & 0xffff;
  return (record[E_BYTES + direction]! >>> 0) + high * 2 ** 32;
}

function why(record: Int32Array): string {
  return endReasonNames[record[E_KIND]! >>> 16] ?? 'unknown';
}

function began(record: Int32Array): string {
  return isoTime((record[E_OPEN + S_BEGAN]! >>> 0) * 1000);
}

let lastMs = Number.NaN;
let lastText = '';

/** Most events come many a millisecond. */
function isoTime(ms: number): string {
  const whole = Math.floor(ms);
  if (whole === lastMs) return lastText;
  lastMs = whole;
  lastText = isoTimeOf(whole);
  return lastText;
}
