import { OWNED_ICMP, OWNED_PROTOCOLS, OWNED_TCP, OWNED_UDP } from '../../nat/owned.ts';
import { Assembler, fp, r0, r1, r2, r3, r6, r7 } from '../ebpf/assembler.ts';
import { SKB_IFINDEX, SKB_MARK } from '../ebpf/kernel.ts';
import {
  ANY_FRAGMENT,
  FRAGMENT_OFFSET,
  gate,
  headerLength,
  ICMP,
  IP_DESTINATION,
  IP_FRAGMENT,
  IP_PROTOCOL,
  IP_SOURCE,
  KEY_ADDRESS,
  L4,
  loadHeaders,
  lookUpRoute,
  ownedCheck,
  TCP,
  toDrop,
  toHost,
  toTun,
  UDP,
} from './parse.ts';
import { ROUTE_DEVICE } from './routes-map.ts';

export interface PublicIngress {
  /** ifindex of the TUN of this interface. */
  tunIndex: number;
  /** The address natgate translates to, int32 in wire order; 0 when there is none (yet). */
  external: number;
  routesMapFd: number;
  ownedMapFd: number;
  /** Mark of packets that the TUN's program hands back to the host; not 0. */
  handbackMark: number;
}

/** Sets of ICMP types, as bits: answers to queries, and errors, which quote a packet (RFC 792, RFC 950). */
const REPLIES = types(0, 14, 16, 18);
const ERRORS = types(3, 4, 5, 11, 12);
const QUERIES = types(8, 13, 15, 17);
const HIGHEST_TYPE = 18;
const ICMP_HEADER = 8;

/**
 * Ingress of the public interface: what belongs to natgate, by the owned-port bitmap, goes to the TUN; nothing
 * reaches a private network directly; everything else is the host's own.
 */
export function publicIngress(options: PublicIngress): Uint8Array {
  const a = new Assembler();
  gate(a);
  a.load(r1, 'u32', r6, SKB_MARK).jumpIf32(r1, '==', options.handbackMark, 'handed_back');
  loadHeaders(a, 0);
  a.load(r1, 'u32', fp, IP_DESTINATION);
  if (options.external !== 0) a.jumpIf32(r1, '==', options.external, 'external');

  // Another address: dropped when it is behind another served device.
  a.store('u32', fp, KEY_ADDRESS, r1);
  lookUpRoute(a, options.routesMapFd);
  a.jumpIf(r0, '==', 0, 'host')
    .load(r1, 'u32', r0, ROUTE_DEVICE)
    .jumpIf32(r1, 's<=', 0, 'host')
    .load(r2, 'u32', r6, SKB_IFINDEX)
    .jumpIf32(r1, '==', r2, 'host');
  toDrop(a);

  a.label('handed_back').alu(r1, '=', 0).store('u32', r6, SKB_MARK, r1);
  toHost(a);

  if (options.external !== 0) {
    a.label('external');
    toExternal(a, options);
  }
  return a.assemble();
}

/** A packet to the external address, its headers in IP and L4. */
function toExternal(a: Assembler, options: PublicIngress): void {
  a.load(r1, 'u16', fp, IP_FRAGMENT)
    .jumpIf(r1, '&', ANY_FRAGMENT, 'tun')
    .load(r3, 'u8', fp, IP_PROTOCOL)
    .jumpIf(r3, '==', ICMP, 'icmp')
    .load(r1, 'u16', fp, L4 + 2);

  // From here and from a quote: r1 a port as on the wire, r3 the protocol. ICMP has left before, since the
  // verifier would take the way from the quote back to an ICMP test for an endless loop.
  a.label('port')
    .toBigEndian(r1, 16)
    .alu(r2, '=', OWNED_TCP)
    .jumpIf(r3, '==', TCP, 'owned')
    .alu(r2, '=', OWNED_UDP)
    .jumpIf(r3, '==', UDP, 'owned')
    .alu(r1, '=', r3)
    .alu(r2, '=', OWNED_PROTOCOLS);
  ownedCheck(a, options.ownedMapFd);
  a.jump('host');
  toTun(a, options.tunIndex);

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
  a.load(r1, 'u32', fp, IP_SOURCE)
    .jumpIf32(r1, '!=', options.external, 'host')
    .load(r1, 'u16', fp, IP_FRAGMENT)
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
