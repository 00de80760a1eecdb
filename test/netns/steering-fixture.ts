/** The steering programs with the maps, routes and packets that their tests use. */
import { closeSync } from 'node:fs';
import { afterAll, beforeAll } from 'vitest';
import { type Route, TO_ENGINE, TO_HOST, UNREACHABLE } from '../../src/engine/routes.ts';
import { Assembler, r1, r2, r3, r6 } from '../../src/host/ebpf/assembler.ts';
import { loadProgram } from '../../src/host/ebpf/load.ts';
import { createOwnedMap } from '../../src/host/steering/owned-map.ts';
import { privateIngress } from '../../src/host/steering/private-ingress.ts';
import { publicIngress } from '../../src/host/steering/public-ingress.ts';
import { RouteMap } from '../../src/host/steering/routes-map.ts';
import { tunIngress } from '../../src/host/steering/tun-ingress.ts';
import { addon } from '../../src/link/addon.ts';
import {
  OWNED_BYTES,
  OWNED_ICMP,
  OWNED_PROTOCOLS,
  OWNED_TCP,
  OWNED_UDP,
  setOwned,
} from '../../src/nat/owned.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { ethernet, type Ipv4Fields, icmp, ipv4, SYN, tcp, udp } from './support/packets.ts';

export const EXTERNAL = '198.18.0.1';
export const DEDICATED = '198.18.0.77';
export const SERVER = '203.0.113.80';
export const CLIENT = '10.77.0.2';
export const OWN_TCP = 40000;
export const OWN_UDP = 50001;
export const OWN_ID = 0x1234;
export const GRE = 47;
export const MARK = 0x6e67;
export const MAC = '02:00:00:00:00:aa';
/** Ifindexes; test runs happen on the loopback device, whose index is 1. */
export const PUBLIC = 1;
export const PRIVATE = 77;
export const TUN = 88;

/** What a program returns. */
const ACTIONS: Record<number, string> = { 0: 'host', 2: 'drop', 7: 'redirect' };

export const address = (text: string) => parseAddress(text) as number;

export function route(prefix: string, device: number, gateway = '0.0.0.0'): Route {
  const [network, length] = prefix.split('/') as [string, string];
  return { prefix: address(network), length: Number(length), device, gateway: address(gateway), mtu: 0 };
}

export type Program = 'private' | 'public' | 'tunPrivate' | 'tunPublic';

/** The maps, and the programs as bytes and as descriptors; there once tests run. */
export interface Steering {
  routes: RouteMap;
  owned: number;
  bytes: Record<Program, Uint8Array>;
  fds: Record<Program, number>;
}

const programs: number[] = [];

/** Loads a program until the tests of the file have ended. */
export function load(name: string, bytes: Uint8Array): number {
  const fd = loadProgram(name, bytes);
  programs.push(fd);
  return fd;
}

/** Makes the maps and loads the programs before the tests of a file. */
export function useSteering(): Steering {
  const steering = {} as Steering;
  beforeAll(() => {
    const routes = RouteMap.create();
    const owned = createOwnedMap();
    fill(routes, owned);
    const bytes = build(routes.fd, owned);
    const fds = {} as Record<Program, number>;
    for (const name of Object.keys(bytes) as Program[]) fds[name] = load(`t_${name}`, bytes[name]);
    Object.assign(steering, { routes, owned, bytes, fds });
  });
  afterAll(() => {
    for (const fd of programs) closeSync(fd);
    if (steering.routes === undefined) return;
    closeSync(steering.owned);
    steering.routes.close();
  });
  return steering;
}

