/** What a gateway is and does at one moment, from its run record and its state file. Needs no addon, only to be root. */
import { networkInterfaces } from 'node:os';
import { NatgateError } from '../core/errors.ts';
import {
  DEVICE_COUNTERS,
  DEVICE_IN_BYTES,
  DEVICE_IN_PACKETS,
  DEVICE_OUT_BYTES,
  DEVICE_OUT_PACKETS,
  DEVICES,
  readCounters,
  sumOfCounters,
} from '../engine/counters.ts';
import { readPortGauges } from '../engine/port-gauges.ts';
import { type RuleCount, readRuleCounters } from '../engine/rule-counters.ts';
import { readAllShortages } from '../engine/shortages.ts';
import { ClientNames } from '../host/client-names.ts';
import { isAlive } from '../host/process-identity.ts';
import { formatAddress } from '../wire/address.ts';
import type { EngineHealth } from './engines/engine-health.ts';
import { NO_STANDBY, type Standby } from './engines/standby.ts';
import type { Flood } from './host/flood-watch.ts';
import { contextOf, type ListedFlow, listFlowsOf } from './observe/flow-list.ts';
import { type RunRecord, readRunRecord, runDirectory } from './run/run-record.ts';
import { statesOf } from './run/state-reader.ts';
import type { WhichGateway } from './teardown.ts';

export interface Traffic {
  packets: number;
  bytes: number;
}

/** `natgate status --json` prints it as it is. */
export interface GatewayStatus {
  name: string;
  pid: number;
  /** Of natgate. */
  version: string;
  /** ISO 8601. */
  started: string;
  /** ISO 8601; set when the gateway has stopped with `--linger`: when what it left is undone. */
  lingersUntil?: string;
  private: string[];
  public: string;
  /** The public interface's address; null while it has none. */
  external: string | null;
  /** Served interfaces that are gone, and whose return is waited for. */
  waiting: string[];
  /** How often something was put right that others had undone on the host, by what it was; those of which there was none are not in it. */
  repairs: Record<string, number>;
  /** Of private hosts that send more than the engine gets done (flood-watch.ts). */
  flood: Flood;
  ports: { first: number; last: number; inUse: { tcp: number; udp: number; icmp: number } };
  flows: { count: number; capacity: number; tcp: number; udp: number; icmp: number; other: number };
  /** Threads that forward. */
  workers: number;
  /** `out`: what went to the public side; `in`: what went to private hosts. Packets as the engine sees them. */
  traffic: { out: Traffic; in: Traffic };
  /** By interface, private ones first; `in`: what came from there, `out`: what went there. */
  interfaces: { name: string; side: 'private' | 'public'; addresses: string[]; in: Traffic; out: Traffic }[];
  /** External addresses of which a port has been in use, and of how many ports. */
  externals: ExternalUse[];
  /** The file that it was started with; null: none. */
  config: string | null;
  /** By name (core/reasons.ts), without those that are zero. */
  drops: Record<string, number>;
  /** Private hosts that were refused something (a port, a flow), by rule and drop reason, most refused first. */
  refused: { host: string; rule: string; reason: string; count: number }[];
  /** What each rule of the firewall, and each default, has matched. */
  firewall: RuleCount[];
  /** How the engines have fared since the gateway started. */
  engine: EngineHealth;
  /** Whether another engine stands by for the moment in which the one that forwards dies. */
  standby: Standby;
  /** Every counter by its name in engine/counters.ts. */
  counters: Record<string, number>;
}

export interface ExternalUse {
  address: string;
  inUse: { tcp: number; udp: number; icmp: number };
  /** How many there are. */
  ports: { tcp: number; udp: number; icmp: number };
  /** How often a flow asked for a port and none was left, since the engine started. */
  exhausted: { tcp: number; udp: number; icmp: number };
}

const IDS = 65_536;

