/**
 * The metrics: names, what they mean, and where their values are. Names are those of node_exporter's conntrack collector and of cloud
 * gateways with `natgate_` before them. docs/metrics.md has the same list (test/gateway/control/metrics.test.ts).
 *
 * Bound: each has as many series as there are interfaces, reasons, rules or external addresses; what is about clients or destinations has
 * only the most important ones.
 */
import { flowEndReasonNames } from '../../conntrack/end-reasons.ts';
import { BATCH_BOUNDS, TURN_BOUNDS } from '../../engine/counters.ts';
import { REPAIR_KINDS } from '../host/repairs.ts';
import type { OwnProcess } from '../observe/own-process.ts';
import type { Pressure } from '../observe/pressure.ts';
import type { GatewayStatus } from '../status.ts';

export type Row = [labels: Record<string, string>, value: number];

/** All that a scrape is made of. */
export interface Moment {
  status: GatewayStatus;
  pressure: Pressure;
  own: OwnProcess;
}

export interface Metric {
  name: string;
  help: string;
  kind: 'counter' | 'gauge';
  labels?: string[];
  rows(moment: Moment): Row[];
}

export interface Distribution {
  name: string;
  help: string;
  /** Upper bounds in the metric's unit, with the counter that has what is above the one before. */
  buckets: [bound: number, counter: string][];
  /** The counter of what is above the last bound; none where there is nothing. */
  rest?: string;
  /** The counter of the sum, and what makes the metric's unit of it. */
  sum: [counter: string, factor: number];
}

const PROTOCOLS = ['tcp', 'udp', 'icmp', 'other'] as const;
const PORT_PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;
const MOST_REFUSED = 20;
/** Why flows ended, as cloud gateways say it; the others in the words of events. */
const WHY: Record<string, string> = { timeout: 'idle' };

const one = (
  name: string,
  kind: Metric['kind'],
  help: string,
  value: (moment: Moment) => number,
): Metric => ({
  name,
  kind,
  help,
  rows: (moment) => [[{}, value(moment)]],
});

const total = (name: string, counter: string, help: string): Metric =>
  one(name, 'counter', help, ({ status }) => status.counters[counter] ?? 0);

