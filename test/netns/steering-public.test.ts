/**
 * Public ingress, run by the kernel (BPF_PROG_TEST_RUN) on literal frames: what it does with every kind of packet.
 * Where the packet then goes is in steering.test.ts.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Assembler, r0, r1, r2, r6 } from '../../src/host/ebpf/assembler.ts';
import { SKB_MARK } from '../../src/host/ebpf/kernel.ts';
import { publicIngress } from '../../src/host/steering/public-ingress.ts';
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
  OWN_TCP,
  OWN_UDP,
  otherTcp,
  otherUdp,
  ownGre,
  ownTcp,
  ownUdp,
  query,
  rows,
  run,
  SERVER,
  TUN,
  toExternal,
  useSteering,
  withFirstByte,
} from './steering-fixture.ts';
import { ICMP, type Ipv4Fields, icmp, ipv4, SYN, TCP, tcp, UDP, udp } from './support/packets.ts';

const ESP = 50;
const steering = useSteering();

const MAX_OPTIONS = Buffer.alloc(40, 1);
const fromExternal = { src: EXTERNAL, dst: SERVER };
/** An ICMP error about `quoted`, which the gateway sent. */
const error = (type: number, quoted: Buffer, fields: Partial<Ipv4Fields> = {}) =>
  icmp({ ...toExternal, ...fields, type, code: 1 }, quoted);

/** As sent from the external address; the quote of a TCP or UDP packet is 28 bytes where it has no options. */
const sentTcp = (sport = OWN_TCP, fields: Partial<Ipv4Fields> = {}) =>
  tcp({ ...fromExternal, ...fields, sport, dport: 443, flags: SYN });
const sentUdp = (sport = OWN_UDP, fields: Partial<Ipv4Fields> = {}) =>
  udp({ ...fromExternal, ...fields, sport, dport: 53 }, Buffer.from('question'));
const sentQuery = (type: number, id: number, fields: Partial<Ipv4Fields> = {}) =>
  icmp({ ...fromExternal, ...fields, type, rest: id << 16 }, Buffer.from('data'));
const sentOther = (protocol: number, fields: Partial<Ipv4Fields> = {}) =>
  ipv4({ ...fromExternal, ...fields, protocol }, Buffer.from('payload!'));

const quoteOf = (packet: Buffer) => packet.subarray(0, (packet[0]! & 15) * 4 + 8);

