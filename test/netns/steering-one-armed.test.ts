/**
 * Ingress of an interface that is both sides, run by the kernel on literal frames. To see which TUN a packet goes to, the program is
 * run once with each redirect made one that fails (bpf_redirect drops where a flag is not known).
 *
 * 10.77.0.0/16 is private; 10.77.0.5 is the external address, 10.77.0.6 a dedicated one.
 */
import { describe, expect, test } from 'vitest';
import { TO_ENGINE, TO_HOST, UNREACHABLE } from '../../src/engine/routes.ts';
import { oneArmedIngress } from '../../src/host/steering/one-armed-ingress.ts';
import { PRIVATE_SIDE, RouteMap } from '../../src/host/steering/routes-map.ts';
import {
  address,
  frame,
  GRE,
  load,
  MARK,
  OWN_ID,
  OWN_TCP,
  OWN_UDP,
  PRIVATE,
  PUBLIC,
  route,
  run,
  useSteering,
} from './steering-fixture.ts';
import { icmp, ipv4, SYN, tcp, UDP, udp } from './support/packets.ts';

const EXTERNAL = '10.77.0.5';
const DEDICATED = '10.77.0.6';
const INSIDE = '10.77.0.20';
const ROUTER = '10.77.0.1';
const OUTSIDE = '203.0.113.80';
/** On another private interface. */
const OTHER = '10.88.0.2';
const PRIVATE_TUN = 0x1234560;
const PUBLIC_TUN = 0x1234561;
const UNKNOWN_FLAG = 0x40;

const steering = useSteering();
const programs = new Map<string, number[]>();

function programsFor(privateToTun: boolean, dns: boolean): number[] {
  const key = `${privateToTun} ${dns}`;
  const known = programs.get(key);
  if (known !== undefined) return known;
  const routes = RouteMap.create();
  routes.sync(
    [
      route('0.0.0.0/0', 1, ROUTER),
      route('10.77.0.0/16', 0),
      route(`${EXTERNAL}/32`, TO_HOST),
      route(`${DEDICATED}/32`, TO_ENGINE),
      route('10.88.0.0/16', 2),
      route('10.8.0.0/16', TO_HOST),
      route('10.9.0.0/16', UNREACHABLE),
    ],
    [PUBLIC | PRIVATE_SIDE, PUBLIC, PRIVATE],
  );
  const bytes = oneArmedIngress({
    device: PUBLIC,
    privateTun: PRIVATE_TUN,
    publicTun: PUBLIC_TUN,
    external: address(EXTERNAL),
    privateToTun,
    dns,
    routesMapFd: routes.fd,
    ownedMapFd: steering.owned,
    handbackMark: MARK,
  });
  const fds = [PRIVATE_TUN, PUBLIC_TUN].map((tun) => load('t_arm', withoutRedirect(bytes, tun)));
  programs.set(key, fds);
  return fds;
}

/** The program, its redirect to `tun` broken: `r1 = tun; r2 = 0` becomes `r1 = tun; r2 = UNKNOWN_FLAG`. */
function withoutRedirect(program: Uint8Array, tun: number): Uint8Array {
  const copy = Buffer.from(program);
  for (let at = 0; at < copy.length; at += 8) {
    if (copy.readInt32LE(at + 4) === tun) copy.writeInt32LE(UNKNOWN_FLAG, at + 12);
  }
  return copy;
}

function verdict(packet: Buffer, privateToTun = false, dns = false): string {
  const [first, second] = programsFor(privateToTun, dns).map((fd) => run(fd, frame(packet)));
  if (first === second) return first!;
  return first === 'drop' ? 'private' : 'public';
}

const own = (src: string, dst = EXTERNAL) => udp({ src, dst, sport: 53, dport: OWN_UDP });
const about = (dst: string, sport = OWN_TCP) => tcp({ src: EXTERNAL, dst, sport, dport: 443, flags: SYN });

describe('DNS', () => {
  const query = (src: string) => udp({ src, dst: EXTERNAL, sport: 4000, dport: 53 });

  test('what private hosts ask is natgate’s, what others ask the host’s', () => {
    expect(verdict(query(INSIDE), false, true)).toBe('private');
    expect(verdict(query(OUTSIDE), false, true)).toBe('host');
    expect(verdict(udp({ src: INSIDE, dst: EXTERNAL, sport: 1, dport: 22 }), false, true)).toBe('host');
    expect(verdict(own(OUTSIDE), false, true)).toBe('public');
  });

  test('without it all of them are the host’s', () => {
    for (const src of [INSIDE, OUTSIDE]) expect(verdict(query(src))).toBe('host');
  });
});

