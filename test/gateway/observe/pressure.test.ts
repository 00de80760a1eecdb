/** Where ports go, and who is near a quota, from the flow tables of two workers. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { C_MAPPING, COLD, FlowTable, RULE_SHIFT } from '../../../src/conntrack/flow-table.ts';
import { formatState, openState, stateBytes } from '../../../src/engine/state.ts';
import { parseDeviceCounts } from '../../../src/gateway/observe/own-process.ts';
import { measurePressure, PressureGauge } from '../../../src/gateway/observe/pressure.ts';
import type { RunRecord } from '../../../src/gateway/run/run-record.ts';
import { addon } from '../../../src/link/addon.ts';
import { masqueradeAll } from '../../../src/nat/config.ts';
import { parseAddress } from '../../../src/wire/address.ts';
import { swap16 } from '../../../src/wire/bytes.ts';

const CAPACITY = 4000;
const EXTERNAL = parseAddress('203.0.113.1')!;
let folder: string;
let fds: number[];
let tables: FlowTable[];
let record: RunRecord;

beforeEach(() => {
  folder = mkdtempSync('/dev/shm/natgate-test-');
  const path = join(folder, 'state');
  fds = [path, `${path}.1`].map((file) => openSync(file, 'w+', 0o600));
  tables = fds.map((fd) => {
    addon().fallocate(fd, stateBytes(CAPACITY));
    const buffer = addon().mmap(fd, stateBytes(CAPACITY), true);
    formatState(buffer, CAPACITY, [1, 2]);
    return new FlowTable(buffer, openState(buffer).tableOffset, CAPACITY, [1, 2]);
  });
  record = { rules: ['lan'], timeouts: {}, statePath: path, workers: 2 } as unknown as RunRecord;
});
afterEach(() => {
  for (const fd of fds) closeSync(fd);
  rmSync(folder, { recursive: true });
});

/** `count` flows of a private host to a remote end, each with a port and a mapping of its own. */
function begin(
  worker: number,
  protocol: number,
  client: string,
  remote: string,
  port: number,
  first: number,
  count: number,
  rule = 0,
) {
  const [host, to] = [parseAddress(client)!, parseAddress(remote)!];
  const table = tables[worker]!;
  for (let i = first; i < first + count; i++) {
    const out = swap16(i) | (swap16(port) << 16);
    const back = swap16(port) | (swap16(i) << 16);
    const flow = table.create(protocol, host, to, out, to, EXTERNAL, back, rule << RULE_SHIFT, 0);
    table.cold[flow * COLD + C_MAPPING] = i;
  }
}

const rules = (flowsPerHost: number, portsPerHost = 0) => {
  const [rule] = masqueradeAll({ first: 32_768, last: 65_535 }).rules;
  return [{ ...rule!, name: 'lan', behaviour: { ...rule!.behaviour, flowsPerHost, portsPerHost } }];
};

it('adds up flows to one destination over workers, the most first, no more than ten', async () => {
  begin(0, 6, '10.0.0.2', '198.51.100.7', 443, 1000, 30);
  begin(1, 6, '10.0.0.3', '198.51.100.7', 443, 2000, 12);
  begin(0, 17, '10.0.0.2', '198.51.100.7', 443, 1000, 5);
  for (let i = 0; i < 20; i++) begin(1, 6, '10.0.0.4', `192.0.2.${i}`, 80, 3000 + i, 1);
  const { destinations, clients, near } = await measurePressure(record, rules(0));
  expect(destinations).toHaveLength(10);
  const to = { outside: '203.0.113.1', destination: '198.51.100.7:443' };
  expect(destinations.slice(0, 2)).toEqual([
    { ...to, proto: 'tcp', ports: 42 },
    { ...to, proto: 'udp', ports: 5 },
  ]);
  expect(clients).toEqual([
    { client: '10.0.0.2', flows: 35 },
    { client: '10.0.0.4', flows: 20 },
    { client: '10.0.0.3', flows: 12 },
  ]);
  expect(near).toEqual([]);
});

it('names hosts from 0.8 of a quota on', async () => {
  begin(0, 6, '10.0.0.2', '198.51.100.7', 443, 1000, 8);
  begin(0, 6, '10.0.0.3', '198.51.100.7', 443, 2000, 7);
  expect((await measurePressure(record, rules(10))).near).toEqual([
    { client: '10.0.0.2', rule: 'lan', kind: 'flows', used: 0.8 },
  ]);
  // Several flows of one mapping are one port.
  begin(0, 6, '10.0.0.2', '198.51.100.8', 443, 1000, 8);
  expect((await measurePressure(record, rules(0, 8))).near).toEqual([
    { client: '10.0.0.2', rule: 'lan', kind: 'tcp-ports', used: 1 },
    { client: '10.0.0.3', rule: 'lan', kind: 'tcp-ports', used: 0.875 },
  ]);
});

it('looks again after half a minute, not before', async () => {
  const gauge = new PressureGauge(
    () => record,
    () => rules(0),
  );
  expect((await gauge.read(0)).clients).toEqual([]);
  begin(0, 6, '10.0.0.2', '198.51.100.7', 443, 1000, 1);
  expect((await gauge.read(29_999)).clients).toEqual([]);
  expect((await gauge.read(30_000)).clients).toEqual([{ client: '10.0.0.2', flows: 1 }]);
});

it('reads what was sent and dropped from /proc/net/dev', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
natgate-g0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
`;
  expect([...parseDeviceCounts(text)]).toEqual([
    ['lo', { sent: 1, in: 0, out: 0 }],
    ['natgate-g0', { sent: 10, in: 4, out: 12 }],
  ]);
});
