/** The public interface's address changes, goes and comes back, under each `on-address-change`. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Forward, masqueradeAll, type NatConfig, type OnAddressChange } from '../../src/nat/config.ts';
import { echoPacket, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { decode } from '../wire/decode.ts';
import { address, Bed, EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { A, connect, ends, only, PORTS, tcp, udp, X, Y } from './nat-bed.ts';
import { cut, filler } from './packets.ts';

const OTHER = '198.18.0.200';
const NONE = '0.0.0.0';

function natWith(onAddressChange: OnAddressChange, more: Partial<NatConfig> = {}): NatConfig {
  const nat = masqueradeAll(PORTS, { overload: 'always' });
  return { ...nat, rules: nat.rules.map((rule) => ({ ...rule, onAddressChange })), ...more };
}

function forwardTo(target: string, port: number, onAddressChange?: OnAddressChange, protocol = 6): Forward {
  return {
    name: 'web',
    protocol,
    address: 0,
    ports: { first: 8080, last: 8080 },
    sources: [],
    targets: [{ address: address(target), port }],
    affinitySeconds: 0,
    twice: false,
    ...(onAddressChange && { onAddressChange }),
  };
}

/** `source:port > destination:port flags seq ack` of the RSTs to private hosts; their checksums are right. */
function resets(sent: ReturnType<Bed['run']>): string[] {
  return sent.map(({ device, packet }) => {
    const seen = decode(packet);
    expect([device, seen.checksumOk, seen.headerChecksumOk]).toEqual([PRIVATE, true, true]);
    const view = new DataView(packet.buffer, packet.byteOffset);
    const flags = packet[33]! === 0x14 ? 'RA' : packet[33]! === 4 ? 'R' : `${packet[33]}`;
    return `${ends(seen)} ${flags} ${view.getUint32(24)} ${view.getUint32(28)}`;
  });
}

