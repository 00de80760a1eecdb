import type { Moment } from '../../../src/gateway/control/metric-list.ts';
import type { GatewayStatus } from '../../../src/gateway/status.ts';

const nothing = { packets: 0, bytes: 0 };

export const STATUS: GatewayStatus = {
  name: 'default',
  pid: 17,
  version: '1.2.3',
  started: new Date(0).toISOString(),
  private: ['eth1'],
  public: 'eth0',
  waiting: [],
  repairs: { filter: 2 },
  flood: { host: '10.0.0.66', dropped: 7 },
  external: '203.0.113.1',
  ports: { first: 32_768, last: 65_535, inUse: { tcp: 2, udp: 1, icmp: 0 } },
  flows: { count: 3, capacity: 1024, tcp: 2, udp: 1, icmp: 0, other: 0 },
  workers: 1,
  engine: { deaths: 0, lastDeath: null, failingSince: null, quarantined: 0 },
  standby: { state: 'ready', since: new Date(0).toISOString(), again: null },
  traffic: { out: { packets: 5, bytes: 500 }, in: nothing },
  interfaces: [
    { name: 'eth1', side: 'private', addresses: [], in: { packets: 5, bytes: 500 }, out: nothing },
    { name: 'eth0', side: 'public', addresses: [], in: nothing, out: { packets: 5, bytes: 500 } },
  ],
  externals: [
    {
      address: '203.0.113.1',
      inUse: { tcp: 2, udp: 1, icmp: 0 },
      ports: { tcp: 32_768, udp: 32_768, icmp: 65_536 },
      exhausted: { tcp: 3, udp: 0, icmp: 0 },
    },
  ],
  config: null,
  drops: { bad_tcp: 7 },
  refused: [{ host: '10.0.0.2', rule: 'masquerade', reason: 'no_free_port', count: 3 }],
  firewall: [
    { name: 'no-ssh', flows: 4, bytes: 240 },
    { name: 'default/outbound', flows: 9, bytes: 540 },
  ],
  counters: {
    flows_started: 12,
    flows_ended: 9,
    'flows_ended_by/timeout': 8,
    'flows_ended_by/closed': 1,
    'batch_packets/1': 4,
    'batch_packets/64': 2,
    'batch_packets/sum': 132,
    'turn_us/8': 5,
    'turn_us/longer': 1,
    'turn_us/sum': 20_040,
    engine_starts: 2,
    hash_rekeys: 3,
  },
};

/** Every metric has a value in it. */
export const MOMENT: Moment = {
  status: STATUS,
  pressure: {
    destinations: [{ outside: '203.0.113.1', proto: 'tcp', destination: '198.51.100.7:443', ports: 2 }],
    clients: [{ client: '10.0.0.2', flows: 3 }],
    near: [{ client: '10.0.0.2', rule: 'masquerade', kind: 'flows', used: 0.9 }],
  },
  own: {
    loop: { mean: 0.001, p99: 0.01, max: 0.2 },
    overruns: [{ name: 'natgate-eth1', count: 6 }],
    links: [{ name: 'eth1', side: 'private', in: 1, out: 2 }],
    stateBytes: 1_000_000,
    residentBytes: 50_000_000,
  },
};