describe('to the external address', () => {
  test.each([
    ['natgate’s port, from outside', own(OUTSIDE), 'public'],
    ['natgate’s port, from inside', own(INSIDE), 'private'],
    ['natgate’s port, from another private network', own(OTHER), 'public'],
    ['the host’s port, from outside', udp({ src: OUTSIDE, dst: EXTERNAL, sport: 1, dport: 22 }), 'host'],
    ['the host’s port, from inside', udp({ src: INSIDE, dst: EXTERNAL, sport: 1, dport: 22 }), 'host'],
    [
      'a fragment, from outside',
      ipv4({ src: OUTSIDE, dst: EXTERNAL, protocol: UDP, mf: true }, Buffer.alloc(8)),
      'public',
    ],
    [
      'a fragment, from inside',
      ipv4({ src: INSIDE, dst: EXTERNAL, protocol: UDP, offset: 8 }, Buffer.alloc(8)),
      'private',
    ],
    [
      'a protocol of natgate’s',
      ipv4({ src: OUTSIDE, dst: EXTERNAL, protocol: GRE }, Buffer.alloc(8)),
      'public',
    ],
    ['an answer to a ping', icmp({ src: OUTSIDE, dst: EXTERNAL, type: 0, rest: OWN_ID << 16 }), 'public'],
    ['a ping', icmp({ src: OUTSIDE, dst: EXTERNAL, type: 8, rest: OWN_ID << 16 }), 'host'],
    ['an error from outside', icmp({ src: OUTSIDE, dst: EXTERNAL, type: 3 }, about(OUTSIDE)), 'public'],
    [
      'an error of the router inside about a packet to outside',
      icmp({ src: ROUTER, dst: EXTERNAL, type: 11 }, about(OUTSIDE)),
      'public',
    ],
    [
      'an error about a packet to inside',
      icmp({ src: INSIDE, dst: EXTERNAL, type: 3 }, about(INSIDE)),
      'private',
    ],
    [
      'an error about a packet of the host’s',
      icmp({ src: ROUTER, dst: EXTERNAL, type: 11 }, about(OUTSIDE, 22)),
      'host',
    ],
  ])('%s', (_, packet, expected) => {
    expect(verdict(packet)).toBe(expected);
  });
});

describe('to other addresses', () => {
  const to = (src: string, dst: string) => udp({ src, dst, sport: 1, dport: 2 });
  test.each([
    ['a dedicated one, from outside', to(OUTSIDE, DEDICATED), 'public'],
    ['a dedicated one, from inside', to(INSIDE, DEDICATED), 'private'],
    ['from inside to the internet', to(INSIDE, OUTSIDE), 'private'],
    ['from inside to inside', to(INSIDE, '10.77.1.7'), 'private'],
    ['from inside to another private network', to(INSIDE, OTHER), 'private'],
    ['from inside to nowhere', to(INSIDE, '10.9.0.1'), 'private'],
    ['from inside to what the host has elsewhere', to(INSIDE, '10.8.0.1'), 'host'],
    ['from inside, broadcast', to(INSIDE, '255.255.255.255'), 'host'],
    ['from inside, multicast', to(INSIDE, '224.0.0.251'), 'host'],
    ['from inside, link-local (what clouds tell about themselves)', to(INSIDE, '169.254.169.254'), 'host'],
    ['from outside to inside', to(OUTSIDE, INSIDE), 'drop'],
    ['from outside to another private network', to(OUTSIDE, OTHER), 'drop'],
    ['from another private network to inside', to(OTHER, INSIDE), 'drop'],
    ['from outside to outside', to(OUTSIDE, '203.0.113.81'), 'host'],
    ['from outside to nowhere', to(OUTSIDE, '10.9.0.1'), 'host'],
  ])('%s', (_, packet, expected) => {
    expect(verdict(packet)).toBe(expected);
  });

  test('from outside to inside, where some flows are not translated: the engine says', () => {
    expect(verdict(to(OUTSIDE, INSIDE), true)).toBe('public');
    expect(verdict(to(OUTSIDE, OTHER), true)).toBe('public');
    expect(verdict(to(OUTSIDE, '203.0.113.81'), true)).toBe('host');
  });
});
