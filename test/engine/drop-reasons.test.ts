/**
 * Every drop reason, brought about. The corpus (test/corpus) has the packets that are wrong in themselves; here
 * they go through a whole engine, and the reasons that need a situation have one. The last test fails when a reason
 * of core/reasons.ts is in neither.
 */
import { describe, expect, test } from 'vitest';
import { reasonNames } from '../../src/core/reasons.ts';
import { READ_TRUNCATED, WRITE_DOWN, WRITE_NO_BUFFER, WRITE_REFUSED } from '../../src/engine/arena.ts';
import { signatureOf } from '../../src/engine/signature.ts';
import { masqueradeAll } from '../../src/nat/config.ts';
import { icmpError, tcpPacket, udpPacket } from '../../src/testing/index.ts';
import { initChunk, sctpPacket } from '../conntrack/sctp-packets.ts';
import { corpus } from '../corpus/load.ts';
import { config, rule } from '../policy/firewall/rules.ts';
import { Bed, type BedOptions, EXTERNAL, PRIVATE, ROUTES, vnetHeader } from './bed.ts';
import { cut, filler, partial, rawPacket } from './packets.ts';

const SERVER = '203.0.113.9';
const PORTS = { first: 32768, last: 65535 };
const MASQUERADE = masqueradeAll(PORTS);
const KEPT = { ...MASQUERADE, rules: [{ ...MASQUERADE.rules[0]!, onAddressChange: 'keep' as const }] };
const ONE = { perSecond: 1, burst: 1, grouping: { by: 'rule', prefixLength: 32 }, above: false } as const;
const query = (client = '10.77.0.2', port = 40000, fields = {}) =>
  udpPacket({ from: `${client}:${port}`, to: `${SERVER}:53`, ...fields });
const large = query('10.77.0.2', 40000, { payload: filler(4000), fragment: 0 });
const pieces = cut(large, 1480);
const gre = (src: string) => rawPacket({ src, dst: SERVER, protocol: 47, body: filler(8) });
const counted = (word: number) => (bed: Bed) => {
  new Int32Array(bed.link.arena)[word] = 1;
};

