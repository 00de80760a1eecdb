/**
 * What the steering programs share: the gate, reading headers, the look-ups, and how they end.
 *
 * Registers: r6 the packet's context, r7 belongs to the program, r1-r5 scratch. Every program has the label
 * `host` (leave the packet to the host stack) or `drop`; those with an owned-port check also have `tun`.
 *
 * Offsets count from the network header, so a program is right on devices with and without a link-layer header.
 * SKB_LOAD_BYTES_RELATIVE reads only the linear part of a packet. Where a driver hands pages over, that may be no
 * more than the link-layer header; then the beginning is made linear and read again.
 */
import { type Assembler, fp, type Register, r0, r1, r2, r3, r4, r5, r6 } from '../ebpf/assembler.ts';
import {
  ETH_P_IP_WIRE,
  HDR_START_NET,
  MAP_LOOKUP_ELEM,
  PACKET_HOST,
  REDIRECT,
  SKB_LEN,
  SKB_LOAD_BYTES_RELATIVE,
  SKB_MARK,
  SKB_PKT_TYPE,
  SKB_PROTOCOL,
  SKB_PULL_DATA,
  SKB_VLAN_POP,
  SKB_VLAN_PRESENT,
  SKB_VLAN_TCI,
  TC_ACT_OK,
  TC_ACT_SHOT,
} from '../ebpf/kernel.ts';

/** Stack: the IPv4 header, then the first 8 bytes of what follows it, options stepped over. */
export const IP = -32;
export const L4 = IP + 20;
/** Stack: key of the route map, u32 prefix length and 4 address bytes. */
export const KEY = -40;
export const KEY_ADDRESS = KEY + 4;
/** Stack: who is at the other end of a packet to a shared address (to-external.ts). */
export const PEER = -48;

/** Fields of the IPv4 header. */
export const IP_FRAGMENT = IP + 6;
export const IP_PROTOCOL = IP + 9;
export const IP_SOURCE = IP + 12;
export const IP_DESTINATION = IP + 16;

/** Bits of the fragment field as a little-endian load sees it: offset only; offset and more-fragments. */
export const FRAGMENT_OFFSET = 0xff1f;
export const ANY_FRAGMENT = 0xff3f;

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;

/** Of a VLAN tag's control information, its id. */
const VLAN_ID = 0x0fff;
/** First byte of the IPv4 header: version and length in words. */
const NO_OPTIONS = 0x45;
const LONGEST_OPTIONS = 0x4f;
const IP_HEADER = 20;
/** IPv4 header and 8 bytes: all that is ever looked at, in one call. */
const HEADERS = 28;
/** Link layer, IPv4 with options, ICMP, quoted IPv4 with options, 8 bytes: 150 at most. */
const PULL = 192;

/**
 * To `host` with what is not an IPv4 packet for this host, or in a frame of a VLAN: that belongs to the VLAN's interface, which
 * has a program of its own. A tag without a VLAN (id 0, IEEE 802.1Q priority) is taken off, as the host would.
 */
export function gate(a: Assembler): void {
  const untagged = a.unique('untagged');
  a.alu(r6, '=', r1)
    .load(r2, 'u32', r6, SKB_PROTOCOL)
    .jumpIf(r2, '!=', ETH_P_IP_WIRE, 'host')
    .load(r2, 'u32', r6, SKB_PKT_TYPE)
    .jumpIf(r2, '!=', PACKET_HOST, 'host')
    .load(r2, 'u32', r6, SKB_VLAN_PRESENT)
    .jumpIf(r2, '==', 0, untagged)
    .load(r2, 'u32', r6, SKB_VLAN_TCI)
    .alu(r2, '&=', VLAN_ID)
    .jumpIf(r2, '!=', 0, 'host')
    .alu(r1, '=', r6)
    .call(SKB_VLAN_POP)
    .jumpIf(r0, '!=', 0, 'host')
    .load(r2, 'u32', r6, SKB_PROTOCOL)
    .jumpIf(r2, '!=', ETH_P_IP_WIRE, 'host')
    .label(untagged);
}

/** Stores the destination address in the route map's key and in r1; to `otherwise` when there is none. */
export function loadDestination(a: Assembler, otherwise: 'host' | 'drop'): void {
  const loaded = a.unique('loaded');
  read(a, 16, KEY_ADDRESS, 4);
  a.jumpIf(r0, '==', 0, loaded);
  pull(a);
  read(a, 16, KEY_ADDRESS, 4);
  a.jumpIf(r0, '!=', 0, otherwise).label(loaded).load(r1, 'u32', fp, KEY_ADDRESS);
}

/** 255.255.255.255, int32. */
const BROADCAST = -1;

