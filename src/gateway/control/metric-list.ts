/**
 * The metrics, each with how it is read from what is known at one moment. Names are those of node_exporter's conntrack collector and of
 * the cloud gateways, with `natgate_` before them; docs/metrics.md has them as a table, the dashboard and the alerts (packaging/) use them.
 */
import type { Classes } from '../../engine/counters.ts';
import type { Pressure } from '../observe/pressure.ts';
import type { GatewayStatus } from '../status.ts';

/** All that metrics are made of. */
export interface Observed {
  status: GatewayStatus;
  batches: Classes;
  turns: Classes;
  /** Null: the flows have not been gone through yet. */
  pressure: Pressure | null;
  /** Of the supervisor's event loop, seconds: the mean and the 99th percentile since the last time. */
  delay: { mean: number; p99: number };
}

export type Row = [labels: Record<string, string>, value: number];

export type Metric = { name: string; help: string; labels?: string[] } & (
  | { kind: 'counter' | 'gauge'; rows(seen: Observed): Row[] }
  | { kind: 'histogram'; classes(seen: Observed): Classes }
);

const PROTOCOLS = ['tcp', 'udp', 'icmp', 'other'] as const;
const PORT_PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;
/** Drops for want of a port or an identifier. */
const EXHAUSTED = ['no_free_port', 'host_port_limit'];

const gauge = (name: string, help: string, rows: (seen: Observed) => Row[], labels?: string[]): Metric => ({
  name: `natgate_${name}`,
  help,
  kind: 'gauge',
  rows,
  ...(labels && { labels }),
});
const counter = (name: string, help: string, rows: (seen: Observed) => Row[], labels?: string[]): Metric => ({
  ...gauge(name, help, rows, labels),
  kind: 'counter',
  rows,
});
const total = (name: string, help: string, key: string): Metric =>
  counter(name, help, ({ status }) => [[{}, status.counters[key] ?? 0]]);

