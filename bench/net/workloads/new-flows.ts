/** New UDP flows: the first datagram of each, as fast as the sender can; each that arrives is a flow that was made. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { GCC } from '../tools.ts';
import type { Topology } from '../topology.ts';
import type { Sample, Workload } from '../types.ts';
import { parseSent, parseSink, startFlows, startSink } from './udp-tools.ts';

const CLIENTS = { address: '10.77.0.10', count: 200, firstPort: 33_000, ports: 100 };
const SERVERS = 10;
const CONNTRACK_MAX = '/proc/sys/net/netfilter/nf_conntrack_max';
const DRAIN_MS = 50;

export const newFlows: Workload = {
  name: 'new-udp-flows',
  title: 'New UDP flows, delivered',
  about:
    `${(CLIENTS.count * CLIENTS.ports * SERVERS).toLocaleString('en')} flows, one datagram of 18 bytes each, once: ` +
    `${CLIENTS.count} clients with ${CLIENTS.ports} ports each, no port twice, from ${CLIENTS.firstPort}, to ${SERVERS} server addresses. ` +
    'Empty tables of 262 144 flows, 32 768 ports (natgate) and all ports (kernel), default timeouts (longer than this takes): ' +
    'neither table nor ports run out.',
  unit: 'k/s',
  better: 'higher',
  digits: 1,
  needs: GCC,
  costUnit: 'million flows',
  fresh: true,
  // With flows of another workload: those to be made must be new.
  warmUp: async (topology) => await begin(topology, { ...CLIENTS, ports: 10, firstPort: 60_000 }, SERVERS),
  run: async (topology) => await begin(topology, CLIENTS, servers()),
};

async function begin(topology: Topology, clients: typeof CLIENTS, count: number): Promise<Sample> {
  const sink = await startSink(topology, 0, 18);
  try {
    const flows = await startFlows(topology, clients, count);
    const { sent, seconds } = parseSent(await flows.finish(20_000));
    await sleep(DRAIN_MS);
    await sink.stop();
    const { received, seconds: measured } = parseSink(sink.stdout);
    return {
      value: received / measured / 1e3,
      amount: received / 1e6,
      details: { sent, offered: sent / seconds, received },
    };
  } finally {
    await sink.stop();
  }
}

/** Fewer where the kernel's own table is smaller than on most machines. */
function servers(): number {
  let most = Number.POSITIVE_INFINITY;
  try {
    most = Number(readFileSync(CONNTRACK_MAX, 'utf8'));
  } catch {
    // The module is not loaded: no contender that uses it runs.
  }
  return Math.max(1, Math.min(SERVERS, Math.floor((most * 0.8) / (CLIENTS.count * CLIENTS.ports))));
}
