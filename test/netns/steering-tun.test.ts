/** TUN ingress and the maps that all programs read, run by the kernel (BPF_PROG_TEST_RUN) on literal frames. */
import { describe, expect, test } from 'vitest';
import { NatgateError } from '../../src/core/errors.ts';
import { TO_HOST } from '../../src/engine/routes.ts';
import { Assembler, r0, r1 } from '../../src/host/ebpf/assembler.ts';
import { RouteMap } from '../../src/host/steering/routes-map.ts';
import { tunIngress } from '../../src/host/steering/tun-ingress.ts';
import { addon } from '../../src/link/addon.ts';
import { OWNED_BYTES, OWNED_PROTOCOLS, OWNED_TCP, setOwned } from '../../src/nat/owned.ts';
import {
  address,
  CLIENT,
  DEDICATED,
  EXTERNAL,
  frame,
  load,
  MAC,
  MARK,
  OWN_MAC,
  OWN_UDP,
  PRIVATE,
  PUBLIC,
  route,
  run,
  SERVER,
  toExternal,
  useSteering,
} from './steering-fixture.ts';
import { ethernet, ipv4, SYN, tcp, udp } from './support/packets.ts';

const steering = useSteering();

describe('TUN ingress', () => {
  const to = (dst: string) => udp({ src: SERVER, dst, sport: 53, dport: 4000 }, Buffer.from('data'));
  const outward = (dst: string) =>
    udp({ src: EXTERNAL, dst, sport: OWN_UDP, dport: 53 }, Buffer.from('data'));

  test.each<['tunPrivate' | 'tunPublic', string, string, () => Buffer]>([
    ['tunPrivate', 'a private host', 'redirect', () => to(CLIENT)],
    ['tunPrivate', 'a network behind a private router', 'redirect', () => to('10.9.9.4')],
    ['tunPrivate', 'the internet', 'drop', () => to(SERVER)],
    ['tunPrivate', 'the host', 'drop', () => to('10.77.0.1')],
    ['tunPrivate', 'the external address (hand-back)', 'redirect', () => to(EXTERNAL)],
    ['tunPrivate', 'a dedicated address', 'drop', () => to(DEDICATED)],
    ['tunPrivate', 'an unreachable network', 'drop', () => to('10.9.1.1')],
    ['tunPrivate', 'a network the host has elsewhere', 'drop', () => to('10.8.1.1')],
    ['tunPublic', 'the internet', 'redirect', () => outward(SERVER)],
    ['tunPublic', 'a neighbour', 'redirect', () => outward('198.18.0.2')],
    ['tunPublic', 'a private host', 'drop', () => outward(CLIENT)],
    ['tunPublic', 'the private address of the host', 'drop', () => outward('10.77.0.1')],
    ['tunPublic', 'the external address (hand-back)', 'redirect', () => to(EXTERNAL)],
    ['tunPublic', 'a dedicated address', 'drop', () => to(DEDICATED)],
  ])('%s, to %s → %s', (program, _name, action, packet) => {
    expect(run(steering.fds[program], frame(packet()))).toBe(action);
  });

  test('what is not IPv4 is dropped', () => {
    const bytes = frame(Buffer.concat([to(EXTERNAL), Buffer.alloc(20)]), OWN_MAC, 0x86dd);
    expect(run(steering.fds.tunPublic, bytes)).toBe('drop');
  });

  // In a test run the packet has a link-layer header already; it stays behind the new one.
  test('14 bytes are put in front of what leaves', () => {
    const input = frame(outward(SERVER));
    const { output } = addon().bpfProgRun(steering.fds.tunPublic, input, 2048);
    expect(Buffer.from(output)).toEqual(Buffer.concat([Buffer.alloc(14), input]));
  });

  test.each(['tunPrivate', 'tunPublic'] as const)(
    'what %s hands back gets an Ethernet header for the interface itself',
    (program) => {
      const input = frame(to(EXTERNAL));
      const { output } = addon().bpfProgRun(steering.fds[program], input, 2048);
      expect(Buffer.from(output)).toEqual(ethernet(MAC, OWN_MAC, input));
    },
  );

  test('twice NAT: what is for the private address is handed back as well', () => {
    const addresses = [address(EXTERNAL), address('10.77.0.1')];
    const mac = Buffer.from(MAC.replaceAll(':', ''), 'hex');
    const handback = { addresses, mac, mark: MARK };
    const fd = load(
      't_tun_twice',
      tunIngress({ device: PRIVATE, routesMapFd: steering.routes.fd, handback }),
    );
    for (const dst of [EXTERNAL, '10.77.0.1']) {
      const input = frame(to(dst));
      const { output } = addon().bpfProgRun(fd, input, 2048);
      expect(Buffer.from(output)).toEqual(ethernet(MAC, OWN_MAC, input));
    }
    expect(run(steering.fds.tunPrivate, frame(to('10.77.0.1')))).toBe('drop');
  });

  test('before there is an external address', () => {
    const handback = { addresses: [0], mac: new Uint8Array(6), mark: MARK };
    const fd = load(
      't_tun_waiting',
      tunIngress({ device: PUBLIC, routesMapFd: steering.routes.fd, handback }),
    );
    const action = (packet: Buffer) => run(fd, frame(packet));
    expect(action(outward(SERVER))).toBe('redirect');
    expect(action(to(EXTERNAL))).toBe('drop');
    expect(action(to('0.0.0.0'))).toBe('redirect'); // by the default route
  });
});

