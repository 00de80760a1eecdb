import { Assembler, fp, r0, r1, r2, r3, r4, r5, r6 } from '../ebpf/assembler.ts';
import {
  AF_INET,
  ETH_P_IP_WIRE,
  ETHERNET_HEADER,
  F_INGRESS,
  REDIRECT,
  REDIRECT_NEIGH,
  SKB_CHANGE_HEAD,
  SKB_MARK,
  SKB_PROTOCOL,
  SKB_STORE_BYTES,
} from '../ebpf/kernel.ts';
import { KEY_ADDRESS, loadDestination, lookUpRoute, toDrop } from './parse.ts';
import { ROUTE_DEVICE, ROUTE_GATEWAY } from './routes-map.ts';

export interface TunIngress {
  /** ifindex of the interface this TUN serves. */
  device: number;
  /** What the route map calls it, where that is not its ifindex: the private side of a one-armed interface. */
  routeDevice?: number;
  routesMapFd: number;
  /** How to give the host what the engine found not to be its own. */
  handback: {
    /** The host's addresses that natgate shares, int32 in wire order: none (0), the external one, that of twice NAT. */
    addresses: readonly number[];
    /** The interface's own MAC address, 6 bytes; null: packets there have no link-layer header. */
    mac: Uint8Array | null;
    /** Lets the interface's program know the packet again; not 0. */
    mark: number;
  };
}

/** Stack: the Ethernet header of a packet handed back. */
const ETHERNET = -16;
/** Stack: struct bpf_redir_neigh, u32 family and 16 bytes of address. */
const NEXT_HOP = -64;
const NEXT_HOP_BYTES = 20;

/**
 * Ingress of a TUN: what the engine wrote leaves through the interface, to the next hop that the route map names.
 * A packet without a route through this interface is dropped; nothing the engine writes reaches the host stack
 * except by hand-back: a packet to an address that both share, as it came in from this interface.
 *
 * The next hop is always given to the kernel. Left to find it, the kernel attaches a route to the packet, and
 * when ARP fails it answers with an ICMP error that quotes addresses of the other side.
 * A TUN's packets have no link-layer header; bpf_redirect_neigh drops those, hence the 14 bytes in front. An interface
 * without such headers (tun, WireGuard, ipip, gre) has no neighbours either, and takes them as they are.
 */
export function tunIngress(options: TunIngress): Uint8Array {
  const { device, routesMapFd, handback } = options;
  const a = new Assembler();
  a.alu(r6, '=', r1).load(r2, 'u32', r6, SKB_PROTOCOL).jumpIf(r2, '!=', ETH_P_IP_WIRE, 'drop');
  loadDestination(a, 'drop');
  const shared = handback.addresses.filter((address) => address !== 0);
  for (const address of shared) a.jumpIf32(r1, '==', address, 'hand_back');

  lookUpRoute(a, routesMapFd);
  a.jumpIf(r0, '==', 0, 'drop')
    .load(r1, 'u32', r0, ROUTE_DEVICE)
    .jumpIf32(r1, '!=', options.routeDevice ?? device, 'drop');
  if (handback.mac === null) a.alu(r1, '=', device).alu(r2, '=', 0).call(REDIRECT).exit();
  else toNextHop(a, device);

  if (shared.length > 0) {
    const { mac, mark } = handback;
    a.label('hand_back');
    if (mac !== null) addHeader(a, mac);
    a.alu(r1, '=', mark)
      .store('u32', r6, SKB_MARK, r1)
      .alu(r1, '=', device)
      .alu(r2, '=', F_INGRESS)
      .call(REDIRECT)
      .exit();
  }
  toDrop(a);
  return a.assemble();
}

/** Sends the packet whose route r0 points to through the device, to the neighbour that the route names. */
function toNextHop(a: Assembler, device: number): void {
  a.load(r1, 'u32', r0, ROUTE_GATEWAY)
    .jumpIf(r1, '!=', 0, 'next_hop')
    .load(r1, 'u32', fp, KEY_ADDRESS)
    .label('next_hop')
    .store('u32', fp, NEXT_HOP, AF_INET)
    .store('u32', fp, NEXT_HOP + 4, r1)
    .store('u64', fp, NEXT_HOP + 8, 0)
    .store('u32', fp, NEXT_HOP + 16, 0);
  prepend(a);
  a.alu(r1, '=', device)
    .alu(r2, '=', fp)
    .alu(r2, '+=', NEXT_HOP)
    .alu(r3, '=', NEXT_HOP_BYTES)
    .alu(r4, '=', 0)
    .call(REDIRECT_NEIGH)
    .exit();
}

/** Puts the Ethernet header in front that a packet to `mac` has. */
function addHeader(a: Assembler, mac: Uint8Array): void {
  const destination = new DataView(mac.buffer, mac.byteOffset, 6);
  prepend(a);
  a.store('u32', fp, ETHERNET, destination.getInt32(0, true))
    .store('u32', fp, ETHERNET + 4, destination.getUint16(4, true))
    .store('u32', fp, ETHERNET + 8, 0)
    .store('u16', fp, ETHERNET + 12, ETH_P_IP_WIRE)
    .alu(r1, '=', r6)
    .alu(r2, '=', 0)
    .alu(r3, '=', fp)
    .alu(r3, '+=', ETHERNET)
    .alu(r4, '=', ETHERNET_HEADER)
    .alu(r5, '=', 0)
    .call(SKB_STORE_BYTES)
    .jumpIf(r0, '!=', 0, 'drop');
}

/** Puts 14 zero bytes in front, or goes to `drop` (packets over 16 KiB that are not super-packets). */
function prepend(a: Assembler): void {
  a.alu(r1, '=', r6)
    .alu(r2, '=', ETHERNET_HEADER)
    .alu(r3, '=', 0)
    .call(SKB_CHANGE_HEAD)
    .jumpIf(r0, '!=', 0, 'drop');
}
