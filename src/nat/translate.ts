/**
 * The one rule of translation: a packet of direction d leaves as the inverse of the tuple of the other direction.
 *
 * Rewriting is mechanical and in place; checksums are updated by deltas that were computed when the flow was made
 * (original direction; the reply direction's are their complements). A transport checksum that the device is still
 * to complete (NEEDS_CSUM) covers only the pseudo-header so far: it takes the address delta and never the port's.
 */
import {
  H_DELTAS,
  H_DESTINATION,
  H_PORTS,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { GRE_CALL_ID } from '../conntrack/gre-keys.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import type { Bytes } from '../wire/bytes.ts';
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
import { TCP_CHECKSUM } from '../wire/tcp.ts';
import { UDP_CHECKSUM } from '../wire/udp.ts';
import { NEEDS_CSUM, VNET_HEADER } from '../wire/vnet.ts';
import { concealRoute } from './recorded-routes.ts';

/** Delta of the header word that holds TTL and protocol when the TTL goes down by one, in wire order. */
export const TTL_DELTA = 0xfffe;

/** Computes the deltas of a flow from its tuples. */
export function setDeltas(hot: Int32Array, flow: number, protocol: number): void {
  const h = flow * HOT;
  const ports = hot[h + H_PORTS]!;
  const newPorts = invertPorts(protocol, hot[h + TUPLE + H_PORTS]!);
  const addresses = fold(
    delta32(hot[h]!, hot[h + TUPLE + H_DESTINATION]!) + delta32(hot[h + H_DESTINATION]!, hot[h + TUPLE]!),
  );
  let transport = 0;
  if (protocol === PROTO_ICMP) transport = delta16(ports & 0xffff, newPorts & 0xffff);
  else if (protocol === PROTO_TCP || protocol === PROTO_UDP)
    transport = fold(addresses + delta32(ports, newPorts));
  hot[h + H_DELTAS] = addresses | (transport << 16);
}

/** IPv4 without options. */
const IHL_5 = 5;

/**
 * Whether what goes in direction `handle & 1` is a private host's (or from its network) and leaves under another address: then what
 * private routers have written into it is not for the other side.
 */
export function isConcealed(hot: Int32Array, handle: number): boolean {
  const h = (handle >> 1) * HOT;
  const direction = handle & 1;
  const isInside = (hot[h + H_STATUS]! & (ORIGINAL_SIDE << direction)) === 0;
  return isInside && hot[h + direction * TUPLE] !== hot[h + TUPLE - direction * TUPLE + H_DESTINATION];
}

/** Rewrites addresses, TTL and IPv4 checksum: all there is to do for a later fragment. */
export function translateHeader(bytes: Bytes, offset: number, hot: Int32Array, handle: number): void {
  const h = (handle >> 1) * HOT;
  const other = h + TUPLE - (handle & 1) * TUPLE;
  const flip = -(handle & 1) & 0xffff;
  const delta = (hot[h + H_DELTAS]! & 0xffff) ^ flip;
  const i32 = bytes.i32;
  const u16 = bytes.u16;
  i32[(offset + IP_SOURCE) >> 2] = hot[other + H_DESTINATION]!;
  i32[(offset + IP_DESTINATION) >> 2] = hot[other]!;
  bytes.u8[offset + IP_TTL] = bytes.u8[offset + IP_TTL]! - 1;
  u16[(offset + IP_CHECKSUM) >> 1] = adjust(u16[(offset + IP_CHECKSUM) >> 1]!, delta + TTL_DELTA);
  if ((bytes.u8[offset]! & 15) !== IHL_5 && isConcealed(hot, handle)) concealRoute(bytes, offset);
}

/** Rewrites a packet with a transport header at `l4`, after a vnet header at `offset` - 10. */
export function translatePacket(
  bytes: Bytes,
  offset: number,
  l4: number,
  hot: Int32Array,
  handle: number,
): void {
  translateHeader(bytes, offset, hot, handle);
  const h = (handle >> 1) * HOT;
  const protocol = hot[h + H_STATUS]! & 0xff;
  const other = h + TUPLE - (handle & 1) * TUPLE;
  const ports = hot[other + H_PORTS]!;
  const flip = -(handle & 1) & 0xffff;
  const deltas = hot[h + H_DELTAS]!;
  const u16 = bytes.u16;
  if (protocol === PROTO_TCP) {
    bytes.i32[l4 >> 2] = (ports >>> 16) | (ports << 16);
    const at = (l4 + TCP_CHECKSUM) >> 1;
    u16[at] =
      (bytes.u8[offset - VNET_HEADER]! & NEEDS_CSUM) !== 0
        ? fold(u16[at]! + ((deltas & 0xffff) ^ flip))
        : adjust(u16[at]!, (deltas >>> 16) ^ flip);
  } else if (protocol === PROTO_UDP) {
    bytes.i32[l4 >> 2] = (ports >>> 16) | (ports << 16);
    const at = (l4 + UDP_CHECKSUM) >> 1;
    const before = u16[at]!;
    if ((bytes.u8[offset - VNET_HEADER]! & NEEDS_CSUM) !== 0) {
      u16[at] = fold(before + ((deltas & 0xffff) ^ flip));
    } else if (before !== 0) {
      const after = adjust(before, (deltas >>> 16) ^ flip);
      u16[at] = after === 0 ? 0xffff : after;
    }
  } else if (protocol === PROTO_ICMP) {
    u16[(l4 + ICMP_ID) >> 1] = ports & 0xffff;
    const at = (l4 + ICMP_CHECKSUM) >> 1;
    u16[at] = adjust(u16[at]!, (deltas >>> 16) ^ flip);
  } else if (protocol === PROTO_GRE && ports !== 0) {
    // Enhanced GRE with a known call (conntrack/gre-keys.ts): it has no checksum.
    u16[(l4 + GRE_CALL_ID) >> 1] = ports & 0xffff;
  }
}