describe('maps', () => {
  test('the bitmap is read as it is now', () => {
    const bitmap = new Uint8Array(addon().mmap(steering.owned, OWNED_BYTES, true));
    for (const port of [0, 7, 8, 32767, 65535]) {
      const packet = tcp({ ...toExternal, sport: 1, dport: port, flags: SYN });
      expect(run(steering.fds.public, frame(packet))).toBe('host');
      setOwned(bitmap, OWNED_TCP, port, true);
      expect(run(steering.fds.public, frame(packet))).toBe('redirect');
      setOwned(bitmap, OWNED_TCP, port, false);
      expect(run(steering.fds.public, frame(packet))).toBe('host');
    }
    for (const protocol of [0, 132, 255]) {
      const packet = ipv4({ ...toExternal, protocol }, Buffer.alloc(8));
      setOwned(bitmap, OWNED_PROTOCOLS, protocol, true);
      expect(run(steering.fds.public, frame(packet))).toBe('redirect');
      setOwned(bitmap, OWNED_PROTOCOLS, protocol, false);
      expect(run(steering.fds.public, frame(packet))).toBe('host');
    }
  });

  test('routes: added, changed, removed', () => {
    const map = RouteMap.create();
    const contents = () => {
      const list: string[] = [];
      const next = (key: Uint8Array | null) => addon().bpfMapNextKey(map.fd, key, 8);
      for (let key = next(null); key !== null; key = next(key)) {
        const value = addon().bpfMapLookup(map.fd, key, 8) as Uint8Array;
        list.push(`${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}`);
      }
      return list.sort();
    };
    try {
      map.sync([route('10.0.0.0/8', 0), route('0.0.0.0/0', 1, '198.18.0.2')], [5, 6]);
      expect(contents()).toEqual(['0000000000000000 06000000c6120002', '080000000a000000 0500000000000000']);
      map.sync([route('10.0.0.0/8', TO_HOST), route('10.1.2.3/32', 0)], [5, 6]);
      expect(contents()).toEqual(['080000000a000000 ffffffff00000000', '200000000a010203 0500000000000000']);
      map.sync([], [5, 6]);
      expect(contents()).toEqual([]);
    } finally {
      map.close();
    }
  });
});

test('a program the kernel refuses says why', () => {
  const endless = new Assembler().load(r0, 'u64', r1, 0).exit().assemble();
  let thrown: unknown;
  try {
    load('t_bad', endless);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(NatgateError);
  const { code, message, cause } = thrown as NatgateError;
  expect(code).toBe('bpf_refused');
  expect(message).toContain('t_bad');
  expect(message).toContain('invalid bpf_context access off=0 size=8');
  expect(cause).toMatchObject({ code: 'EACCES', syscall: 'bpf(BPF_PROG_LOAD)' });
});