function fill(routes: RouteMap, owned: number): void {
  const bitmap = new Uint8Array(addon().mmap(owned, OWNED_BYTES, true));
  setOwned(bitmap, OWNED_TCP, OWN_TCP, true);
  setOwned(bitmap, OWNED_UDP, OWN_UDP, true);
  setOwned(bitmap, OWNED_ICMP, OWN_ID, true);
  setOwned(bitmap, OWNED_PROTOCOLS, GRE, true);
  routes.sync(
    [
      route('0.0.0.0/0', 1, '198.18.0.2'),
      route('198.18.0.0/24', 1),
      route('198.18.0.1/32', TO_HOST),
      route('10.77.0.0/24', 0),
      route('10.77.0.1/32', TO_HOST),
      route('10.77.0.255/32', TO_HOST),
      route('10.8.0.0/16', TO_HOST), // a VPN of the host's
      route('10.9.0.0/16', UNREACHABLE),
      route('10.9.9.0/24', 0, '10.77.0.9'),
      route(`${DEDICATED}/32`, TO_ENGINE), // an address of its own, and a whole network
      route('192.0.2.0/28', TO_ENGINE),
      route('169.254.169.254/32', 1), // cloud hosts have this one
    ],
    [PRIVATE, PUBLIC],
  );
}

function build(routesMapFd: number, ownedMapFd: number): Record<Program, Uint8Array> {
  const external = address(EXTERNAL);
  const common = { tunIndex: TUN, external, routesMapFd, ownedMapFd, handbackMark: MARK };
  const handback = { addresses: [external], mac: Buffer.from(MAC.replaceAll(':', ''), 'hex'), mark: MARK };
  return {
    private: privateIngress({ ...common, local: 0 }),
    public: publicIngress({ ...common, privateToTun: false }),
    tunPrivate: tunIngress({ device: PRIVATE, routesMapFd, handback }),
    tunPublic: tunIngress({ device: PUBLIC, routesMapFd, handback }),
  };
}

/** Frames are for the loopback device, whose own address is all zeros. */
export const OWN_MAC = '00:00:00:00:00:00';
export const frame = (packet: Buffer, mac = OWN_MAC, type = 0x0800) => ethernet(mac, MAC, packet, type);

/** Runs a program on a frame and says what it wants done with it. */
export function run(fd: number, bytes: Uint8Array): string | undefined {
  return ACTIONS[addon().bpfProgRun(fd, bytes, 0).returnValue];
}

export type Row = [name: string, packet: () => Buffer, action: 'host' | 'drop' | 'redirect'];

/** In the order of a test's title. */
export const rows = (list: Row[]) => list.map(([name, packet, action]) => [name, action, packet] as const);

export const NOPS = Buffer.alloc(8, 1);
export const toExternal = { src: SERVER, dst: EXTERNAL };
export const ownTcp = (fields: Partial<Ipv4Fields> = {}) =>
  tcp({ ...toExternal, ...fields, sport: 443, dport: OWN_TCP, flags: SYN });
export const otherTcp = (fields: Partial<Ipv4Fields> = {}) =>
  tcp({ ...toExternal, ...fields, sport: 443, dport: 22, flags: SYN });
export const ownUdp = (fields: Partial<Ipv4Fields> = {}) =>
  udp({ ...toExternal, ...fields, sport: 53, dport: OWN_UDP }, Buffer.from('answer'));
export const otherUdp = (fields: Partial<Ipv4Fields> = {}) =>
  udp({ ...toExternal, ...fields, sport: 53, dport: OWN_TCP }, Buffer.from('answer'));
export const ownGre = () => ipv4({ ...toExternal, protocol: GRE }, Buffer.alloc(60));
export const query = (type: number, id: number, fields: Partial<Ipv4Fields> = {}) =>
  icmp({ ...toExternal, ...fields, type, rest: id << 16 }, Buffer.from('data'));
/** Runs a program on a packet after helper `change`, called with these arguments, has been at it. */
export function runChanged(program: Uint8Array, change: number, args: [number, number], packet: Buffer) {
  const prologue = new Assembler()
    .alu(r6, '=', r1)
    .alu(r2, '=', args[0])
    .alu(r3, '=', args[1])
    .call(change)
    .alu(r1, '=', r6)
    .assemble();
  const fd = load('t_changed', Buffer.concat([prologue, program]));
  return run(fd, frame(packet));
}

export function withFirstByte(packet: Buffer, byte: number): Buffer {
  packet[0] = byte;
  return packet;
}
