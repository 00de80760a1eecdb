/**
 * Private ingress, and the gate that private and public ingress have in common, run by the kernel (BPF_PROG_TEST_RUN) on
 * literal frames. Where the packets then go is in steering.test.ts.
 */
import { closeSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { createMeterMap, METER_BYTES, Meter } from '../../src/host/steering/meter.ts';
import { privateIngress } from '../../src/host/steering/private-ingress.ts';
import { RouteMap } from '../../src/host/steering/routes-map.ts';
import { addon } from '../../src/link/addon.ts';
import {
  address,
  CLIENT,
  DEDICATED,
  EXTERNAL,
  frame,
  GRE,
  load,
  MARK,
  NOPS,
  OWN_ID,
  OWN_MAC,
  OWN_TCP,
  otherTcp,
  otherUdp,
  ownTcp,
  ownUdp,
  type Program,
  query,
  rows,
  run,
  runChanged,
  SERVER,
  TUN,
  useSteering,
  withFirstByte,
} from './steering-fixture.ts';
import { icmp, ipv4, SYN, tcp, UDP, udp } from './support/packets.ts';

const steering = useSteering();

describe('private ingress', () => {
  const to = (dst: string) => () => tcp({ src: CLIENT, dst, sport: 4000, dport: 443, flags: SYN });
  /** As a private host answers a packet that came to it from the external address. */
  const errorAbout = (sport: number) =>
    icmp(
      { src: CLIENT, dst: EXTERNAL, type: 3, code: 3 },
      tcp({ src: EXTERNAL, dst: CLIENT, sport, dport: 443, flags: SYN }),
    );
  test.each(
    rows([
      ['the internet', to('203.0.113.80'), 'redirect'],
      ['the public network', to('198.18.0.2'), 'redirect'],
      ['its own network', to('10.77.0.3'), 'redirect'],
      ['a network behind a private router', to('10.9.9.1'), 'redirect'],
      ['an unreachable network', to('10.9.1.1'), 'redirect'],
      ['240.0.0.1', to('240.0.0.1'), 'redirect'],
      ['223.255.255.255', to('223.255.255.255'), 'redirect'],
      ['the host', to('10.77.0.1'), 'host'],
      ['the broadcast address of its network', to('10.77.0.255'), 'host'],
      ['a network the host has elsewhere', to('10.8.1.1'), 'host'],
      ['multicast, first', to('224.0.0.1'), 'host'],
      ['multicast, last', to('239.255.255.255'), 'host'],
      ['broadcast', to('255.255.255.255'), 'host'],
      ['255.255.255.254', to('255.255.255.254'), 'redirect'],
      ['link-local', to('169.254.3.4'), 'host'],
      ['link-local with a route of its own', to('169.254.169.254'), 'host'],
      ['169.253.0.1', to('169.253.0.1'), 'redirect'],
      ['169.255.0.1', to('169.255.0.1'), 'redirect'],
      [
        'a fragment for the internet',
        () => ipv4({ src: CLIENT, dst: SERVER, protocol: UDP, mf: true }, Buffer.alloc(8)),
        'redirect',
      ],
      [
        'a later fragment for the internet',
        () => ipv4({ src: CLIENT, dst: SERVER, protocol: UDP, offset: 8 }, Buffer.alloc(1)),
        'redirect',
      ],
      ['any protocol', () => ipv4({ src: CLIENT, dst: SERVER, protocol: 200 }, Buffer.alloc(0)), 'redirect'],
      [
        'options',
        () => tcp({ src: CLIENT, dst: SERVER, sport: 1, dport: 2, flags: SYN, options: NOPS }),
        'redirect',
      ],
      ['a bad header length, for the engine to count', () => withFirstByte(to(SERVER)(), 0x41), 'redirect'],
      ['the external address, owned TCP port', () => ownTcp({ src: CLIENT }), 'redirect'],
      [
        'the external address, owned TCP port, options',
        () => ownTcp({ src: CLIENT, options: NOPS }),
        'redirect',
      ],
      ['the external address, other TCP port', () => otherTcp({ src: CLIENT }), 'host'],
      ['the external address, owned UDP port', () => ownUdp({ src: CLIENT }), 'redirect'],
      ['the external address, other UDP port', () => otherUdp({ src: CLIENT }), 'host'],
      ['the external address, a fragment', () => ownTcp({ src: CLIENT, mf: true }), 'redirect'],
      ['the external address, a later fragment', () => ownTcp({ src: CLIENT, offset: 1480 }), 'redirect'],
      ['the external address, echo request', () => query(8, OWN_ID, { src: CLIENT }), 'host'],
      ['the external address, echo reply, owned id', () => query(0, OWN_ID, { src: CLIENT }), 'redirect'],
      ['the external address, echo reply, other id', () => query(0, OWN_ID + 1, { src: CLIENT }), 'host'],
      [
        'the external address, owned protocol',
        () => ipv4({ src: CLIENT, dst: EXTERNAL, protocol: GRE }, Buffer.alloc(8)),
        'redirect',
      ],
      [
        'the external address, other protocol',
        () => ipv4({ src: CLIENT, dst: EXTERNAL, protocol: GRE + 1 }, Buffer.alloc(8)),
        'host',
      ],
      ['the external address, error about what natgate sent', () => errorAbout(OWN_TCP), 'redirect'],
      ['the external address, error about what the host sent', () => errorAbout(22), 'host'],
      ['a dedicated address', to(DEDICATED), 'redirect'],
      ['a dedicated address, echo request', () => query(8, 1, { src: CLIENT, dst: DEDICATED }), 'redirect'],
      ['a dedicated network', to('192.0.2.15'), 'redirect'],
      ['the external address, cut in the ports', () => ownTcp({ src: CLIENT }).subarray(0, 22), 'host'],
    ]),
  )('%s → %s', (_name, action, packet) => {
    expect(run(steering.fds.private, frame(packet()))).toBe(action);
  });

  test('without an external address', () => {
    const fd = load(
      't_no_external',
      privateIngress({
        tunIndex: TUN,
        external: 0,
        local: 0,
        routesMapFd: steering.routes.fd,
        ownedMapFd: steering.owned,
        handbackMark: MARK,
      }),
    );
    const action = (packet: Buffer) => run(fd, frame(packet));
    expect(action(to(SERVER)())).toBe('redirect');
    expect(action(to(DEDICATED)())).toBe('redirect');
    expect(action(ownTcp({ src: CLIENT }))).toBe('host'); // the route map says so
  });

  test('a meter: off it counts nobody; on, who sends more than the limit is cut down, and others are not', () => {
    const meterMapFd = createMeterMap();
    const meter = new Meter(addon().mmap(meterMapFd, METER_BYTES, true));
    const fd = load(
      't_meter',
      privateIngress({
        tunIndex: TUN,
        external: address(EXTERNAL),
        local: 0,
        routesMapFd: steering.routes.fd,
        ownedMapFd: steering.owned,
        meterMapFd,
        handbackMark: MARK,
      }),
    );
    const send = (src: string, dst = SERVER) =>
      run(fd, frame(tcp({ src, dst, sport: 4000, dport: 443, flags: SYN })));
    const many = (src: string) => Array.from({ length: 400 }, () => send(src));
    expect(new Set(many(CLIENT))).toEqual(new Set(['redirect']));
    expect(meter.demands()).toEqual([]);
    meter.limit = 2;
    // In each 8 ms some hundred, of which two pass.
    const actions = many(CLIENT);
    const dropped = actions.filter((action) => action === 'drop').length;
    expect(dropped).toBeGreaterThan(100);
    expect(actions.length - dropped).toBeGreaterThanOrEqual(2);
    expect(meter.dropped).toBe(dropped);
    expect(meter.demands()).toEqual([{ address: address(CLIENT), packets: expect.any(Number) }]);
    expect(send('10.77.0.9')).toBe('redirect');
    // What does not go to the engine is not counted.
    expect(send(CLIENT, '10.77.0.1')).toBe('host');
    expect(meter.dropped).toBe(dropped);
    meter.limit = 0;
    expect(new Set(many(CLIENT))).toEqual(new Set(['redirect']));
    closeSync(meterMapFd);
  });

  test('twice NAT: what is natgate’s at the private address goes to the TUN', () => {
    const local = '10.77.0.1';
    const fd = load(
      't_twice',
      privateIngress({
        tunIndex: TUN,
        external: address(EXTERNAL),
        local: address(local),
        routesMapFd: steering.routes.fd,
        ownedMapFd: steering.owned,
        handbackMark: MARK,
      }),
    );
    const action = (packet: Buffer) => run(fd, frame(packet));
    const there = { src: CLIENT, dst: local };
    const sent = (src: string, sport: number) => tcp({ src, dst: CLIENT, sport, dport: 80, flags: SYN });
    const error = (quote: Buffer) => icmp({ ...there, type: 3, code: 3 }, quote);
    for (const packet of [
      ownTcp(there),
      ownUdp(there),
      ownUdp({ ...there, offset: 8 }),
      error(sent(local, OWN_TCP)),
      ownTcp({ src: CLIENT }),
      icmp({ src: CLIENT, dst: EXTERNAL, type: 3, code: 3 }, sent(EXTERNAL, OWN_TCP)),
    ]) {
      expect(action(packet)).toBe('redirect');
      // Without twice NAT the private address is the host's alone.
      if (packet.subarray(16, 20).equals(Buffer.from([10, 77, 0, 1]))) {
        expect(run(steering.fds.private, frame(packet))).toBe('host');
      }
    }
    for (const packet of [
      otherTcp(there),
      otherUdp(there),
      query(8, OWN_ID, there),
      error(sent(local, 22)),
      // What it quotes was sent from another address than the one it is for.
      error(sent(EXTERNAL, OWN_TCP)),
      otherTcp({ src: CLIENT }),
    ]) {
      expect(action(packet)).toBe('host');
    }
  });

  test('DNS: port 53 of the private address goes to the TUN, and errors about answers', () => {
    const local = '10.77.0.1';
    const programOf = (dns: boolean) =>
      load(
        `t_dns_${dns}`,
        privateIngress({
          tunIndex: TUN,
          external: address(EXTERNAL),
          local: address(local),
          dns,
          routesMapFd: steering.routes.fd,
          ownedMapFd: steering.owned,
          handbackMark: MARK,
        }),
      );
    const [on, off] = [programOf(true), programOf(false)];
    const there = { src: CLIENT, dst: local, sport: 4000, dport: 53 };
    const answer = { src: local, dst: CLIENT, sport: 53, dport: 4000 };
    const error = (quote: Buffer) => icmp({ src: CLIENT, dst: local, type: 3, code: 4 }, quote);
    const queries = [
      udp(there),
      tcp({ ...there, flags: SYN }),
      error(udp(answer)),
      error(tcp({ ...answer, flags: SYN })),
    ];
    for (const packet of queries) {
      expect(run(on, frame(packet))).toBe('redirect');
      expect(run(off, frame(packet))).toBe('host');
    }
    for (const packet of [
      udp({ ...there, dport: 54 }),
      tcp({ ...there, dport: 22, flags: SYN }),
      // Port 53 of the public address stays with the host, asked from inside too.
      udp({ ...there, dst: EXTERNAL }),
      // Not from there, and not an answer.
      error(udp({ ...answer, src: EXTERNAL })),
      error(udp({ ...answer, sport: 22 })),
      query(8, OWN_ID, { src: CLIENT, dst: local }),
      // Another protocol that has these two bytes there.
      ipv4({ src: CLIENT, dst: local, protocol: 99 }, Buffer.from([0, 53, 0, 53, 0, 0, 0, 0])),
    ]) {
      expect(run(on, frame(packet))).toBe('host');
    }
  });

  test('a destination without a route goes to the TUN', () => {
    const empty = RouteMap.create();
    try {
      const fd = load(
        't_no_route',
        privateIngress({
          tunIndex: TUN,
          external: 0,
          local: 0,
          routesMapFd: empty.fd,
          ownedMapFd: steering.owned,
          handbackMark: MARK,
        }),
      );
      expect(run(fd, frame(to(SERVER)()))).toBe('redirect');
    } finally {
      empty.close();
    }
  });
});

describe.each(['private', 'public'] as const)('the gate of %s ingress', (program) => {
  const bare =
    program === 'private' ? tcp({ src: CLIENT, dst: SERVER, sport: 1, dport: 2, flags: SYN }) : ownTcp();
  const action = (bytes: Buffer) => run(steering.fds[program], bytes);

  test('lets a bare IPv4 packet for this host pass', () => {
    expect(action(frame(bare))).toBe('redirect');
  });

  test.each([
    ['another host (the interface is promiscuous)', '02:00:00:00:00:05'],
    ['everybody', 'ff:ff:ff:ff:ff:ff'],
    ['a multicast group', '01:00:5e:00:00:01'],
  ])('leaves frames for %s to the host stack', (_whom, mac) => {
    expect(action(frame(bare, mac))).toBe('host');
  });

  test.each([
    ['IPv6', 0x86dd],
    ['ARP', 0x0806],
    ['PPPoE', 0x8864],
    ['a VLAN tag in the frame', 0x8100],
  ])('leaves %s to the host stack', (_what, type) => {
    expect(action(frame(bare, OWN_MAC, type))).toBe('host');
  });

  test('leaves a packet whose VLAN tag the device has taken off to the host stack', () => {
    const SKB_VLAN_PUSH = 18;
    const ETH_P_8021Q_WIRE = 0x0081;
    expect(runChanged(steering.bytes[program], SKB_VLAN_PUSH, [ETH_P_8021Q_WIRE, 7], bare)).toBe('host');
  });
});

// A test run itself takes no packet that is shorter than an IPv4 header.
test.each<[Program, string]>([
  ['private', 'host'],
  ['public', 'host'],
  ['tunPrivate', 'drop'],
  ['tunPublic', 'drop'],
])('%s: a packet cut in its header → %s', (program, action) => {
  const SKB_CHANGE_TAIL = 38;
  const packet =
    program === 'public' ? ownTcp() : tcp({ src: SERVER, dst: CLIENT, sport: 1, dport: 2, flags: SYN });
  for (const length of [0, 1, 16, 19]) {
    expect(runChanged(steering.bytes[program], SKB_CHANGE_TAIL, [14 + length, 0], packet)).toBe(action);
  }
});