describe('end, the default', () => {
  test('a connection: the client gets a RST from its peer, with the number that it expects', () => {
    const bed = new Bed();
    connect(bed);
    bed.in(tcp(`${A}:80`, `${EXTERNAL}:40000`, 'PA', { seq: 501, ack: 101, payload: 'hello' }));
    bed.out(tcp(`${X}:40000`, `${A}:80`, 'PA', { seq: 101, ack: 506, payload: 'abc' }));
    expect(resets(bed.moveTo(OTHER))).toEqual([`${A}:80 > ${X}:40000 RA 506 104`]);
    expect(bed.flows()).toEqual([]);
    expect(bed.totals).toMatchObject({ flows_address_gone: 1, resets_sent: 1, flows_tcp: 0 });
    bed.checkInvariants();
  });

  test('data that is not acknowledged yet: one RST behind it, one for who has not got it', () => {
    const bed = new Bed();
    connect(bed);
    bed.in(tcp(`${A}:80`, `${EXTERNAL}:40000`, 'PA', { seq: 501, ack: 101, payload: 'hello' }));
    expect(resets(bed.moveTo(OTHER))).toEqual([
      `${A}:80 > ${X}:40000 RA 506 101`,
      `${A}:80 > ${X}:40000 RA 501 101`,
    ]);
  });

  test('SYN-SENT: the RST acknowledges the SYN', () => {
    const bed = new Bed();
    bed.out(tcp(`${X}:40000`, `${A}:80`, 'S', { seq: 100 }));
    expect(resets(bed.moveTo(NONE))).toEqual([`${A}:80 > ${X}:40000 RA 0 101`]);
  });

  test('a connection that was picked up from its middle', () => {
    const bed = new Bed();
    bed.out(tcp(`${X}:40000`, `${A}:80`, 'PA', { seq: 1000, ack: 7000, payload: 'abc' }));
    bed.in(tcp(`${A}:80`, `${EXTERNAL}:40000`, 'A', { seq: 7000, ack: 1003 }));
    const [told] = resets(bed.moveTo(OTHER));
    expect(told).toBe(`${A}:80 > ${X}:40000 RA 7000 1003`);
  });

  test('a forward: the server inside is told; the forward follows the address', () => {
    const bed = new Bed({ nat: natWith('keep', { forwards: [forwardTo(X, 80)] }) });
    bed.in(tcp(`${A}:5000`, `${EXTERNAL}:8080`, 'S', { seq: 100 }));
    bed.out(tcp(`${X}:80`, `${A}:5000`, 'SA', { seq: 900, ack: 101 }));
    bed.in(tcp(`${A}:5000`, `${EXTERNAL}:8080`, 'A', { seq: 101, ack: 901 }));
    expect(resets(bed.moveTo(OTHER))).toEqual([`${A}:5000 > ${X}:80 RA 101 901`]);
    expect(bed.flows()).toEqual([]);
    expect(bed.in(tcp(`${A}:5001`, `${EXTERNAL}:8080`, 'S'))).toEqual([]);
    expect(ends(only(PRIVATE, bed.in(tcp(`${A}:5001`, `${OTHER}:8080`, 'S'))))).toBe(`${A}:5001 > ${X}:80`);
    bed.checkInvariants();
  });

  test('a forward whose server has not answered: a RST without acknowledgement', () => {
    const bed = new Bed({ nat: natWith('end', { forwards: [forwardTo(X, 80)] }) });
    bed.in(tcp(`${A}:5000`, `${EXTERNAL}:8080`, 'S', { seq: 100 }));
    expect(resets(bed.moveTo(NONE))).toEqual([`${A}:5000 > ${X}:80 R 101 0`]);
  });

  test('a hairpin: both private hosts are told', () => {
    const bed = new Bed({ nat: natWith('end', { forwards: [forwardTo(Y, 80)] }) });
    bed.out(tcp(`${X}:40000`, `${EXTERNAL}:8080`, 'S', { seq: 100 }));
    bed.out(tcp(`${Y}:80`, `${EXTERNAL}:40000`, 'SA', { seq: 900, ack: 101 }));
    bed.out(tcp(`${X}:40000`, `${EXTERNAL}:8080`, 'A', { seq: 101, ack: 901 }));
    expect(resets(bed.moveTo(OTHER))).toEqual([
      `${EXTERNAL}:8080 > ${X}:40000 RA 901 101`,
      `${EXTERNAL}:40000 > ${Y}:80 RA 101 901`,
    ]);
    expect(bed.flows()).toEqual([]);
  });

  test('a helper has made the payload longer: the number is the client’s', () => {
    const bed = new Bed({ helpers: [{ name: 'ftp', protocol: 6, port: 21 }] });
    connect(bed, `${X}:40000`, `${A}:21`);
    // The server's address in a reply of its own is not touched; the client's is.
    bed.out(tcp(`${X}:40000`, `${A}:21`, 'PA', { seq: 101, ack: 501, payload: 'PORT 10,77,0,2,156,65\r\n' }));
    bed.in(tcp(`${A}:21`, `${EXTERNAL}:40000`, 'A', { seq: 501, ack: 125 }));
    expect(resets(bed.moveTo(OTHER))).toEqual([`${A}:21 > ${X}:40000 RA 501 124`]);
    bed.checkInvariants();
  });

  test('nobody is told of a connection that is over, nor of UDP', () => {
    const bed = new Bed();
    connect(bed);
    bed.in(tcp(`${A}:80`, `${EXTERNAL}:40000`, 'R', { seq: 501 }));
    bed.out(udp(`${X}:40001`, `${A}:53`));
    expect(bed.moveTo(OTHER)).toEqual([]);
    expect(bed.totals).toMatchObject({ flows_address_gone: 2 });
  });

  test('a thousand connections: all are told, though slots are few', () => {
    const bed = new Bed({ flows: 2048 });
    for (let i = 0; i < 1000; i++) bed.out(tcp(`${X}:${33000 + i}`, `${A}:80`, 'S', { seq: 100 }));
    bed.engine.setDevice(PUBLIC, { address: 0, mtu: 1500 });
    expect(bed.engine.addressChange.isSweeping).toBe(true);
    const left = bed.flows().length;
    expect(left).toBeGreaterThan(0);
    // Whose turn has not come yet does not leave by the lost address.
    bed.engine.setDevice(PUBLIC, { address: address(OTHER), mtu: 1500 });
    const told = bed.settle();
    expect(new Set(resets(told)).size).toBe(1000);
    expect(bed.flows()).toEqual([]);
    bed.checkInvariants();
  });

  test('a remote host that has got the old address is a remote host', () => {
    const bed = new Bed({ external: OTHER });
    bed.moveTo(EXTERNAL);
    bed.out(udp(`${X}:40000`, `${OTHER}:53`));
    bed.moveTo(EXTERNAL);
    bed.moveTo(EXTERNAL, []);
    expect(bed.flows()).toHaveLength(1);
    expect(to(PUBLIC, bed.out(udp(`${X}:40000`, `${OTHER}:53`)))).toHaveLength(1);
  });
});