export const METRICS: readonly Metric[] = [
  {
    name: 'natgate_build_info',
    help: 'Always 1; the version is a label.',
    kind: 'gauge',
    labels: ['version'],
    rows: ({ status }) => [[{ version: status.version }, 1]],
  },
  one(
    'natgate_start_time_seconds',
    'gauge',
    'When the gateway started, Unix time.',
    ({ status }) => Date.parse(status.started) / 1000,
  ),
  one('natgate_uptime_seconds', 'gauge', 'Since the gateway started.', ({ status }) =>
    Math.max(0, (Date.now() - Date.parse(status.started)) / 1000),
  ),
  one('natgate_workers', 'gauge', 'Threads that forward.', ({ status }) => status.workers),
  total(
    'natgate_engine_starts_total',
    'engine_starts',
    'Threads that began to forward; goes up when the engine is started again.',
  ),
  total(
    'natgate_hash_rekeys_total',
    'hash_rekeys',
    'Times that the key of the hashes was changed, since somebody had made their entries collide.',
  ),
  one(
    'natgate_engine_deaths_total',
    'counter',
    'Engine processes that ended when they should not have.',
    ({ status }) => status.engine.deaths,
  ),
  one('natgate_engine_failing', 'gauge', '1 while engines die one after the other.', ({ status }) =>
    status.engine.failingSince === null ? 0 : 1,
  ),
  one(
    'natgate_standby_ready',
    'gauge',
    '1 while another engine stands by, loaded, for the moment in which the one that forwards dies.',
    ({ status }) => (status.standby.state === 'ready' ? 1 : 0),
  ),
  one(
    'natgate_packets_quarantined_total',
    'counter',
    'Packets that an engine has stumbled over; what equals them is dropped for a while.',
    ({ status }) => status.engine.quarantined,
  ),
  one(
    'natgate_external_address_present',
    'gauge',
    '1 while the public interface has an address.',
    ({ status }) => (status.external === null ? 0 : 1),
  ),
  {
    name: 'natgate_interface_present',
    help: '1 while the served interface is there, 0 while the gateway waits for it to come back.',
    kind: 'gauge',
    labels: ['interface', 'side'],
    rows: ({ status }) =>
      status.interfaces.map(({ name, side }) => [
        { interface: name, side },
        status.waiting.includes(name) ? 0 : 1,
      ]),
  },
  {
    name: 'natgate_repairs_total',
    help: 'Times that something was put right which others had undone on the host, by what it was.',
    kind: 'counter',
    labels: ['what'],
    rows: ({ status }) => REPAIR_KINDS.map((what) => [{ what }, status.repairs[what] ?? 0]),
  },
  one('natgate_flood', 'gauge', '1 while a private host is cut down to its share.', ({ status }) =>
    status.flood.host === null ? 0 : 1,
  ),
  one(
    'natgate_flood_dropped_total',
    'counter',
    'Packets of private hosts beyond their share, dropped in front of the packet engine.',
    ({ status }) => status.flood.dropped,
  ),
  {
    name: 'natgate_flows',
    help: 'Flows that live.',
    kind: 'gauge',
    labels: ['proto'],
    rows: ({ status }) => PROTOCOLS.map((proto) => [{ proto }, status.flows[proto]]),
  },
  one('natgate_flows_limit', 'gauge', 'Flows that the table holds.', ({ status }) => status.flows.capacity),
  total('natgate_flows_started_total', 'flows_started', 'Flows that began.'),
  {
    name: 'natgate_flows_ended_total',
    help: 'Flows that ended, by why.',
    kind: 'counter',
    labels: ['why'],
    rows: ({ status }) =>
      flowEndReasonNames.map((name) => [
        { why: WHY[name] ?? name },
        status.counters[`flows_ended_by/${name}`] ?? 0,
      ]),
  },
  total('natgate_flows_evicted_total', 'flows_evicted', 'Flows that made room for others.'),
  total('natgate_flows_lost_total', 'flows_lost_at_restart', 'Flows that an engine could not take over.'),
  {
    name: 'natgate_drops_total',
    help: 'Packets that were dropped, by reason.',
    kind: 'counter',
    labels: ['reason'],
    rows: ({ status }) => Object.entries(status.drops).map(([reason, value]) => [{ reason }, value]),
  },
  {
    name: 'natgate_ports_in_use',
    help: 'Ports, and ICMP identifiers, of external addresses that flows have.',
    kind: 'gauge',
    labels: ['outside', 'proto'],
    rows: ({ status }) => byExternal(status, 'inUse'),
  },
  {
    name: 'natgate_ports_limit',
    help: 'Ports, and ICMP identifiers, of external addresses that there are.',
    kind: 'gauge',
    labels: ['outside', 'proto'],
    rows: ({ status }) => byExternal(status, 'ports'),
  },
  {
    name: 'natgate_port_exhausted_total',
    help: 'Times that a flow asked an external address for a port and none was left.',
    kind: 'counter',
    labels: ['outside', 'proto'],
    rows: ({ status }) => byExternal(status, 'exhausted'),
  },
  total(
    'natgate_ports_recycled_total',
    'ports_recycled',
    'Ports that were taken from idle mappings for want of free ones.',
  ),
  total(
    'natgate_ports_overloaded_total',
    'ports_overloaded',
    'Ports that were given a second time, to another destination.',
  ),
  {
    name: 'natgate_destination_ports',
    help: 'Ports of an external address in use towards one destination; the 10 with the most.',
    kind: 'gauge',
    labels: ['outside', 'proto', 'destination'],
    rows: ({ pressure }) => pressure.destinations.map(({ ports, ...labels }) => [labels, ports]),
  },
  {
    name: 'natgate_client_flows',
    help: 'Flows of a private host; the 10 with the most.',
    kind: 'gauge',
    labels: ['client'],
    rows: ({ pressure }) => pressure.clients.map(({ flows, ...labels }) => [labels, flows]),
  },
  {
    name: 'natgate_client_quota_used_ratio',
    help: 'Part of its quota that a private host has in use; the 20 highest from 0.8 on.',
    kind: 'gauge',
    labels: ['client', 'rule', 'kind'],
    rows: ({ pressure }) => pressure.near.map(({ used, ...labels }) => [labels, used]),
  },
  {
    name: 'natgate_client_refused_total',
    help: 'Times that a private host was refused a port or a flow; the 20 with the most.',
    kind: 'counter',
    labels: ['client', 'rule', 'reason'],
    rows: ({ status }) =>
      status.refused
        .slice(0, MOST_REFUSED)
        .map(({ host, rule, reason, count }) => [{ client: host, rule, reason }, count]),
  },
  {
    name: 'natgate_packets_total',
    help: 'Packets as the engine sees them, by interface; in: that it got, out: that it sent.',
    kind: 'counter',
    labels: ['interface', 'side', 'dir'],
    rows: ({ status }) => byInterface(status, 'packets'),
  },
  {
    name: 'natgate_bytes_total',
    help: 'Bytes of these packets.',
    kind: 'counter',
    labels: ['interface', 'side', 'dir'],
    rows: ({ status }) => byInterface(status, 'bytes'),
  },
  {
    name: 'natgate_firewall_rule_flows_total',
    help: 'New flows that a firewall rule, or a default, has matched.',
    kind: 'counter',
    labels: ['rule'],
    rows: ({ status }) => status.firewall.map(({ name, flows }) => [{ rule: name }, flows]),
  },
  {
    name: 'natgate_rx_overruns_total',
    help: 'Packets that found the queue to the engine full, by TUN device.',
    kind: 'counter',
    labels: ['device'],
    rows: ({ own }) => own.overruns.map(({ name, count }) => [{ device: name }, count]),
  },
  {
    name: 'natgate_link_drops_total',
    help: 'Packets that the kernel dropped at an interface.',
    kind: 'counter',
    labels: ['interface', 'side', 'dir'],
    rows: ({ own }) =>
      own.links.flatMap(({ name, side, ...both }) =>
        (['in', 'out'] as const).map((dir): Row => [{ interface: name, side, dir }, both[dir]]),
      ),
  },
  {
    name: 'natgate_loop_delay_seconds',
    help: 'How late the event loop of the supervisor was, at least over the last scrape interval.',
    kind: 'gauge',
    labels: ['stat'],
    rows: ({ own }) => (['mean', 'p99', 'max'] as const).map((stat) => [{ stat }, own.loop[stat]]),
  },
  one(
    'natgate_state_bytes',
    'gauge',
    'Memory that engine and supervisor share: counters and flow table.',
    ({ own }) => own.stateBytes,
  ),
  one(
    'natgate_supervisor_resident_bytes',
    'gauge',
    'Resident memory of the supervisor.',
    ({ own }) => own.residentBytes,
  ),
];

export const DISTRIBUTIONS: readonly Distribution[] = [
  {
    name: 'natgate_batch_packets',
    help: 'Packets that the engine handled at once.',
    buckets: BATCH_BOUNDS.map((bound) => [bound, `batch_packets/${bound}`]),
    sum: ['batch_packets/sum', 1],
  },
  {
    name: 'natgate_turn_seconds',
    help: 'How long the engine took to handle what it had read; one turn in 64 is timed.',
    buckets: TURN_BOUNDS.map((bound) => [bound / 1e6, `turn_us/${bound}`]),
    rest: 'turn_us/longer',
    sum: ['turn_us/sum', 1e-6],
  },
];

function byInterface({ interfaces }: GatewayStatus, what: 'packets' | 'bytes'): Row[] {
  return interfaces.flatMap(({ name, side, ...both }) =>
    (['in', 'out'] as const).map((dir): Row => [{ interface: name, side, dir }, both[dir][what]]),
  );
}

function byExternal({ externals }: GatewayStatus, what: 'inUse' | 'ports' | 'exhausted'): Row[] {
  return externals.flatMap(({ address, ...of }) =>
    PORT_PROTOCOLS.map((proto): Row => [{ outside: address, proto }, of[what][proto]]),
  );
}