/** To `target` what no gateway forwards, by the destination in r1: the broadcast address, 224.0.0.0/4, 169.254.0.0/16. Uses r1 and r2. */
export function linkOnly(a: Assembler, target: 'host'): void {
  // The first address byte is the lowest.
  a.jumpIf32(r1, '==', BROADCAST, target)
    .alu(r2, '=', r1)
    .alu(r2, '&=', 0xf0)
    .jumpIf(r2, '==', 0xe0, target)
    .alu(r1, '&=', 0xffff)
    .jumpIf(r1, '==', 0xfea9, target);
}

/**
 * Reads the IPv4 header at `offset` (a register must be r7) to IP, and the 8 bytes after it and its options to
 * L4, with zeros where the packet ends before; to `host` when there is no valid header.
 */
export function loadHeaders(a: Assembler, offset: number | Register): void {
  const loaded = a.unique('loaded');
  const ready = a.unique('ready');
  read(a, offset, IP, HEADERS);
  a.jumpIf(r0, '==', 0, loaded);
  pull(a);
  read(a, offset, IP, HEADERS);
  a.jumpIf(r0, '==', 0, loaded);
  // Fewer than 8 bytes follow the header. The failed read has left zeros in L4.
  read(a, offset, IP, IP_HEADER);
  a.jumpIf(r0, '!=', 0, 'host');

  a.label(loaded)
    .load(r1, 'u8', fp, IP)
    .jumpIf(r1, '==', NO_OPTIONS, ready)
    .jumpIf(r1, '<', NO_OPTIONS, 'host')
    .jumpIf(r1, '>', LONGEST_OPTIONS, 'host');
  pull(a);
  headerLength(a, r2);
  a.alu(r2, '+=', offset);
  read(a, r2, L4, 8);
  a.label(ready);
}

/** Length in bytes of the IPv4 header in IP. */
export function headerLength(a: Assembler, into: Register): void {
  a.load(into, 'u8', fp, IP).alu(into, '&=', 0x0f).alu(into, '<<=', 2);
}

/** Looks the address in KEY_ADDRESS up in the route map: r0 points to the value, or is 0. */
export function lookUpRoute(a: Assembler, routesMapFd: number): void {
  a.store('u32', fp, KEY, 32)
    .loadMap(r1, routesMapFd)
    .alu(r2, '=', fp)
    .alu(r2, '+=', KEY)
    .call(MAP_LOOKUP_ELEM);
}

/**
 * `owned`: to `tun` when bit r1 of the bitmap area that begins at byte r2 (nat/owned.ts) is set, else on to the
 * next instruction. The value is read directly; the mask tells the verifier that it is inside.
 */
export function ownedCheck(a: Assembler, ownedMapFd: number): void {
  a.label('owned')
    .loadMapValue(r3, ownedMapFd)
    .alu(r3, '+=', r2)
    .alu(r4, '=', r1)
    .alu(r4, '>>=', 3)
    .alu(r4, '&=', 0x1fff)
    .alu(r3, '+=', r4)
    .load(r3, 'u8', r3, 0)
    .alu(r1, '&=', 7)
    .alu(r3, '>>=', r1)
    .jumpIf(r3, '&', 1, 'tun');
}

/** To `handed_back` with what the TUN's program has given back to the host. */
export function handedBack(a: Assembler, mark: number): void {
  a.load(r1, 'u32', r6, SKB_MARK).jumpIf32(r1, '==', mark, 'handed_back');
}

/** Goes on to the next instructions, which are those of `host`. */
export function toHandedBack(a: Assembler): void {
  a.label('handed_back').alu(r1, '=', 0).store('u32', r6, SKB_MARK, r1);
}

export function toHost(a: Assembler): void {
  a.label('host').alu(r0, '=', TC_ACT_OK).exit();
}

export function toDrop(a: Assembler): void {
  a.label('drop').alu(r0, '=', TC_ACT_SHOT).exit();
}

export function toTun(a: Assembler, tunIndex: number): void {
  redirectTo(a.label('tun'), tunIndex);
}

export function redirectTo(a: Assembler, tunIndex: number): void {
  a.alu(r1, '=', tunIndex).alu(r2, '=', 0).call(REDIRECT).exit();
}

/** Copies `bytes` from `offset` of the network header to the stack; r0 is 0, or negative and the copy zeros. */
export function read(a: Assembler, offset: number | Register, to: number, bytes: number): void {
  a.alu(r2, '=', offset)
    .alu(r1, '=', r6)
    .alu(r3, '=', fp)
    .alu(r3, '+=', to)
    .alu(r4, '=', bytes)
    .alu(r5, '=', HDR_START_NET)
    .call(SKB_LOAD_BYTES_RELATIVE);
}

/** Makes the first min(length, PULL) bytes of the packet linear. */
function pull(a: Assembler): void {
  const short = a.unique('short');
  a.load(r2, 'u32', r6, SKB_LEN)
    .jumpIf(r2, '<', PULL, short)
    .alu(r2, '=', PULL)
    .label(short)
    .alu(r1, '=', r6)
    .call(SKB_PULL_DATA);
}
