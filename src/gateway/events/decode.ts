/** Records of an event ring (engine/event-ring.ts) as events. */
import { endReasonNames } from '../../conntrack/end-reasons.ts';
import { ORIGINAL_SIDE, REPLY_SIDE, STATE_MASK, STATE_SHIFT, TUPLE } from '../../conntrack/flow-table.ts';
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
import { ICMP, TCP } from '../../nat/external-addresses.ts';
import { formatAddress } from '../../wire/address.ts';
import { swap16 } from '../../wire/bytes.ts';
import { PROTO_ICMP, PROTO_SCTP, PROTO_TCP } from '../../wire/ipv4.ts';
import type { ClientNames } from '../client-names.ts';
import type { RingEvent, TupleOfEvent } from './event.ts';

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  132: 'sctp',
};
/** Texts of addresses that are remembered. */
const MOST_TEXTS = 65_536;

export interface Names {
  /** Of NAT rules, by number. */
  rules: readonly string[];
  clients: ClientNames;
}

/** What the reader of a ring knows of it. */
export interface RingPlace {
  worker: number;
  epoch: number;
}

export class Decoder {
  names: Names;
  readonly #texts = new Map<number, string>();

  constructor(names: Names) {
    this.names = names;
  }

  /** Null: a kind that this version does not know. `record` and `floats` are the same bytes. */
  decode(record: Int32Array, floats: Float64Array, place: RingPlace): RingEvent | null {
    const time = floats[E_TIME >> 1]!;
    switch (record[E_KIND]! & 0xff) {
      case FLOW_BEGIN:
        return this.#flow(record, time, place, 'flow_begin');
      case FLOW_MOVED:
        return this.#flow(record, time, place, 'flow_moved');
      case FLOW_END:
        return this.#flowEnd(record, time, place);
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

  #flow<E extends string>(record: Int32Array, time: number, place: RingPlace, event: E) {
    const status = record[E_STATUS]!;
    const isInside = (status & ORIGINAL_SIDE) === 0;
    const leaves = (status & REPLY_SIDE) !== 0;
    const direction = !isInside ? ('in' as const) : leaves ? ('out' as const) : ('inside' as const);
    const host = record[isInside ? E_TUPLES : E_TUPLES + TUPLE]!;
    return {
      time: isoTime(time),
      event,
      id: flowId(record, place),
      protocol: protocolName(status & 0xff),
      direction,
      ...this.#host(host),
      rule: this.#rule(record[E_RULE]!),
      original: this.#tuple(record, E_TUPLES, status & 0xff),
      reply: this.#tuple(record, E_TUPLES + TUPLE, status & 0xff),
    };
  }

  #flowEnd(record: Int32Array, time: number, place: RingPlace): RingEvent {
    const age = record[E_AGE]! >>> 0;
    const status = record[E_STATUS]!;
    const state = stateName(status & 0xff, (status & STATE_MASK) >>> STATE_SHIFT);
    return {
      ...this.#flow(record, time, place, 'flow_end' as const),
      began: isoTime(time - age),
      seconds: age / 1000,
      packets: { original: record[E_PACKETS]! >>> 0, reply: record[E_PACKETS + 1]! >>> 0 },
      bytes: { original: bytesOf(record, 0), reply: bytesOf(record, 1) },
      ...(state === undefined ? {} : { state }),
      why: why(record),
    };
  }

  #mapping(record: Int32Array, time: number): RingEvent {
    const what = record[E_OPEN + S_WHAT]!;
    const ports = record[E_OPEN + S_PORTS]!;
    const remote = record[E_OPEN + S_REMOTE]!;
    const remotePort = record[E_OPEN + S_PORT]! & 0xffff;
    const table = (what >>> 8) & 0xff;
    const mapping = {
      protocol: table === TCP ? 'tcp' : table === ICMP ? 'icmp' : 'udp',
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
      ...(host === 0 ? { host: null } : this.#host(host)),
      rule: this.#rule(record[E_RULE]!),
      count: record[E_COUNT]! >>> 0,
    };
  }

  #host(address: number): { host: string; client?: string } {
    const client = this.names.clients.nameOf(address);
    const host = this.#address(address);
    return client === null ? { host } : { host, client };
  }

  #tuple(record: Int32Array, at: number, protocol: number): TupleOfEvent {
    const ports = record[at + 2]!;
    const [src, dst] = [this.#address(record[at]!), this.#address(record[at + 1]!)];
    const sport = swap16(ports & 0xffff);
    if (protocol !== PROTO_ICMP) return { src, dst, sport, dport: swap16(ports >>> 16) };
    return { src, dst, sport, dport: sport, icmpType: (ports >>> 16) & 0xff, icmpCode: ports >>> 24 };
  }

  #rule(number: number): string {
    return this.names.rules[number] ?? String(number);
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

/** `EPOCH-WORKER-FLOW-LIFE`, each to base 36. */
function flowId(record: Int32Array, { worker, epoch }: RingPlace): string {
  const life = record[E_LIFE]! >>> 0;
  return `${epoch.toString(36)}-${worker.toString(36)}-${record[E_FLOW]!.toString(36)}-${life.toString(36)}`;
}

export function protocolName(protocol: number): string {
  return PROTOCOLS[protocol] ?? String(protocol);
}

export function protocolNumber(name: string): number | undefined {
  const known = Object.entries(PROTOCOLS).find(([, each]) => each === name);
  if (known !== undefined) return Number(known[0]);
  return /^\d{1,3}$/.test(name) && Number(name) < 256 ? Number(name) : undefined;
}

function stateName(protocol: number, state: number): string | undefined {
  if (protocol === PROTO_TCP) return tcpStateNames[state];
  return protocol === PROTO_SCTP ? sctpStateNames[state] : undefined;
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

/** Of a Date. */
const MOST_MS = 8.64e15;
let lastMs = Number.NaN;
let lastText = '';

/** Most events come many a millisecond. */
function isoTime(ms: number): string {
  const whole = Math.floor(ms);
  if (whole === lastMs) return lastText;
  lastMs = whole;
  lastText = new Date(Math.abs(whole) <= MOST_MS ? whole : 0).toISOString();
  return lastText;
}
