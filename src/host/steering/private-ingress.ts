import { TO_HOST } from '../../engine/routes.ts';
import { OWNED_TCP, OWNED_UDP } from '../../nat/owned.ts';
import { Assembler, fp, r0, r1, r2, r3 } from '../ebpf/assembler.ts';
import {
  ANY_FRAGMENT,
  gate,
  IP_FRAGMENT,
  IP_PROTOCOL,
  L4,
  loadDestination,
  loadHeaders,
  lookUpRoute,
  ownedCheck,
  TCP,
  toHost,
  toTun,
  UDP,
} from './parse.ts';
import { ROUTE_DEVICE } from './routes-map.ts';

export interface PrivateIngress {
  /** ifindex of the TUN of this interface. */
  tunIndex: number;
  /** The address natgate translates to, int32 in wire order; 0 when there is none. */
  external: number;
  routesMapFd: number;
  ownedMapFd: number;
}

const BROADCAST = -1;

/**
 * Ingress of a private interface: what is for the internet, or for another private network, goes to the TUN; the
 * host stack keeps what is for the host itself, for the link, or for devices that natgate does not serve.
 * Destinations without a route or with an unreachable one go to the TUN too: the engine answers for them.
 */
export function privateIngress(options: PrivateIngress): Uint8Array {
  const a = new Assembler();
  gate(a);
  loadDestination(a, 'host');
  if (options.external !== 0) a.jumpIf32(r1, '==', options.external, 'external');

  // The first address byte is the lowest: 224.0.0.0/4, then 169.254.0.0/16.
  a.jumpIf32(r1, '==', BROADCAST, 'host')
    .alu(r2, '=', r1)
    .alu(r2, '&=', 0xf0)
    .jumpIf(r2, '==', 0xe0, 'host')
    .alu(r1, '&=', 0xffff)
    .jumpIf(r1, '==', 0xfea9, 'host');
  lookUpRoute(a, options.routesMapFd);
  a.jumpIf(r0, '==', 0, 'tun').load(r1, 'u32', r0, ROUTE_DEVICE).jumpIf32(r1, '==', TO_HOST, 'host');
  toTun(a, options.tunIndex);

  if (options.external !== 0) {
    a.label('external');
    loadHeaders(a, 0);
    a.load(r1, 'u16', fp, IP_FRAGMENT)
      .jumpIf(r1, '&', ANY_FRAGMENT, 'host')
      .load(r1, 'u16', fp, L4 + 2)
      .toBigEndian(r1, 16)
      .load(r3, 'u8', fp, IP_PROTOCOL)
      .alu(r2, '=', OWNED_TCP)
      .jumpIf(r3, '==', TCP, 'owned')
      .alu(r2, '=', OWNED_UDP)
      .jumpIf(r3, '!=', UDP, 'host');
    ownedCheck(a, options.ownedMapFd);
  }
  toHost(a);
  return a.assemble();
}
