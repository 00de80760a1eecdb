/**
 * What of the packets to an address that natgate shares with the host is natgate's. For the external address this is asked
 * on both sides: on the public one about everybody's packets, on the private one about those of hosts that reach each
 * other by it (hairpin), the answers and ICMP errors to such packets included. With twice NAT the gateway's private
 * address is shared as well: what its targets answer comes there.
 *
 *     fragment                  TUN: only the engine knows what the first one was
 *     TCP, UDP                  by the owned bit of the destination port
 *     ICMP answer               by the owned bit of its id
 *     ICMP error                by what it quotes: a packet from that address, its owned source port or id
 *     ICMP query, other ICMP    host
 *     other protocols           by the owned bit of the protocol
 *
 * Whose side that is, where the interface does not say it (one-armed-ingress.ts): PEER is then the address that a packet is
 * from, or of an error the one that the quoted packet was for, since a router of the one side reports about packets to the other.
 *
 * With DNS, port 53 of the gateway's private address is natgate's too, as the destination of a query and as the quoted source of an
 * error about an answer.
 *
 * What the engine then finds not to be its own it hands back to the host (tun-ingress.ts).
 */
import { OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP } from '../../nat/owned.ts';
import { type Assembler, fp, r1, r2, r3, r7 } from '../ebpf/assembler.ts';
import {
  ANY_FRAGMENT,
  FRAGMENT_OFFSET,
  headerLength,
  ICMP,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_PROTOCOL,
  IP_SOURCE,
  KEY_ADDRESS,
  L4,
  loadHeaders,
  ownedCheck,
  PEER,
  TCP,
  UDP,
} from './parse.ts';

/** Sets of ICMP types, as bits: answers to queries, and errors, which quote a packet (RFC 792, RFC 950). */
const REPLIES = types(0, 14, 16, 18);
const ERRORS = types(3, 4, 5, 11, 12);
const QUERIES = types(8, 13, 15, 17);
const HIGHEST_TYPE = 18;
const ICMP_HEADER = 8;

const DNS_PORT = 53;

/** The address whose port 53 is natgate's, and the label for packets to it. */
export interface DnsPort {
  address: number;
  to: string;
}

/**
 * A packet to a shared address, that in KEY_ADDRESS, its headers in IP and L4: to `tun` or to `host`. Uses r7. With `peer`, PEER
 * is there at `tun`.
 */
export function toExternal(a: Assembler, ownedMapFd: number, peer = false, dns: DnsPort | null = null): void {
  if (peer) a.load(r1, 'u32', fp, IP_SOURCE).store('u32', fp, PEER, r1);
  a.load(r1, 'u16', fp, IP_FRAGMENT)
    .jumpIf(r1, '&', ANY_FRAGMENT, 'tun')
    .load(r3, 'u8', fp, IP_PROTOCOL)
    .jumpIf(r3, '==', ICMP, 'icmp')
    .load(r1, 'u16', fp, L4 + 2);

  // From here and from a quote: r1 a port as on the wire, r3 the protocol. ICMP has left before, since the
  // verifier would take the way from the quote back to an ICMP test for an endless loop.
  a.label('port').toBigEndian(r1, 16);
  if (dns !== null) {
    a.jumpIf(r1, '!=', DNS_PORT, 'no_dns')
      .load(r2, 'u32', fp, KEY_ADDRESS)
      .jumpIf32(r2, '!=', dns.address, 'no_dns')
      .jumpIf(r3, '==', UDP, dns.to)
      .jumpIf(r3, '==', TCP, dns.to)
      .label('no_dns');
  }
  a.alu(r2, '=', OWNED_TCP)
    .jumpIf(r3, '==', TCP, 'owned')
    .alu(r2, '=', OWNED_UDP)
    .jumpIf(r3, '==', UDP, 'owned')
    .alu(r1, '=', r3)
    .alu(r2, '=', OWNED_PROTOCOLS);
  ownedCheck(a, ownedMapFd);
  a.jump('host');

  a.label('icmp')
    .load(r1, 'u8', fp, L4)
    .jumpIf(r1, '>', HIGHEST_TYPE, 'host')
    .alu(r2, '=', 1)
    .alu(r2, '<<=', r1)
    .jumpIf(r2, '&', REPLIES, 'icmp_id')
    .jumpIf(r2, '&', ERRORS, 'icmp_error')
    .jump('host');

  // An error concerns natgate when the packet it quotes was sent by natgate: the quoted source decides.
  a.label('icmp_error');
  headerLength(a, r7);
  a.alu(r7, '+=', ICMP_HEADER);
  loadHeaders(a, r7);
  a.load(r1, 'u32', fp, IP_SOURCE).load(r2, 'u32', fp, KEY_ADDRESS).jumpIf32(r1, '!=', r2, 'host');
  if (peer) a.load(r1, 'u32', fp, IP_DESTINATION).store('u32', fp, PEER, r1);
  a.load(r1, 'u16', fp, IP_FRAGMENT)
    .jumpIf(r1, '&', FRAGMENT_OFFSET, 'host')
    .load(r3, 'u8', fp, IP_PROTOCOL)
    .load(r1, 'u16', fp, L4)
    .jumpIf(r3, '!=', ICMP, 'port')
    .load(r1, 'u8', fp, L4)
    .jumpIf(r1, '>', HIGHEST_TYPE, 'host')
    .alu(r2, '=', 1)
    .alu(r2, '<<=', r1)
    .jumpIf(r2, '&', QUERIES, 'icmp_id')
    .jump('host');

  a.label('icmp_id')
    .load(r1, 'u16', fp, L4 + 4)
    .toBigEndian(r1, 16)
    .alu(r2, '=', OWNED_ICMP)
    .jump('owned');
}

function types(...list: number[]): number {
  return list.reduce((set, type) => set | (1 << type), 0);
}
