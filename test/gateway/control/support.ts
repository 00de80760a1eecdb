import type { Observed } from '../../../src/gateway/control/metric-list.ts';
import type { GatewayStatus } from '../../../src/gateway/status.ts';

const nothing = { packets: 0, bytes: 0 };

export const STATUS: GatewayStatus = {
  name: 'default',
  pid: 17,
  version: '1.2.3',
  started: new Date(0).toISOString(),
  private: ['eth1'],
  public: 'eth0',
  external: '203.0.113.1',
  ports: { first: 32_768, last: 65_535, inUse: { tcp: 2, udp: 1, icmp: 0 } },
  flows: { count: 3, capacity: 1024, tcp: 2, udp: 1, icmp: 0, other: 0 },
  workers: 1,
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
    },
  ],
  ended: { timeout: 1 },
  config: null,
  drops: { bad_tcp: 7 },
  refused: [],
  firewall: [
    { name: 'no-ssh', flows: 4, bytes: 240 },
    { name: 'default/outbound', flows: 9, bytes: 540 },
  ],
  counters: { flows_started: 12, flows_ended: 9 },
};

export const OBSERVED: Observed = {
  status: STATUS,
  batches: { bounds: [1, 2, 4], counts: [2, 3, 0], sum: 8 },
  turns: { bounds: [1e-6, 2e-6, Number.POSITIVE_INFINITY], counts: [1, 1, 1], sum: 0.5 },
  pressure: {
    clients: [{ address: '192.168.1.10', flows: 3 }],
    destinations: [{ address: '192.0.2.1', port: 443, proto: 'tcp', flows: 3 }],
    clientCount: 1,
  },
  delay: { mean: 0.01, p99: 0.02 },
};