describe('a former address that the interface still has', () => {
  test('carries its flows on; new ones have the new address; they end when it goes', () => {
    const bed = new Bed({ nat: natWith('end', { forwards: [forwardTo(X, 80)] }) });
    connect(bed);
    expect(bed.moveTo(OTHER, [EXTERNAL])).toEqual([]);
    expect(only(PUBLIC, bed.out(tcp(`${X}:40000`, `${A}:80`, 'A', { seq: 101, ack: 501 }))).src).toBe(
      EXTERNAL,
    );
    expect(
      to(PRIVATE, bed.in(tcp(`${A}:80`, `${EXTERNAL}:40000`, 'A', { seq: 501, ack: 101 }))),
    ).toHaveLength(1);
    expect(only(PUBLIC, bed.out(udp(`${X}:40000`, `${A}:53`))).src).toBe(OTHER);
    for (const [at, port] of [
      [EXTERNAL, 5000],
      [OTHER, 5001],
    ] as const) {
      expect(to(PRIVATE, bed.in(tcp(`${A}:${port}`, `${at}:8080`, 'S')))).toHaveLength(1);
    }
    bed.checkInvariants();
    expect(resets(bed.moveTo(OTHER))[0]).toBe(`${A}:80 > ${X}:40000 RA 501 101`);
    expect(bed.flows()).toHaveLength(2);
    bed.checkInvariants();
  });

  test('what is the host’s own there goes to the host', () => {
    const bed = new Bed();
    bed.moveTo(OTHER, [EXTERNAL]);
    const ping = echoPacket({ from: A, to: EXTERNAL, identifier: 5 });
    expect(bed.in(ping).map(({ packet }) => packet)).toEqual([ping]);
  });

  test('an engine that starts anew knows it', () => {
    const before = new Bed();
    connect(before);
    const bed = new Bed({ after: before, external: OTHER, former: [EXTERNAL] });
    expect(bed.flows()).toHaveLength(1);
    expect(only(PUBLIC, bed.out(tcp(`${X}:40000`, `${A}:80`, 'A', { seq: 101, ack: 501 }))).src).toBe(
      EXTERNAL,
    );
    bed.checkInvariants();
  });
});

describe('keep', () => {
  const segment = tcp(`${X}:40000`, `${A}:80`, 'A', { seq: 101, ack: 501 });

  test('flows wait for their address, and go on', () => {
    const bed = new Bed({ nat: natWith('keep') });
    connect(bed);
    bed.out(udp(`${X}:40001`, `${A}:53`));
    for (const external of [NONE, OTHER]) {
      expect(bed.moveTo(external)).toEqual([]);
      expect(bed.flows()).toHaveLength(2);
      expect(bed.out(segment)).toEqual([]);
      expect(bed.out(udp(`${X}:40001`, `${A}:53`))).toEqual([]);
      expect(bed.in(tcp(`${A}:80`, `${EXTERNAL}:40000`, 'A', { seq: 501, ack: 101 }))).toEqual([]);
      bed.checkInvariants();
    }
    expect(bed.drops).toEqual({ address_gone: 6 });
    // The port is reserved.
    expect(only(PUBLIC, bed.out(udp(`${Y}:40001`, `${A}:54`))).src).toBe(OTHER);
    expect(bed.moveTo(EXTERNAL)).toEqual([]);
    expect(only(PUBLIC, bed.out(segment)).src).toBe(EXTERNAL);
    expect(to(PRIVATE, bed.in(udpPacket({ from: `${A}:53`, to: `${EXTERNAL}:40001` })))).toHaveLength(1);
    bed.checkInvariants();
  });

  test('not for longer than their timeout; their ports come free', () => {
    const bed = new Bed({ nat: natWith('keep'), timeouts: { udp: 30 } });
    bed.out(udp(`${X}:40001`, `${A}:53`));
    bed.moveTo(NONE);
    bed.pass(31_000);
    expect(bed.flows()).toEqual([]);
    expect(bed.totals).toMatchObject({ ports_udp: 0 });
    bed.checkInvariants();
  });

  test('a connection that is over does not wait', () => {
    const bed = new Bed({ nat: natWith('keep') });
    connect(bed);
    bed.in(tcp(`${A}:80`, `${EXTERNAL}:40000`, 'R', { seq: 501 }));
    bed.moveTo(NONE);
    expect(bed.flows()).toEqual([]);
  });

  test('a forward says so for itself', () => {
    const bed = new Bed({ nat: natWith('end', { forwards: [forwardTo(X, 80, 'keep')] }) });
    bed.in(tcp(`${A}:5000`, `${EXTERNAL}:8080`, 'S', { seq: 100 }));
    bed.moveTo(NONE);
    expect(bed.flows()).toHaveLength(1);
    bed.moveTo(EXTERNAL);
    expect(only(PUBLIC, bed.out(tcp(`${X}:80`, `${A}:5000`, 'SA', { seq: 1, ack: 101 }))).src).toBe(EXTERNAL);
  });

  test('later fragments wait, too', () => {
    const bed = new Bed({ nat: natWith('keep') });
    const whole = udpPacket({ from: `${X}:40000`, to: `${A}:53`, payload: filler(2000), fragment: 0 });
    const [first, later] = cut(whole, 1480);
    expect(to(PUBLIC, bed.out(first!))).toHaveLength(1);
    bed.moveTo(NONE);
    expect(bed.out(later!)).toEqual([]);
    expect(bed.drops).toEqual({ address_gone: 1 });
  });

  test('an engine that starts anew while the address is gone', () => {
    const nat = natWith('keep', { forwards: [forwardTo(Y, 80, 'keep')] });
    const before = new Bed({ nat });
    connect(before);
    before.in(tcp(`${A}:5000`, `${EXTERNAL}:8080`, 'S', { seq: 100 }));
    const bed = new Bed({ after: before, nat, external: OTHER });
    bed.settle();
    expect(bed.flows()).toHaveLength(2);
    expect(bed.out(segment)).toEqual([]);
    expect(bed.drops).toEqual({ address_gone: 1 });
    bed.moveTo(EXTERNAL);
    expect(only(PUBLIC, bed.out(segment)).src).toBe(EXTERNAL);
    bed.checkInvariants();
  });
});