describe('public ingress', () => {
  test.each(
    rows([
      ['TCP to an owned port', () => ownTcp(), 'redirect'],
      ['TCP to another port', () => otherTcp(), 'host'],
      [
        'TCP to a port owned for UDP only',
        () => tcp({ ...toExternal, sport: 1, dport: OWN_UDP, flags: SYN }),
        'host',
      ],
      ['UDP to an owned port', () => ownUdp(), 'redirect'],
      ['UDP to a port owned for TCP only', () => otherUdp(), 'host'],
      ['TCP to an owned port, 8 bytes of options', () => ownTcp({ options: NOPS }), 'redirect'],
      ['TCP to an owned port, 40 bytes of options', () => ownTcp({ options: MAX_OPTIONS }), 'redirect'],
      ['TCP to another port, options', () => otherTcp({ options: NOPS }), 'host'],
      ['UDP to an owned port, options', () => ownUdp({ options: NOPS }), 'redirect'],
      ['don’t fragment is no fragment', () => otherTcp({ df: true }), 'host'],
      ['first fragment', () => otherTcp({ mf: true }), 'redirect'],
      ['middle fragment', () => otherUdp({ mf: true, offset: 1480 }), 'redirect'],
      ['last fragment', () => otherUdp({ offset: 1480 }), 'redirect'],
      ['fragment of the smallest offset', () => query(8, 1, { offset: 8 }), 'redirect'],
      ['protocol that is owned', () => ipv4({ ...toExternal, protocol: GRE }, Buffer.alloc(12)), 'redirect'],
      [
        'owned protocol, nothing after the header',
        () => ipv4({ ...toExternal, protocol: GRE }, Buffer.alloc(0)),
        'redirect',
      ],
      [
        'owned protocol, 3 bytes after the header',
        () => ipv4({ ...toExternal, protocol: GRE }, Buffer.alloc(3)),
        'redirect',
      ],
      ['protocol that is not owned', () => ipv4({ ...toExternal, protocol: ESP }, Buffer.alloc(12)), 'host'],
      ['protocol 255', () => ipv4({ ...toExternal, protocol: 255 }, Buffer.alloc(12)), 'host'],
      ['echo request', () => query(8, OWN_ID), 'host'],
      ['echo reply, owned id', () => query(0, OWN_ID), 'redirect'],
      ['echo reply, owned id, options', () => query(0, OWN_ID, { options: NOPS }), 'redirect'],
      ['echo reply, other id', () => query(0, OWN_ID + 1), 'host'],
      ['echo reply, the owned id in the other byte order', () => query(0, 0x3412), 'host'],
      ['timestamp request', () => query(13, OWN_ID), 'host'],
      ['timestamp reply, owned id', () => query(14, OWN_ID), 'redirect'],
      ['information reply, owned id', () => query(16, OWN_ID), 'redirect'],
      ['address mask reply, owned id', () => query(18, OWN_ID), 'redirect'],
      ['router advertisement', () => query(9, OWN_ID), 'host'],
      ['ICMP type 19', () => query(19, OWN_ID), 'host'],
      ['ICMP type 32, which is 0 modulo 32', () => query(32, OWN_ID), 'host'],
      ['ICMP type 35, which is 3 modulo 32', () => error(35, sentTcp()), 'host'],
      ['ICMP type 255', () => query(255, OWN_ID), 'host'],
      ['another address of the network', () => ownTcp({ dst: '198.18.0.7' }), 'host'],
      ['a dedicated address, TCP', () => otherTcp({ dst: DEDICATED }), 'redirect'],
      ['a dedicated address, echo request', () => query(8, 1, { dst: DEDICATED }), 'redirect'],
      ['a dedicated address, a later fragment', () => otherUdp({ dst: DEDICATED, offset: 8 }), 'redirect'],
      ['a dedicated network, first address', () => otherTcp({ dst: '192.0.2.0' }), 'redirect'],
      ['a dedicated network, last address', () => otherTcp({ dst: '192.0.2.15' }), 'redirect'],
      ['beside a dedicated network', () => otherTcp({ dst: '192.0.2.16' }), 'host'],
      ['a private host', () => ownTcp({ dst: CLIENT }), 'drop'],
      ['a private host, fragment', () => ownTcp({ dst: CLIENT, mf: true }), 'drop'],
      ['a private network behind a router', () => ownUdp({ dst: '10.9.9.9' }), 'drop'],
      ['the private address of the host', () => ownTcp({ dst: '10.77.0.1' }), 'host'],
      ['a network the host has elsewhere', () => ownTcp({ dst: '10.8.1.1' }), 'host'],
      ['an unreachable network', () => ownTcp({ dst: '10.9.1.1' }), 'host'],
      ['version 6 in the header', () => withFirstByte(ownGre(), 0x65), 'host'],
      ['version 3 in the header', () => withFirstByte(ownGre(), 0x35), 'host'],
      ['header length 16', () => withFirstByte(ownGre(), 0x44), 'host'],
      ['header length 60 where there is room for it', () => withFirstByte(ownGre(), 0x4f), 'redirect'],
      ['header length 60 of a packet of 40 bytes', () => withFirstByte(ownTcp(), 0x4f), 'host'],
      ['TCP cut after 27 bytes', () => ownTcp().subarray(0, 27), 'host'],
      ['TCP cut after 28 bytes', () => ownTcp().subarray(0, 28), 'redirect'],
    ]),
  )('%s → %s', (_name, action, packet) => {
    expect(run(steering.fds.public, frame(packet()))).toBe(action);
  });

  describe.each([3, 4, 5, 11, 12])('ICMP error %i', (type) => {
    test.each(
      rows([
        ['about TCP from an owned port', () => error(type, sentTcp()), 'redirect'],
        ['about TCP, the least that may be quoted', () => error(type, quoteOf(sentTcp())), 'redirect'],
        ['about TCP from another port', () => error(type, sentTcp(22)), 'host'],
        ['about UDP from an owned port', () => error(type, quoteOf(sentUdp())), 'redirect'],
        ['about UDP from another port', () => error(type, quoteOf(sentUdp(53))), 'host'],
        ['about an echo request with an owned id', () => error(type, sentQuery(8, OWN_ID)), 'redirect'],
        ['about a timestamp request with an owned id', () => error(type, sentQuery(13, OWN_ID)), 'redirect'],
        [
          'about an information request with an owned id',
          () => error(type, sentQuery(15, OWN_ID)),
          'redirect',
        ],
        ['about a mask request with an owned id', () => error(type, sentQuery(17, OWN_ID)), 'redirect'],
        ['about an echo request with another id', () => error(type, sentQuery(8, 7)), 'host'],
        ['about an echo reply of the host', () => error(type, sentQuery(0, OWN_ID)), 'host'],
        ['about an ICMP error of the host', () => error(type, sentQuery(3, OWN_ID)), 'host'],
        ['about an owned protocol', () => error(type, sentOther(GRE)), 'redirect'],
        [
          'about an owned protocol, only its header quoted',
          () => error(type, sentOther(GRE).subarray(0, 20)),
          'redirect',
        ],
        ['about another protocol', () => error(type, sentOther(ESP)), 'host'],
        [
          'about a packet from another address',
          () => error(type, sentTcp(OWN_TCP, { src: '198.18.0.9' })),
          'host',
        ],
        ['about a later fragment', () => error(type, sentTcp(OWN_TCP, { offset: 1480 })), 'host'],
        ['about a first fragment', () => error(type, sentUdp(OWN_UDP, { mf: true })), 'redirect'],
        ['options outside', () => error(type, sentTcp(), { options: NOPS }), 'redirect'],
        ['options in the quote', () => error(type, quoteOf(sentTcp(OWN_TCP, { options: NOPS }))), 'redirect'],
        [
          'all options there can be',
          () => error(type, quoteOf(sentTcp(OWN_TCP, { options: MAX_OPTIONS })), { options: MAX_OPTIONS }),
          'redirect',
        ],
        [
          'all options, another port',
          () => error(type, quoteOf(sentTcp(22, { options: MAX_OPTIONS })), { options: MAX_OPTIONS }),
          'host',
        ],
        ['quote cut in its ports', () => error(type, sentTcp().subarray(0, 22)), 'host'],
        ['quote cut in its header', () => error(type, sentTcp().subarray(0, 19)), 'host'],
        ['quote of version 6', () => error(type, withFirstByte(sentOther(GRE), 0x65)), 'host'],
        ['quote with header length 16', () => error(type, withFirstByte(sentOther(GRE), 0x44)), 'host'],
        ['no quote', () => error(type, Buffer.alloc(0)), 'host'],
        ['a later fragment of the error itself', () => error(type, sentTcp(22), { offset: 8 }), 'redirect'],
      ]),
    )('%s → %s', (_name, action, packet) => {
      expect(run(steering.fds.public, frame(packet()))).toBe(action);
    });
  });

  test('without an external address only what is for dedicated ones goes to the TUN', () => {
    const fd = load(
      't_no_address',
      publicIngress({
        tunIndex: TUN,
        external: 0,
        privateToTun: false,
        routesMapFd: steering.routes.fd,
        ownedMapFd: steering.owned,
        handbackMark: MARK,
      }),
    );
    const action = (packet: Buffer) => run(fd, frame(packet));
    expect(action(ownTcp())).toBe('host');
    expect(action(ownTcp({ dst: '0.0.0.0', mf: true }))).toBe('host');
    expect(action(ownTcp({ dst: CLIENT }))).toBe('drop');
    expect(action(otherTcp({ dst: DEDICATED }))).toBe('redirect');
  });

  test('where some flows are not translated the engine judges what comes to private hosts', () => {
    const fd = load(
      't_exempt',
      publicIngress({
        tunIndex: TUN,
        external: address(EXTERNAL),
        privateToTun: true,
        routesMapFd: steering.routes.fd,
        ownedMapFd: steering.owned,
        handbackMark: MARK,
      }),
    );
    const action = (packet: Buffer) => run(fd, frame(packet));
    for (const dst of [CLIENT, '10.9.9.9']) {
      expect(action(ownTcp({ dst }))).toBe('redirect');
      expect(action(otherUdp({ dst, offset: 8 }))).toBe('redirect');
    }
    for (const dst of ['10.77.0.1', '10.77.0.255', '10.8.1.1', '198.18.0.7']) {
      expect(action(ownTcp({ dst }))).toBe('host');
    }
    expect(action(ownTcp())).toBe('redirect');
    expect(action(otherTcp())).toBe('host');
  });

  test.each(['public', 'private'] as const)(
    '%s: a packet handed back loses its mark and goes to the host',
    (program) => {
      expect(runMarked(program, MARK, ownTcp())).toEqual({ action: 0, mark: 0 });
    },
  );

  test.each(['public', 'private'] as const)('%s: any other mark is kept and means nothing', (program) => {
    expect(runMarked(program, MARK + 1, ownTcp())).toEqual({ action: 7, mark: MARK + 1 });
    expect(runMarked(program, MARK + 1, otherTcp())).toEqual({ action: 0, mark: MARK + 1 });
  });

  test('agrees with a slow reading of the rules on packets of every shape', () => {
    const address = fc.constantFrom(EXTERNAL, EXTERNAL, EXTERNAL, SERVER, CLIENT);
    const words = fc.uint8Array({ maxLength: 2 });
    const ip = fc.record({
      protocol: fc.constantFrom(ICMP, ICMP, TCP, UDP, GRE, ESP),
      options: words.map((bytes) => Buffer.alloc(bytes.length * 4, 1)),
      fragment: fc.constantFrom(0, 0, 0, 0x4000, 0x2000, 0x0001, 0x1fff, 0x8000),
      src: address,
      dst: address,
    });
    const number = fc.constantFrom(OWN_TCP, OWN_UDP, OWN_ID, 22);
    const head = fc.record({
      type: fc.constantFrom(0, 3, 4, 5, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 32, 35),
      numbers: fc.tuple(number, number, number),
    });
    const packet = fc
      .record({ outer: ip, outerHead: head, quoted: ip, quotedHead: head, length: fc.nat(100) })
      .map(({ outer, outerHead, quoted, quotedHead, length }) => {
        const inner = shape(quoted, first8(quoted.protocol, quotedHead), Buffer.alloc(0));
        const whole = shape(outer, first8(outer.protocol, outerHead), inner);
        return length < 50 ? whole : whole.subarray(0, length - 30);
      });
    const seen = new Set<string>();
    fc.assert(
      fc.property(packet, (bytes) => {
        const expected = decide(bytes);
        seen.add(expected);
        expect(run(steering.fds.public, frame(bytes))).toBe(expected);
        // The other side asks the same about packets to the external address (hairpin).
        if (read(bytes)?.dst === EXTERNAL) expect(run(steering.fds.private, frame(bytes))).toBe(expected);
      }),
      { numRuns: 5000 },
    );
    expect([...seen].sort()).toEqual(['drop', 'host', 'redirect']);
  });
});

