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
  externals: [],
  config: null,
  drops: { bad_tcp: 7 },
  refused: [],
  firewall: [
    { name: 'no-ssh', flows: 4, bytes: 240 },
    { name: 'default/outbound', flows: 9, bytes: 540 },
  ],
  counters: { flows_started: 12, flows_ended: 9 },
};