describe('remap', () => {
  test('UDP and ICMP go on from the new address, on the same port, both ways', () => {
    const bed = new Bed({ nat: natWith('remap') });
    bed.out(udp(`${X}:40001`, `${A}:53`));
    bed.out(echoPacket({ from: X, to: A, identifier: 5 }));
    bed.moveTo(NONE);
    expect(bed.out(udp(`${X}:40001`, `${A}:53`))).toEqual([]);
    expect(bed.drops).toEqual({ address_gone: 1 });
    expect(bed.moveTo(OTHER)).toEqual([]);
    expect(bed.totals).toMatchObject({ flows_remapped: 2, flows_started: 2, flows_ended: 0 });
    expect(ends(only(PUBLIC, bed.out(udp(`${X}:40001`, `${A}:53`))))).toBe(`${OTHER}:40001 > ${A}:53`);
    const back = only(PRIVATE, bed.in(udpPacket({ from: `${A}:53`, to: `${OTHER}:40001` })));
    expect(ends(back)).toBe(`${A}:53 > ${X}:40001`);
    expect(bed.in(udpPacket({ from: `${A}:53`, to: `${EXTERNAL}:40001` }))).toEqual([]);
    expect(only(PUBLIC, bed.out(echoPacket({ from: X, to: A, identifier: 5 }))).src).toBe(OTHER);
    expect(only(PRIVATE, bed.in(echoPacket({ from: A, to: OTHER, identifier: 5, reply: true }))).dst).toBe(X);
    bed.checkInvariants();
  });

  test('TCP waits for its own address, and ends with a RST when there is another', () => {
    const bed = new Bed({ nat: natWith('remap') });
    connect(bed);
    expect(bed.moveTo(NONE)).toEqual([]);
    expect(bed.moveTo(EXTERNAL)).toEqual([]);
    expect(only(PUBLIC, bed.out(tcp(`${X}:40000`, `${A}:80`, 'A', { seq: 101, ack: 501 }))).src).toBe(
      EXTERNAL,
    );
    expect(resets(bed.moveTo(OTHER))).toEqual([`${A}:80 > ${X}:40000 RA 501 101`]);
    bed.checkInvariants();
  });

  test('what a forward has let in answers from the new address', () => {
    const bed = new Bed({ nat: natWith('end', { forwards: [forwardTo(X, 53, 'remap', 17)] }) });
    bed.in(udpPacket({ from: `${A}:5000`, to: `${EXTERNAL}:8080` }));
    bed.moveTo(OTHER);
    expect(ends(only(PUBLIC, bed.out(udp(`${X}:53`, `${A}:5000`))))).toBe(`${OTHER}:8080 > ${A}:5000`);
    bed.checkInvariants();
  });

  test('another port where an overloaded one is taken there already', () => {
    const bed = new Bed({ nat: natWith('remap') });
    const rule = bed.engine.sessions.rules.rules[0] as { onAddressChange: number };
    // Two hosts on one port, towards different remotes.
    bed.out(udp(`${X}:40001`, `${A}:53`));
    expect(only(PUBLIC, bed.out(udp(`${Y}:40001`, '203.0.113.10:53'))).sport).toBe(40001);
    // Y's flow to A stays behind at the first address, X's moves; then they meet.
    rule.onAddressChange = 1;
    bed.moveTo(OTHER);
    expect(only(PUBLIC, bed.out(udp(`${Y}:40001`, `${A}:53`))).sport).toBe(40001);
    rule.onAddressChange = 2;
    bed.moveTo('198.18.0.201');
    expect(bed.flows()).toHaveLength(3);
    const ports = [X, Y].map((host) => only(PUBLIC, bed.out(udp(`${host}:40001`, `${A}:53`))));
    expect(ports.map(({ src }) => src)).toEqual(['198.18.0.201', '198.18.0.201']);
    expect(new Set(ports.map(({ sport }) => sport)).size).toBe(2);
    bed.checkInvariants();
  });
});