/** Runs a program on a packet with a mark; a test run itself cannot set one. */
function runMarked(
  program: 'public' | 'private',
  mark: number,
  packet: Buffer,
): { action: number; mark: number } {
  const marked = (result: 'action' | 'mark') => {
    const a = new Assembler().alu(r6, '=', r1).alu(r2, '=', mark).store('u32', r6, SKB_MARK, r2);
    const callee = result === 'mark' ? 2 : 1;
    const before = a.assemble();
    const after = new Assembler();
    if (result === 'mark') after.load(r0, 'u32', r6, SKB_MARK);
    // BPF_PSEUDO_CALL of the function that begins `callee` instructions further on.
    const call = Uint8Array.of(0x85, 0x10, 0, 0, callee, 0, 0, 0);
    const fd = load(
      't_marked',
      Buffer.concat([before, call, after.exit().assemble(), steering.bytes[program]]),
    );
    return addon().bpfProgRun(fd, frame(packet), 0).returnValue;
  };
  return { action: marked('action'), mark: marked('mark') };
}

/** The first 8 bytes of a TCP or UDP header (ports) or of an ICMP message (type, id). */
function first8(protocol: number, head: { type: number; numbers: [number, number, number] }): Buffer {
  const bytes = Buffer.alloc(8);
  for (const [i, number] of head.numbers.entries()) bytes.writeUInt16BE(number, 2 * i);
  if (protocol === ICMP) bytes[0] = head.type;
  return bytes;
}

