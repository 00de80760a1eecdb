/**
 * One benchmark per function of the hot path, with the benchmark package. Each works on data made outside the
 * loop and returns a number that is kept, so that nothing is optimised away.
 */
import Benchmark from 'benchmark';
import { FlowTable } from '../../src/conntrack/flow-table.ts';
import { nextTcpState } from '../../src/conntrack/tcp-states.ts';
import { defaultTimeouts, TimeoutTable } from '../../src/conntrack/timeouts.ts';
import { Tracker } from '../../src/conntrack/tracker.ts';
import { hashTuple, invertPorts } from '../../src/conntrack/tuple.ts';
import { Random } from '../../src/core/random.ts';
import { masqueradeAll } from '../../src/nat/config.ts';
import { ExternalAddresses } from '../../src/nat/external-addresses.ts';
import { Hosts } from '../../src/nat/hosts.ts';
import { Mappings } from '../../src/nat/mappings.ts';
import { OWNED_BYTES } from '../../src/nat/owned.ts';
import { Rules } from '../../src/nat/rules.ts';
import { setDeltas, translatePacket } from '../../src/nat/translate.ts';
import { udpPacket } from '../../src/testing/index.ts';
import { Bytes } from '../../src/wire/bytes.ts';
import { adjust, checksum } from '../../src/wire/checksum.ts';
import { META, parsePacket } from '../../src/wire/parse.ts';

const FLOWS = 1024;
/** Where the packet lies: behind room for a vnet header, 4-aligned. */
const OFFSET = 12;
/** What every benchmark adds its result to; exported, or it would be dead code. */
export let sink = 0;

export interface FunctionResult {
  name: string;
  nsPerCall: number;
  /** Relative margin of error, per cent. */
  margin: number;
}

/** Runs the suite; `seconds` per function. */
export function benchFunctions(seconds: number): FunctionResult[] {
  const packet = udpPacket({ from: '10.0.0.2:40000', to: '198.18.0.2:53', payload: 'payload' });
  const bytes = new Bytes(new ArrayBuffer(2048));
  bytes.u8.set(packet, OFFSET);
  const meta = new Int32Array(META);
  const table = new FlowTable(new ArrayBuffer(FlowTable.bytes(FLOWS)), 0, FLOWS, [1, 2]);
  const tracker = new Tracker(table, new TimeoutTable(defaultTimeouts), 0);
  for (let i = 0; i < FLOWS; i++) {
    const flow = table.create(17, 0x0200000a, i, 7, i, 0x010012c6, 7, 0, 0);
    setDeltas(table.hot, flow, 17);
  }
  const ports = { first: 32768, last: 65535 };
  const mappings = new Mappings({
    owned: new Uint8Array(OWNED_BYTES),
    externals: new ExternalAddresses(0x010012c6, [0], ports.first, ports.last),
    rules: new Rules(masqueradeAll(ports).rules, ports, () => 0).rules,
    forwards: [],
    held: { tcp: [], udp: [] },
    capacity: 65536,
    hosts: new Hosts(false),
    flows: { isTaken: () => false, endFinished: () => false, endUnassured: () => false },
    random: new Random(1),
    seed: [1, 2],
  });
  let n = 0;

  const cases: [string, () => void][] = [
    [
      'noop',
      () => {
        sink++;
      },
    ],
    [
      'wire: parsePacket (UDP)',
      () => {
        sink += parsePacket(bytes, OFFSET, packet.length, false, meta, 0);
      },
    ],
    [
      'wire: checksum of 1460 bytes',
      () => {
        sink += checksum(bytes.u8, bytes.u16, 0, 1460);
      },
    ],
    [
      'wire: adjust',
      () => {
        sink += adjust(n++ & 0xffff, 0x1234);
      },
    ],
    [
      'conntrack: hashTuple',
      () => {
        sink += hashTuple(n++, 2, 3, 17, 4, 5);
      },
    ],
    [
      'conntrack: nextTcpState',
      () => {
        sink += nextTcpState(n++ & 1, 0x10, 3);
      },
    ],
    [
      'conntrack: lookup, 1024 flows',
      () => {
        sink += table.lookup(0x0200000a, n++ & (FLOWS - 1), 7, 17);
      },
    ],
    [
      'conntrack: update (UDP)',
      () => {
        sink += tracker.update((n++ & (FLOWS - 1)) << 1, bytes, meta, 0, 1);
      },
    ],
    [
      'nat: mapping, acquire and release',
      () => mappings.release(mappings.acquire(0, 17, n++ & 0xff, 0x409c, 1, 1), 0, true),
    ],
    ['nat: translatePacket (UDP)', () => translatePacket(bytes, OFFSET, OFFSET + 20, table.hot, 0)],
    [
      'conntrack: invertPorts',
      () => {
        sink += invertPorts(17, n++);
      },
    ],
  ];
  return cases.map(([name, run]) => {
    const bench = new Benchmark(name, run, { maxTime: seconds, minSamples: 5 });
    bench.run();
    if (bench.error) throw bench.error;
    return { name, nsPerCall: bench.stats.mean * 1e9, margin: bench.stats.rme };
  });
}
