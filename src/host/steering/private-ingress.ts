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
  routesMapFd: number;
  ownedMapFd: number;
  /** Mark of packets that the TUN's program hands back to the host; not 0. */
  handbackMark: number;
}

const BROADCAST = -1;

/**
 * Ingress of a private interface: what is for the internet, for another private network, or for private hosts by an
 * external address (hairpin), goes to the TUN; the host stack keeps what is for the host itself, for the link, or for
 * devices that natgate does not serve. Destinations without a route or with an unreachable one go to the TUN too: the
 * engine answers for them.
 */
export function privateIngress(options: PrivateIngress): Uint8Array {
  const { tunIndex, external, routesMapFd } = options;
  const a = new Assembler();
  gate(a);
  handedBack(a, options.handbackMark);
  loadDestination(a, 'host');
  if (external !== 0) a.jumpIf32(r1, '==', external, 'external');

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

  if (external !== 0) {
    a.label('external');
    loadHeaders(a, 0);
    toExternal(a, options);
  }
  toTun(a, tunIndex);
  toHandedBack(a);
  toHost(a);
  return a.assemble();
}