function shape(
  ip: { protocol: number; options: Buffer; fragment: number; src: string; dst: string },
  head: Buffer,
  rest: Buffer,
): Buffer {
  const packet = ipv4(ip, Buffer.concat([head, rest]));
  packet.writeUInt16BE(ip.fragment, 6);
  return packet;
}

/** The rules of public ingress, read slowly. Missing bytes after a header count as zeros. */
function decide(packet: Buffer): string {
  const outer = read(packet);
  if (outer === null) return 'host';
  if (outer.dst === CLIENT) return 'drop';
  if (outer.dst !== EXTERNAL) return 'host';
  if ((outer.fragment & 0x3fff) !== 0) return 'redirect';
  const [type, id] = [outer.head[0]!, outer.head.readUInt16BE(4)];
  if (outer.protocol !== ICMP) return isOwned(outer.protocol, outer.head.readUInt16BE(2));
  if ([0, 14, 16, 18].includes(type)) return id === OWN_ID ? 'redirect' : 'host';
  if (![3, 4, 5, 11, 12].includes(type)) return 'host';
  const quoted = read(packet.subarray(outer.headerLength + 8));
  if (quoted === null || quoted.src !== EXTERNAL || (quoted.fragment & 0x1fff) !== 0) return 'host';
  if (quoted.protocol !== ICMP) return isOwned(quoted.protocol, quoted.head.readUInt16BE(0));
  if (![8, 13, 15, 17].includes(quoted.head[0]!)) return 'host';
  return quoted.head.readUInt16BE(4) === OWN_ID ? 'redirect' : 'host';
}

function isOwned(protocol: number, port: number): string {
  const ownedOnes: Record<number, boolean> = {
    [TCP]: port === OWN_TCP,
    [UDP]: port === OWN_UDP,
    [GRE]: true,
  };
  return ownedOnes[protocol] ? 'redirect' : 'host';
}

function read(bytes: Buffer) {
  if (bytes.length < 20 || bytes[0]! >> 4 !== 4 || (bytes[0]! & 15) < 5) return null;
  const headerLength = (bytes[0]! & 15) * 4;
  const head = Buffer.alloc(8);
  // All 8 bytes or none: they are read in one call.
  if (bytes.length >= headerLength + 8) bytes.copy(head, 0, headerLength, headerLength + 8);
  return {
    headerLength,
    fragment: bytes.readUInt16BE(6),
    protocol: bytes[9]!,
    src: [...bytes.subarray(12, 16)].join('.'),
    dst: [...bytes.subarray(16, 20)].join('.'),
    head,
  };
}
