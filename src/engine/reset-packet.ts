/** A TCP reset of the gateway's own making (RFC 9293 3.5.2): IPv4 and TCP header without options. */
import { putBe16, swap32 } from '../wire/bytes.ts';
import { checksum, fold, pseudoHeaderSum, sumBytes } from '../wire/checksum.ts';
import {
  DONT_FRAGMENT,
  IP_CHECKSUM,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_HEADER,
  IP_LENGTH,
  IP_PROTOCOL,
  IP_SOURCE,
  IP_TTL,
  PROTO_TCP,
} from '../wire/ipv4.ts';
import {
  RST,
  TCP_ACK,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_HEADER,
  TCP_SEQUENCE,
} from '../wire/tcp.ts';
import { VNET_HEADER } from '../wire/vnet.ts';
import { packetOffset } from './arena.ts';
import type { OutList } from './out-list.ts';

const TTL = 64;
const LENGTH = IP_HEADER + TCP_HEADER;

/**
 * Sends one to `device`; the caller has asked for a free slot. `ports`: source | destination << 16, wire order; `flags`: besides RST;
 * `sequence`, `acknowledgement` in host order.
 */
export function sendReset(
  out: OutList,
  device: number,
  source: number,
  destination: number,
  ports: number,
  flags: number,
  sequence: number,
  acknowledgement: number,
): void {
  const { u8, u16, i32 } = out.bytes;
  const slot = out.takeSlot();
  const at = packetOffset(slot);
  const tcp = at + IP_HEADER;
  u8.fill(0, at - VNET_HEADER, tcp + TCP_HEADER);
  u8[at] = 0x45;
  putBe16(u8, at + IP_LENGTH, LENGTH);
  putBe16(u8, at + IP_FRAGMENT, DONT_FRAGMENT);
  u8[at + IP_TTL] = TTL;
  u8[at + IP_PROTOCOL] = PROTO_TCP;
  i32[(at + IP_SOURCE) >> 2] = source;
  i32[(at + IP_DESTINATION) >> 2] = destination;
  u16[(at + IP_CHECKSUM) >> 1] = checksum(u8, u16, at, IP_HEADER);
  i32[tcp >> 2] = ports;
  i32[(tcp + TCP_SEQUENCE) >> 2] = swap32(sequence);
  i32[(tcp + TCP_ACK) >> 2] = swap32(acknowledgement);
  u8[tcp + TCP_DATA_OFFSET] = (TCP_HEADER >> 2) << 4;
  u8[tcp + TCP_FLAGS] = RST | flags;
  const sum =
    sumBytes(u8, u16, tcp, TCP_HEADER) + pseudoHeaderSum(source, destination, PROTO_TCP, TCP_HEADER);
  u16[(tcp + TCP_CHECKSUM) >> 1] = fold(sum) ^ 0xffff;
  out.send(device, slot, LENGTH);
}