const situations: Record<string, { options?: BedOptions; run: (bed: Bed) => unknown }> = {
  invalid_tcp: {
    run: (bed) => {
      bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S' }));
      bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'A' }));
    },
  },
  invalid_window: {
    run: (bed) => {
      bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S' }));
      bed.in(tcpPacket({ from: `${SERVER}:80`, to: `${EXTERNAL}:40000`, flags: 'SA', ack: 2 }));
    },
  },
  bad_tcp_checksum: {
    run: (bed) => {
      const syn = tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S' });
      syn[25]! ^= 1;
      bed.out(syn);
    },
  },
  invalid_rst: {
    run: (bed) => {
      const server = { from: `${SERVER}:80`, to: `${EXTERNAL}:40000` };
      bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S' }));
      bed.in(tcpPacket({ ...server, flags: 'SA', seq: 5, ack: 1 }));
      bed.out(tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'A', seq: 1, ack: 6 }));
      bed.in(tcpPacket({ ...server, flags: 'R', seq: 5 }));
    },
  },
  invalid_sctp: {
    run: (bed) => {
      bed.out(sctpPacket({ from: '10.77.0.2:5000', to: `${SERVER}:5000`, tag: 0, chunks: [initChunk(7)] }));
      const chunks = [initChunk(8, 2)];
      bed.in(sctpPacket({ from: `${SERVER}:5000`, to: `${EXTERNAL}:5000`, tag: 6, chunks }));
    },
  },
  quarantined: {
    run: (bed) => {
      bed.engine.lookup.quarantine.set([signatureOf(PRIVATE, query(), query().length, 0x7fffffff)]);
      bed.out(query());
    },
  },
  table_full: { options: { flows: 1 }, run: (bed) => [bed.out(query()), bed.out(query('10.77.0.3'))] },
  address_gone: {
    options: { nat: KEPT },
    run: (bed) => [bed.out(query()), bed.moveTo('0.0.0.0'), bed.out(query())],
  },
  no_external_address: { options: { external: '0.0.0.0' }, run: (bed) => bed.out(query()) },
  no_free_port: {
    options: { ports: { first: 40000, last: 40000 } },
    run: (bed) => [bed.out(query()), bed.out(query('10.77.0.3'))],
  },
  tuple_in_use: { run: (bed) => [bed.out(gre('10.77.0.2')), bed.out(gre('10.77.0.3'))] },
  helper_failed: {
    // No external port is left for the media of a call.
    options: { ports: { first: 40000, last: 40000 }, helpers: [{ name: 'sip', protocol: 17, port: 53 }] },
    run: (bed) =>
      bed.out(
        query('10.77.0.2', 40000, {
          payload: new TextEncoder().encode(
            'INVITE sip:b@h SIP/2.0\r\nc: application/sdp\r\n\r\nc=IN IP4 10.77.0.2\r\nm=audio 5004 RTP/AVP 0\r\n',
          ),
        }),
      ),
  },
  no_route: {
    run: (bed) => {
      bed.engine.setRoutes(ROUTES.filter(({ device }) => device === PRIVATE));
      bed.out(query());
    },
  },
  too_big: {
    options: { mtu: [1500, 1280] },
    run: (bed) => bed.out(query(undefined, 40000, { payload: filler(1400) })),
  },
  no_slot: {
    options: { mtu: [1500, 300] },
    run: (bed) =>
      bed.out(
        partial(query(undefined, 40000, { payload: filler(65_000), fragment: 0 })),
        vnetHeader({ flags: 1, gso: 5, gsoSize: 400, csumStart: 20, csumOffset: 6 }),
      ),
  },
  no_rule_matches: {
    options: { nat: { rules: [], forwards: [], prefixes: [] } },
    run: (bed) => bed.out(query()),
  },
  spoofed_source: {
    options: { nat: masqueradeAll(PORTS, { filtering: 'endpoint-independent' }) },
    run: (bed) => [bed.out(query()), bed.in(udpPacket({ from: '10.1.2.3:53', to: '198.18.0.1:40000' }))],
  },
  firewall_drop: { options: { firewall: config([rule('drop')]) }, run: (bed) => bed.out(query()) },
  firewall_reject: {
    options: { firewall: config([rule({ kind: 'reject', with: 'port-unreachable' })]) },
    run: (bed) => bed.out(query()),
  },
  packet_rate: {
    options: { firewall: config([rule('accept', {}, { packetLimit: ONE })]) },
    run: (bed) => [bed.out(query()), bed.out(query())],
  },
  host_port_limit: {
    options: { nat: masqueradeAll(PORTS, { portsPerHost: 1 }) },
    run: (bed) => [bed.out(query()), bed.out(query('10.77.0.2', 40001)), bed.out(query('10.77.0.3'))],
  },
  host_flow_limit: {
    options: { nat: masqueradeAll(PORTS, { flowsPerHost: 1 }) },
    run: (bed) => [bed.out(query()), bed.out(query('10.77.0.2', 40001)), bed.out(query('10.77.0.3'))],
  },
  quote_out_of_window: {
    run: (bed) => {
      const syn = tcpPacket({ from: '10.77.0.2:40000', to: `${SERVER}:80`, flags: 'S', seq: 9000 });
      const [sent] = bed.out(syn);
      const forged = sent!.packet.slice();
      new DataView(forged.buffer).setUint32(24, 9001 + 5);
      bed.in(icmpError({ from: '192.0.2.1', to: EXTERNAL, type: 3, code: 1, packet: forged }));
    },
  },
  host_share: {
    options: { flows: 1024 },
    run: (bed) => Array.from({ length: 897 }, (_, i) => bed.out(query('10.77.0.2', 10_000 + i))),
  },
  filtered: {
    run: (bed) => [bed.out(query()), bed.in(udpPacket({ from: '203.0.113.77:53', to: '198.18.0.1:40000' }))],
  },
  no_hairpin: {
    options: { nat: masqueradeAll(PORTS, { hairpin: false }) },
    run: (bed) => [bed.out(query()), bed.out(udpPacket({ from: '10.77.0.3:9', to: '198.18.0.1:40000' }))],
  },
  fragment_first_missing: {
    run: (bed) => {
      const [first, later] = pieces;
      bed.out(first!);
      bed.engine.tracker.close(0, 0);
      bed.out(later!);
    },
  },
  fragment_overlap: { run: (bed) => [bed.out(pieces[0]!), bed.out(cut(large, 1472)[1]!)] },
  fragment_duplicate: { run: (bed) => [bed.out(pieces[0]!), bed.out(pieces[1]!), bed.out(pieces[1]!)] },
  fragment_limit: {
    // A quarter of the store is one source's: 2048 blocks, and 64 more.
    run: (bed) => {
      const body = filler(64 * 512 - 20);
      for (let id = 0; id <= 32; id++) {
        bed.out(rawPacket({ src: '10.77.0.2', dst: SERVER, protocol: 17, flags: 1, id, body }));
      }
    },
  },
  write_refused: { run: counted(WRITE_REFUSED) },
  write_no_buffer: { run: counted(WRITE_NO_BUFFER) },
  write_down: { run: counted(WRITE_DOWN) },
  read_truncated: { run: counted(READ_TRUNCATED) },
};

describe('corpus', () => {
  test.each(corpus)('$reason/$name: $about', ({ reason, side, packet, vnet }) => {
    const bed = new Bed();
    const sent = side === 'private' ? bed.out(packet, vnet) : bed.in(packet, vnet);
    // A fragment may wait for its first one.
    bed.pass(30_000);
    expect(bed.drops).toEqual(reason === 'ok' ? {} : { [reason]: 1 });
    const { records, leftOut } = bed.dropLog;
    expect(leftOut).toBe(0);
    expect(records.map(({ reasonName }) => reasonName)).toEqual(reason === 'ok' ? [] : [reason]);
    for (const record of records) {
      expect(record.device).toBe(side === 'private' ? PRIVATE : 1);
      expect(record.packet).toEqual(packet.slice(0, Math.min(record.length, 96)));
    }
    // At most the sender is told.
    const passed = sent.filter(({ device }) => (device === PRIVATE) !== (side === 'private'));
    expect(passed).toHaveLength(reason === 'ok' ? 1 : 0);
    bed.checkInvariants();
  });
});

describe('situations', () => {
  test.each(Object.entries(situations))('%s', (reason, { options, run }) => {
    const bed = new Bed(options);
    run(bed);
    bed.engine.tick(bed.now);
    expect(bed.drops).toEqual({ [reason]: 1 });
    const isOfDevice = reason.startsWith('write_') || reason === 'read_truncated';
    expect(bed.dropLog.records.map(({ reasonName }) => reasonName)).toEqual(isOfDevice ? [] : [reason]);
  });
});

/** Those that take several workers: workers.test.ts. */
const OF_WORKERS = ['hand_off_full', 'hand_off_late'];

test('no reason is left out', () => {
  const covered = new Set([...corpus.map(({ reason }) => reason), ...Object.keys(situations), ...OF_WORKERS]);
  expect([...covered].sort()).toEqual([...reasonNames].sort());
});
