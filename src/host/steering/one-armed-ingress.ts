import { TO_ENGINE, TO_HOST } from '../../engine/routes.ts';
import { Assembler, fp, r0, r1, r7 } from '../ebpf/assembler.ts';
import {
  gate,
  handedBack,
  IP_DESTINATION,
  IP_SOURCE,
  KEY_ADDRESS,
  linkOnly,
  loadHeaders,
  lookUpRoute,
  PEER,
  redirectTo,
  toDrop,
  toHandedBack,
  toHost,
} from './parse.ts';
import { PRIVATE_SIDE, ROUTE_DEVICE } from './routes-map.ts';
import { toExternal } from './to-external.ts';

export interface OneArmedIngress {
  /** ifindex of the interface. */
  device: number;
  /** ifindex of the TUN of its private side, and of its public one. */
  privateTun: number;
  publicTun: number;
  /** The address natgate translates to, int32 in wire order; 0 when there is none (yet). */
  external: number;
  /** Addresses that were the external one before, and that flows still have. */
  former?: readonly number[];
  /** Port 53 of that address is natgate's for private hosts. */
  dns?: boolean;
  /** Private hosts are known outside by their own addresses (exemptions): the engine says what may come to them. */
  privateToTun: boolean;
  routesMapFd: number;
  ownedMapFd: number;
  /** Mark of packets that the TUNs' programs hand back to the host; not 0. */
  handbackMark: number;
}

/**
 * Ingress of an interface that is both sides. The route map knows which addresses are private (their routes have PRIVATE_SIDE):
 *
 *     to the external address      natgate's by the owned bitmap: the TUN of the peer's side (to-external.ts); else host
 *     to a dedicated address       the TUN of the sender's side
 *     to the host, the link, or devices that natgate does not serve: host
 *     from a private address       the private TUN: to the internet, to another private network, to nowhere
 *     from another one             to a private network: dropped, or the public TUN; else host
 *
 * A sender's side is what its address says: who forges a private one is believed, unless the network before us sees to it, as
 * clouds do.
 */
export function oneArmedIngress(options: OneArmedIngress): Uint8Array {
  const { device, routesMapFd, ownedMapFd, external } = options;
  const a = new Assembler();
  gate(a);
  handedBack(a, options.handbackMark);
  loadHeaders(a, 0);
  a.load(r1, 'u32', fp, IP_SOURCE)
    .store('u32', fp, PEER, r1)
    .load(r1, 'u32', fp, IP_DESTINATION)
    .store('u32', fp, KEY_ADDRESS, r1);
  const shared = [external, ...(options.former ?? [])].filter((address) => address !== 0);
  for (const address of shared) a.jumpIf32(r1, '==', address, 'external');
  linkOnly(a, 'host');

  // r7: where the destination is; nowhere is 0.
  lookUpRoute(a, routesMapFd);
  a.alu(r7, '=', 0).jumpIf(r0, '==', 0, 'sender').load(r7, 'u32', r0, ROUTE_DEVICE);
  a.jumpIf32(r7, '==', TO_HOST, 'host').jumpIf32(r7, '==', TO_ENGINE, 'tun');
  a.label('sender').load(r1, 'u32', fp, PEER).store('u32', fp, KEY_ADDRESS, r1);
  lookUpRoute(a, routesMapFd);
  a.jumpIf(r0, '==', 0, 'outside')
    .load(r1, 'u32', r0, ROUTE_DEVICE)
    .jumpIf32(r1, '==', device | PRIVATE_SIDE, 'private_tun');
  a.label('outside').jumpIf32(r7, 's<=', 0, 'host').jumpIf32(r7, '==', device, 'host');
  if (options.privateToTun) a.jump('public_tun');
  else toDrop(a);

  const dns = options.dns === true && external !== 0;
  if (shared.length > 0) {
    a.label('external');
    toExternal(a, ownedMapFd, true, dns ? { address: external, to: 'query' } : null);
    if (dns) {
      // What others ask is the host's business.
      a.label('query').load(r1, 'u32', fp, PEER).store('u32', fp, KEY_ADDRESS, r1);
      lookUpRoute(a, routesMapFd);
      a.jumpIf(r0, '==', 0, 'host')
        .load(r1, 'u32', r0, ROUTE_DEVICE)
        .jumpIf32(r1, '==', device | PRIVATE_SIDE, 'private_tun')
        .jump('host');
    }
  }
  a.label('tun').load(r1, 'u32', fp, PEER).store('u32', fp, KEY_ADDRESS, r1);
  lookUpRoute(a, routesMapFd);
  a.jumpIf(r0, '==', 0, 'public_tun')
    .load(r1, 'u32', r0, ROUTE_DEVICE)
    .jumpIf32(r1, '==', device | PRIVATE_SIDE, 'private_tun');
  redirectTo(a.label('public_tun'), options.publicTun);
  redirectTo(a.label('private_tun'), options.privateTun);
  toHandedBack(a);
  toHost(a);
  return a.assemble();
}
