/**
 * Translation of ICMP errors (RFC 5508 REQ-4, REQ-5): the quoted packet is a packet of the opposite direction, so
 * it becomes the other tuple as it stands, and the error goes to that tuple's source.
 *
 * Type, code and the rest of the message stay, RFC 4884 extensions included: the ICMP checksum is updated by what
 * changed. Every field is optional behind the first 8 bytes of the quoted transport header.
 */
import { H_DESTINATION, H_PORTS, H_STATUS, HOT, ORIGINAL_SIDE, TUPLE } from '../conntrack/flow-table.ts';
import { GRE_CALL_ID } from '../conntrack/gre-keys.ts';
import { type Bytes, be16 } from '../wire/bytes.ts';
import { adjust, delta16, delta32, fold } from '../wire/checksum.ts';
import { ICMP_CHECKSUM, ICMP_ID } from '../wire/icmp.ts';
import {
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_SOURCE,
  IP_TTL,
  PROTO_GRE,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
} from '../wire/ipv4.ts';
import { M_L4, M_LENGTH, M_OFFSET, M_PROTOCOL } from '../wire/parse.ts';
import { TCP_CHECKSUM } from '../wire/tcp.ts';
import { UDP_CHECKSUM } from '../wire/udp.ts';
import { concealRoute } from './recorded-routes.ts';

/**
 * Translates the error of row `m` that quotes the packet of row `q` (parseQuote) and travels in direction
 * `handle & 1` of its flow. Addresses of the error and of the quote are rewritten; its TTL goes down by one. `router`:
 * as whom an internal sender other than the flow's endpoint leaves; by default as that endpoint does.
 */
export function translateError(
  bytes: Bytes,
  meta: Int32Array,
  m: number,
  q: number,
  hot: Int32Array,
  handle: number,
  router = hot[(handle >> 1) * HOT + TUPLE - (handle & 1) * TUPLE + H_DESTINATION]!,
): void {
  const direction = handle & 1;
  const own = (handle >> 1) * HOT + direction * TUPLE;
  const other = (handle >> 1) * HOT + TUPLE - direction * TUPLE;
  const offset = meta[m + M_OFFSET]!;
  const l4 = meta[m + M_L4]!;
  const { i32, u16, u8 } = bytes;
  const sender = i32[(offset + IP_SOURCE) >> 2]!;
  // Errors of private hosts and routers leave with the external address (RFC 5508 REQ-5); those from outside keep their
  // sender, unless it is an endpoint of the flow that has another name on the other side.
  const isInside = (hot[(handle >> 1) * HOT + H_STATUS]! & (ORIGINAL_SIDE << direction)) === 0;
  const isTranslated = hot[own] !== hot[other + H_DESTINATION];
  const isEndpoint = sender === hot[own];
  const source = isEndpoint ? hot[other + H_DESTINATION]! : isInside && isTranslated ? router : sender;
  const destination = hot[other]!;
  const header = fold(
    delta32(sender, source) + delta32(i32[(offset + IP_DESTINATION) >> 2]!, destination) + 0xfffe,
  );
  i32[(offset + IP_SOURCE) >> 2] = source;
  i32[(offset + IP_DESTINATION) >> 2] = destination;
  u8[offset + IP_TTL] = u8[offset + IP_TTL]! - 1;
  u16[(offset + IP_CHECKSUM) >> 1] = adjust(u16[(offset + IP_CHECKSUM) >> 1]!, header);

  if (isInside && isTranslated) {
    concealRoute(bytes, offset);
    // A header sums up to the same as before, so the message's checksum stays.
    concealRoute(bytes, meta[q + M_OFFSET]!);
  }
  const change = translateQuote(bytes, meta, q, hot, other);
  u16[(l4 + ICMP_CHECKSUM) >> 1] = adjust(u16[(l4 + ICMP_CHECKSUM) >> 1]!, change);
}

/** Writes the tuple at `tuple` into the quoted packet. Returns the delta that its bytes have gone through. */
function translateQuote(bytes: Bytes, meta: Int32Array, q: number, hot: Int32Array, tuple: number): number {
  const inner = meta[q + M_OFFSET]!;
  const l4 = meta[q + M_L4]!;
  const protocol = meta[q + M_PROTOCOL]!;
  const { i32, u16 } = bytes;
  const source = hot[tuple]!;
  const destination = hot[tuple + H_DESTINATION]!;
  const ports = hot[tuple + H_PORTS]!;
  const addresses = fold(
    delta32(i32[(inner + IP_SOURCE) >> 2]!, source) +
      delta32(i32[(inner + IP_DESTINATION) >> 2]!, destination),
  );
  i32[(inner + IP_SOURCE) >> 2] = source;
  i32[(inner + IP_DESTINATION) >> 2] = destination;
  const at = (inner + IP_CHECKSUM) >> 1;
  const before = u16[at]!;
  u16[at] = adjust(before, addresses);
  let change = fold(addresses + delta16(before, u16[at]!));

  if (protocol === PROTO_ICMP) {
    const id = (l4 + ICMP_ID) >> 1;
    const idDelta = delta16(u16[id]!, ports & 0xffff);
    u16[id] = ports & 0xffff;
    const sum = (l4 + ICMP_CHECKSUM) >> 1;
    const old = u16[sum]!;
    u16[sum] = adjust(old, idDelta);
    change = fold(change + idDelta + delta16(old, u16[sum]!));
  } else if (protocol === PROTO_TCP || protocol === PROTO_UDP) {
    const portsDelta = delta32(i32[l4 >> 2]!, ports);
    i32[l4 >> 2] = ports;
    change = fold(change + portsDelta);
    const field = l4 + (protocol === PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
    const quotedEnd = inner + meta[q + M_LENGTH]!;
    // The quote may end before the checksum; a UDP checksum of 0 was never computed.
    if (field + 2 <= quotedEnd && !(protocol === PROTO_UDP && be16(bytes.u8, field) === 0)) {
      const old = u16[field >> 1]!;
      const updated = adjust(old, fold(addresses + portsDelta));
      u16[field >> 1] = protocol === PROTO_UDP && updated === 0 ? 0xffff : updated;
      change = fold(change + delta16(old, u16[field >> 1]!));
    }
  } else if (protocol === PROTO_GRE && ports !== 0) {
    // Enhanced GRE with a known call: the receiver's id.
    const id = (l4 + GRE_CALL_ID) >> 1;
    change = fold(change + delta16(u16[id]!, ports >>> 16));
    u16[id] = ports >>> 16;
  }
  return change;
}