export const METRICS: readonly Metric[] = [
  gauge(
    'build_info',
    'Always 1; the version is a label.',
    ({ status }) => [[{ version: status.version }, 1]],
    ['version'],
  ),
  gauge('start_time_seconds', 'When the gateway started, Unix time.', ({ status }) => [
    [{}, Date.parse(status.started) / 1000],
  ]),
  gauge('uptime_seconds', 'Since the gateway started.', ({ status }) => [
    [{}, Math.max(0, (Date.now() - Date.parse(status.started)) / 1000)],
  ]),
  gauge('workers', 'Threads that forward.', ({ status }) => [[{}, status.workers]]),
  gauge('external_address', '1 while the public interface has an address.', ({ status }) => [
    [{}, status.external === null ? 0 : 1],
  ]),

  gauge(
    'flows',
    'Flows that live.',
    ({ status }) => PROTOCOLS.map((proto) => [{ proto }, status.flows[proto]]),
    ['proto'],
  ),
  gauge('flows_limit', 'Flows that the table holds.', ({ status }) => [[{}, status.flows.capacity]]),
  total('flows_started_total', 'Flows that began.', 'flows_started'),
  counter(
    'flows_ended_total',
    'Flows that ended, by why: timeout is idle, evicted made room for another.',
    ({ status }) => Object.entries(status.ended).map(([why, count]) => [{ why }, count]),
    ['why'],
  ),
  total('flows_lost_total', 'Flows that a restarted engine could not take over.', 'flows_lost_at_restart'),

  counter(
    'packets_total',
    'Packets as the engine sees them, by interface; in: that it got, out: that it sent.',
    ({ status }) => byInterface(status, 'packets'),
    ['interface', 'side', 'dir'],
  ),
  counter('bytes_total', 'Bytes of these packets.', ({ status }) => byInterface(status, 'bytes'), [
    'interface',
    'side',
    'dir',
  ]),
  counter(
    'drops_total',
    'Packets that were dropped, by reason.',
    ({ status }) => Object.entries(status.drops).map(([reason, count]) => [{ reason }, count]),
    ['reason'],
  ),
  total('icmp_errors_sent_total', 'ICMP errors that the gateway made.', 'icmp_errors_sent'),
  total('resets_sent_total', 'TCP resets that the gateway made.', 'resets_sent'),
  total('handed_back_total', 'Packets given to the host itself.', 'handed_back'),

  gauge(
    'ports_in_use',
    'External ports, and ICMP identifiers, that flows have, by external address.',
    ({ status }) => byExternal(status, 'inUse'),
    ['external', 'proto'],
  ),
  gauge(
    'ports_limit',
    'Ports and identifiers that there are of an external address.',
    ({ status }) => byExternal(status, 'ports'),
    ['external', 'proto'],
  ),
  counter(
    'port_exhausted_total',
    'Packets that found no external port or identifier: none is free, or the host has as many as it may.',
    ({ status }) => EXHAUSTED.map((reason) => [{ reason }, status.drops[reason] ?? 0]),
    ['reason'],
  ),
  total(
    'ports_recycled_total',
    'Ports that were taken from closing flows, for want of free ones.',
    'ports_recycled',
  ),
  total(
    'ports_overloaded_total',
    'Ports that serve several destinations, for want of free ones.',
    'ports_overloaded',
  ),
  gauge(
    'destination_ports_in_use',
    'External ports that lead to one destination, of those to which most do: a port serves one flow to it only.',
    ({ pressure }) =>
      (pressure?.destinations ?? []).map(({ address, port, proto, flows }) => [
        { destination: `${address}:${port}`, proto },
        flows,
      ]),
    ['destination', 'proto'],
  ),
  gauge(
    'client_flows',
    'Flows of one private host, of those that have most.',
    ({ pressure }) => (pressure?.clients ?? []).map(({ address, flows }) => [{ client: address }, flows]),
    ['client'],
  ),
  gauge('clients', 'Private hosts with a flow.', ({ pressure }) =>
    pressure === null ? [] : [[{}, pressure.clientCount]],
  ),
  counter(
    'client_refused_total',
    'Times that a private host was refused something by a limit or for want of ports, of those remembered.',
    ({ status }) =>
      status.refused.map(({ host, rule, reason, count }) => [{ client: host, rule, reason }, count]),
    ['client', 'rule', 'reason'],
  ),
  counter(
    'firewall_rule_flows_total',
    'New flows that a firewall rule, or a default, has matched.',
    ({ status }) => status.firewall.map(({ name, flows }) => [{ rule: name }, flows]),
    ['rule'],
  ),

  {
    name: 'natgate_batch_packets',
    help: 'Packets of a batch that the engine read at once; large ones mean load.',
    kind: 'histogram',
    classes: ({ batches }) => batches,
  },
  {
    name: 'natgate_exchange_seconds',
    help: 'How long the engine takes for a batch, of one batch in 64.',
    kind: 'histogram',
    classes: ({ turns }) => turns,
  },
  total(
    'super_packets_made_total',
    'Super-packets written for packets that were not read as such.',
    'super_packets_made',
  ),
  gauge(
    'loop_delay_seconds',
    'How late the event loop of the supervisor was since the last time; the engine does not wait for it.',
    ({ delay }) => [
      [{ which: 'mean' }, delay.mean],
      [{ which: 'p99' }, delay.p99],
    ],
    ['which'],
  ),
];

function byInterface({ interfaces }: GatewayStatus, what: 'packets' | 'bytes'): Row[] {
  return interfaces.flatMap(({ name, side, ...both }) =>
    (['in', 'out'] as const).map((dir): Row => [{ interface: name, side, dir }, both[dir][what]]),
  );
}

function byExternal({ externals }: GatewayStatus, what: 'inUse' | 'ports'): Row[] {
  return externals.flatMap((external) =>
    PORT_PROTOCOLS.map((proto): Row => [{ external: external.address, proto }, external[what][proto]]),
  );
}
