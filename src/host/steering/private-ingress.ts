import { TO_HOST } from '../../engine/routes.ts';
import { Assembler, r0, r1 } from '../ebpf/assembler.ts';
import { meter } from './meter.ts';
import {
  gate,
  handedBack,
  linkOnly,
  loadDestination,
  loadHeaders,
  lookUpRoute,
  redirectTo,
  toHandedBack,
  toHost,
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
  /** The gateway's private address when it is the source of twice NAT or answers DNS, int32 in wire order; else 0. */
  local: number;
  /** Port 53 of `local` is natgate's. */
  dns?: boolean;
  routesMapFd: number;
  ownedMapFd: number;
  /** Counts, and limits, what private hosts send (meter.ts); undefined: nobody is counted. */
  meterMapFd?: number | undefined;
  /** Mark of packets that the TUN's program hands back to the host; not 0. */
  handbackMark: number;
}

/**
 * Ingress of a private interface: what is for the internet, for another private network, or for private hosts by an
 * external address (hairpin), goes to the TUN, and so do answers to twice NAT and, where natgate sees to it, DNS queries to the gateway; the host stack keeps what is for the host itself, for the link, or for
 * devices that natgate does not serve. Destinations without a route or with an unreachable one go to the TUN too: the
 * engine answers for them. What goes to the TUN is metered (meter.ts).
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

  linkOnly(a, 'host');
  lookUpRoute(a, routesMapFd);
  a.jumpIf(r0, '==', 0, 'tun')
    .load(r1, 'u32', r0, ROUTE_DEVICE)
    .jumpIf32(r1, '==', TO_HOST, 'host')
    .jump('tun');

  if (shared.length > 0) {
    a.label('shared');
    loadHeaders(a, 0);
    const dns = options.dns === true && options.local !== 0 ? { address: options.local, to: 'tun' } : null;
    toExternal(a, ownedMapFd, false, dns);
  }
  a.label('tun');
  if (options.meterMapFd !== undefined) meter(a, options.meterMapFd);
  redirectTo(a, tunIndex);
  toHandedBack(a);
  toHost(a);
  return a.assemble();
}
