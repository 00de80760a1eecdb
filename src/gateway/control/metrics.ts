/**
 * What Prometheus asks for. Every value is read from the state when it is asked for; nothing is counted here. Names are those of
 * node_exporter's conntrack collector and of cloud gateways with `natgate_` before them.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import type { GatewayStatus } from '../status.ts';

type Row = [labels: Record<string, string>, value: number];

interface Metric {
  name: string;
  help: string;
  kind: 'counter' | 'gauge';
  labels?: string[];
  rows(status: GatewayStatus): Row[];
}

const PROTOCOLS = ['tcp', 'udp', 'icmp', 'other'] as const;
const PORT_PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;

const METRICS: readonly Metric[] = [
  {
    name: 'natgate_build_info',
    help: 'Always 1; the version is a label.',
    kind: 'gauge',
    labels: ['version'],
    rows: ({ version }) => [[{ version }, 1]],
  },
  {
    name: 'natgate_uptime_seconds',
    help: 'Since the gateway started.',
    kind: 'gauge',
    rows: ({ started }) => [[{}, Math.max(0, (Date.now() - Date.parse(started)) / 1000)]],
  },
  {
    name: 'natgate_flows',
    help: 'Flows that live.',
    kind: 'gauge',
    labels: ['proto'],
    rows: ({ flows }) => PROTOCOLS.map((proto) => [{ proto }, flows[proto]]),
  },
  {
    name: 'natgate_flows_limit',
    help: 'Flows that the table holds.',
    kind: 'gauge',
    rows: ({ flows }) => [[{}, flows.capacity]],
  },
  {
    name: 'natgate_flows_started_total',
    help: 'Flows that began.',
    kind: 'counter',
    rows: ({ counters }) => [[{}, counters['flows_started'] ?? 0]],
  },
  {
    name: 'natgate_flows_ended_total',
    help: 'Flows that ended.',
    kind: 'counter',
    rows: ({ counters }) => [[{}, counters['flows_ended'] ?? 0]],
  },
  {
    name: 'natgate_drops_total',
    help: 'Packets that were dropped, by reason.',
    kind: 'counter',
    labels: ['reason'],
    rows: ({ drops }) => Object.entries(drops).map(([reason, value]) => [{ reason }, value]),
  },
  {
    name: 'natgate_ports_in_use',
    help: 'External ports, and ICMP identifiers, that flows have.',
    kind: 'gauge',
    labels: ['proto'],
    rows: ({ ports }) => PORT_PROTOCOLS.map((proto) => [{ proto }, ports.inUse[proto]]),
  },
  {
    name: 'natgate_ports_limit',
    help: 'Ports of the public interface’s address that natgate may use, of each protocol.',
    kind: 'gauge',
    rows: ({ ports }) => [[{}, ports.last - ports.first + 1]],
  },
  {
    name: 'natgate_packets_total',
    help: 'Packets as the engine sees them, by interface; in: that it got, out: that it sent.',
    kind: 'counter',
    labels: ['interface', 'side', 'dir'],
    rows: ({ interfaces }) => byInterface(interfaces, 'packets'),
  },
  {
    name: 'natgate_bytes_total',
    help: 'Bytes of these packets.',
    kind: 'counter',
    labels: ['interface', 'side', 'dir'],
    rows: ({ interfaces }) => byInterface(interfaces, 'bytes'),
  },
  {
    name: 'natgate_firewall_rule_flows_total',
    help: 'New flows that a firewall rule, or a default, has matched.',
    kind: 'counter',
    labels: ['rule'],
    rows: ({ firewall }) => firewall.map(({ name, flows }) => [{ rule: name }, flows]),
  },
];

/** The content type, and what makes the text. */
export function metricsOf(status: () => GatewayStatus): { contentType: string; text(): Promise<string> } {
  const registry = new Registry();
  let now: GatewayStatus;
  for (const { name, help, kind, labels = [], rows } of METRICS) {
    const settings = { name, help, labelNames: labels, registers: [registry] };
    if (kind === 'gauge') {
      new Gauge({
        ...settings,
        collect() {
          this.reset();
          for (const [of, value] of rows(now)) this.set(of, value);
        },
      });
    } else {
      new Counter({
        ...settings,
        collect() {
          this.reset();
          for (const [of, value] of rows(now)) this.inc(of, value);
        },
      });
    }
  }
  return {
    contentType: registry.contentType,
    text() {
      now = status();
      return registry.metrics();
    },
  };
}

function byInterface(interfaces: GatewayStatus['interfaces'], what: 'packets' | 'bytes'): Row[] {
  return interfaces.flatMap(({ name, side, ...both }) =>
    (['in', 'out'] as const).map((dir): Row => [{ interface: name, side, dir }, both[dir][what]]),
  );
}
