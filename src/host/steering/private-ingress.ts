import { TO_HOST } from '../../engine/routes.ts';
import { Assembler, r0, r1, r2 } from '../ebpf/assembler.ts';
import {
  gate,
  handedBack,
  loadDestination,
  loadHeaders,
  lookUpRoute,
  toHandedBack,
  toHost,
  toTun,
} from './parse.ts';
import { ROUTE_DEVICE } from './routes-map.ts';
import { toExternal } from './to-external.ts';

export interface PrivateIngress {
  /** ifindex of the TUN of this interface. */
  tunIndex: number;
  /** The address natgate translates to, int32 in wire order; 0 when there is none. */
  external: number;
  /** Addresses that were the external one before, and that flows still have. */
  former?: readonly number[];
  /** The gateway's private address when it is the source of twice NAT, int32 in wire order; else 0. */
  local: number;
  routesMapFd: number;
  ownedMapFd: number;
  /** Mark of packets that the TUN's program hands back to the host; not 0. */
  handbackMark: number;
}

const BROADCAST = -1;

/**
 * Ingress of a private interface: what is for the internet, for another private network, or for private hosts by an
 * external address (hairpin), goes to the TUN, and so do answers to twice NAT; the host stack keeps what is for the host itself, for the link, or for
 * devices that natgate does not serve. Destinations without a route or with an unreachable one go to the TUN too: the
 * engine answers for them.
 */
export function privateIngress(options: PrivateIngress): Uint8Array {
  const { tunIndex, routesMapFd, ownedMapFd } = options;
  const { external, former = [], local } = options;
  const shared = [external, ...former, local].filter((address) => address !== 0);
  const a = new Assembler();
  gate(a);
  handedBack(a, options.handbackMark);
  loadDestination(a, 'host');
  for (const address of shared) a.jumpIf32(r1, '==', address, 'shared');

  // The first address byte is the lowest: 224.0.0.0/4, then 169.254.0.0/16.
  a.jumpIf32(r1, '==', BROADCAST, 'host')
    .alu(r2, '=', r1)
    .alu(r2, '&=', 0xf0)
    .jumpIf(r2, '==', 0xe0, 'host')
    .alu(r1, '&=', 0xffff)
    .jumpIf(r1, '==', 0xfea9, 'host');
  lookUpRoute(a, routesMapFd);
  a.jumpIf(r0, '==', 0, 'tun')
    .load(r1, 'u32', r0, ROUTE_DEVICE)
    .jumpIf32(r1, '==', TO_HOST, 'host')
    .jump('tun');

  if (shared.length > 0) {
    a.label('shared');
    loadHeaders(a, 0);
    toExternal(a, ownedMapFd);
  }
  toTun(a, tunIndex);
  toHandedBack(a);
  toHost(a);
  return a.assemble();
}