test('any sequence of changes: ports, mappings, quotas and the bitmap are as the flows say', () => {
  const external = fc.constantFrom(EXTERNAL, OTHER, '198.18.0.201', NONE);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('move' as const), external, keepsFormer: fc.boolean() }),
    fc.record({
      kind: fc.constantFrom('udp' as const, 'tcp' as const, 'ping' as const, 'in' as const),
      host: fc.constantFrom(X, Y),
      port: fc.integer({ min: 40000, max: 40003 }),
      remote: fc.constantFrom(A, '203.0.113.10'),
    }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(40_000) }),
  );
  const policy = fc.constantFrom('end' as const, 'keep' as const, 'remap' as const);
  fc.assert(
    fc.property(policy, policy, fc.array(step, { maxLength: 40 }), (rule, forward, steps) => {
      const nat = natWith(rule, { forwards: [forwardTo(X, 80, forward, 17)] });
      const counted = nat.rules.map((one) => ({
        ...one,
        behaviour: { ...one.behaviour, portsPerHost: 100, flowsPerHost: 100 },
      }));
      const bed = new Bed({ nat: { ...nat, rules: counted }, timeouts: { udp: 30, icmp: 30 } });
      let now = EXTERNAL;
      let former: string[] = [];
      for (const one of steps) {
        if (one.kind === 'move') {
          former = one.keepsFormer && now !== NONE && now !== one.external ? [now] : [];
          bed.moveTo(one.external, former);
          now = one.external;
        } else if (one.kind === 'pass') bed.pass(one.ms);
        else if (one.kind === 'udp') bed.out(udp(`${one.host}:${one.port}`, `${one.remote}:53`));
        else if (one.kind === 'tcp') {
          bed.out(tcpPacket({ from: `${one.host}:${one.port}`, to: `${one.remote}:80`, flags: 'S' }));
        } else if (one.kind === 'ping') {
          bed.out(echoPacket({ from: one.host, to: one.remote, identifier: one.port }));
        } else if (now !== NONE) {
          bed.in(udpPacket({ from: `${one.remote}:${one.port}`, to: `${now}:8080` }));
        }
        bed.checkInvariants();
        for (const packet of to(PUBLIC, bed.out(udp(`${Y}:41000`, `${A}:99`)))) {
          expect([now, ...former]).toContain(decode(packet).src);
        }
      }
      bed.moveTo(NONE);
      bed.pass(8_000_000);
      expect(bed.flows()).toEqual([]);
      bed.checkInvariants();
      expect(bed.totals).toMatchObject({ ports_udp: 0, ports_tcp: 0, ids_icmp: 0 });
      const { numbers } = (bed.engine.sessions as unknown as { hosts: { numbers: Map<number, number> } })
        .hosts;
      expect(numbers.size).toBe(0);
    }),
    { numRuns: 60 },
  );
});