/** Throws NatgateError `not_running`. */
export function readStatus(which: WhichGateway): GatewayStatus {
  const record = recordOf(which);
  const states = statesOf(record, false);
  const counters = sumOfCounters(states);
  const capacity = states.reduce((sum, state) => sum + state.capacity, 0);
  const { drops, totals } = readCounters(counters);
  const count = (name: string): number => totals[name] ?? 0;
  const sent = (first: number, devices: number): Traffic => {
    const traffic: Traffic = { packets: 0, bytes: 0 };
    for (let device = first; device < first + devices; device++) {
      traffic.packets += counters[DEVICES + device * DEVICE_COUNTERS + DEVICE_OUT_PACKETS]!;
      traffic.bytes += counters[DEVICES + device * DEVICE_COUNTERS + DEVICE_OUT_BYTES]!;
    }
    return traffic;
  };
  const passed = (device: number, packets: number, bytes: number): Traffic => ({
    packets: counters[DEVICES + device * DEVICE_COUNTERS + packets]!,
    bytes: counters[DEVICES + device * DEVICE_COUNTERS + bytes]!,
  });
  // The public interface is the last device.
  const inside = record.private.length;
  const found = networkInterfaces();
  const flows = {
    tcp: count('flows_tcp'),
    udp: count('flows_udp'),
    icmp: count('flows_icmp'),
    other: count('flows_other'),
  };
  return {
    name: record.name,
    pid: record.process.pid,
    version: record.natgate,
    started: record.started,
    ...(record.lingersUntil === undefined ? {} : { lingersUntil: record.lingersUntil }),
    private: record.private,
    public: record.public,
    external: record.external,
    waiting: record.waiting ?? [],
    repairs: record.repairs ?? {},
    flood: record.flood ?? { host: null, dropped: 0 },
    ports: {
      ...record.ports,
      inUse: { tcp: count('ports_tcp'), udp: count('ports_udp'), icmp: count('ids_icmp') },
    },
    flows: { count: flows.tcp + flows.udp + flows.icmp + flows.other, capacity, ...flows },
    workers: states.length,
    traffic: { out: sent(inside, 1), in: sent(0, inside) },
    interfaces: [...record.private, record.public].map((name, device) => ({
      name,
      side: device < inside ? ('private' as const) : ('public' as const),
      addresses: (found[name] ?? []).flatMap(({ family, cidr }) =>
        family === 'IPv4' && cidr !== null ? [cidr] : [],
      ),
      in: passed(device, DEVICE_IN_PACKETS, DEVICE_IN_BYTES),
      out: passed(device, DEVICE_OUT_PACKETS, DEVICE_OUT_BYTES),
    })),
    externals: readPortGauges(states).map(({ address, exhausted, ...inUse }) => {
      const isOwn = formatAddress(address) === record.external;
      const ports = isOwn ? record.ports.last - record.ports.first + 1 : IDS - 1;
      return {
        address: formatAddress(address),
        inUse,
        ports: { tcp: ports, udp: ports, icmp: IDS },
        exhausted,
      };
    }),
    config: record.config ?? null,
    drops,
    refused: readAllShortages(states).map(({ host, rule, reason, count }) => ({
      host: formatAddress(host),
      rule: record.rules[rule] ?? `${rule}`,
      reason,
      count,
    })),
    firewall: readRuleCounters(
      record.firewallRules ?? [],
      states.map((state) => state.rules),
    ),
    engine: record.engine ?? { deaths: 0, lastDeath: null, failingSince: null, quarantined: 0 },
    standby: (record.lingersUntil === undefined ? record.standby : undefined) ?? NO_STANDBY,
    counters: totals,
  };
}

/** The flows of a gateway. Throws NatgateError `not_running`. */
export function readFlowList(which: WhichGateway): Generator<ListedFlow> {
  const record = recordOf(which);
  return listFlowsOf(record, contextOf(record, new ClientNames()));
}

/** The record of a gateway that runs or lingers. Throws NatgateError `not_running`. */
export function recordOf({ stateRoot, name }: WhichGateway): RunRecord {
  const record = readRunRecord(runDirectory(stateRoot, name));
  if (record === null) {
    throw new NatgateError(
      'not_running',
      `no gateway ${name} is running`,
      `start one with \`natgate run\`; those that run are in ${stateRoot}`,
    );
  }
  if (record.lingersUntil === undefined && !isAlive(record.process)) {
    throw new NatgateError(
      'not_running',
      `the gateway ${name} was killed and has left devices and filters behind`,
      `\`natgate down --name ${name}\` removes them; \`natgate run\` takes them over`,
    );
  }
  return record;
}
