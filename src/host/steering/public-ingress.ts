import { TO_ENGINE } from '../../engine/routes.ts';
import { Assembler, fp, r0, r1, r2, r6 } from '../ebpf/assembler.ts';
import { SKB_IFINDEX } from '../ebpf/kernel.ts';
import {
  gate,
  handedBack,
  IP_DESTINATION,
  KEY_ADDRESS,
  loadHeaders,
  lookUpRoute,
  toDrop,
  toHandedBack,
  toHost,
  toTun,
} from './parse.ts';
import { ROUTE_DEVICE } from './routes-map.ts';
import { toExternal } from './to-external.ts';

export interface PublicIngress {
  /** ifindex of the TUN of this interface. */
  tunIndex: number;
  /** The address natgate translates to, int32 in wire order; 0 when there is none (yet). */
  external: number;
  /** Addresses that were the external one before, and that flows still have. */
  former?: readonly number[];
  /** Private hosts are known outside by their own addresses (exemptions): the engine says what may come to them. */
  privateToTun: boolean;
  routesMapFd: number;
  ownedMapFd: number;
  /** Mark of packets that the TUN's program hands back to the host; not 0. */
  handbackMark: number;
}

/**
 * Ingress of the public interface: what belongs to natgate, by the owned-port bitmap or because it is for a dedicated
 * address, goes to the TUN; nothing reaches a private network but through the engine; everything else is the host's own.
 */
export function publicIngress(options: PublicIngress): Uint8Array {
  const { tunIndex, external, routesMapFd, ownedMapFd } = options;
  const a = new Assembler();
  gate(a);
  handedBack(a, options.handbackMark);
  loadHeaders(a, 0);
  a.load(r1, 'u32', fp, IP_DESTINATION).store('u32', fp, KEY_ADDRESS, r1);
  const shared = [external, ...(options.former ?? [])].filter((address) => address !== 0);
  for (const address of shared) a.jumpIf32(r1, '==', address, 'external');

  // Another address: natgate's when dedicated to it; what is behind another served device is not the host's.
  lookUpRoute(a, routesMapFd);
  a.jumpIf(r0, '==', 0, 'host')
    .load(r1, 'u32', r0, ROUTE_DEVICE)
    .jumpIf32(r1, '==', TO_ENGINE, 'tun')
    .jumpIf32(r1, 's<=', 0, 'host')
    .load(r2, 'u32', r6, SKB_IFINDEX)
    .jumpIf32(r1, '==', r2, 'host');
  if (options.privateToTun) a.jump('tun');
  else toDrop(a);

  if (shared.length > 0) {
    a.label('external');
    toExternal(a, ownedMapFd);
  }
  toTun(a, tunIndex);
  toHandedBack(a);
  toHost(a);
  return a.assemble();
}
