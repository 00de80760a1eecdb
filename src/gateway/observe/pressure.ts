/**
 * Where ports go, and which private hosts are near a quota: one pass over the flow table, when somebody asks and the last one is older than
 * EVERY_MS.
 *
 * A flow that is translated takes one port of its external address towards its destination, so flows by (external address, protocol,
 * destination, port) are the ports in use there. Cost: about what `natgate flows count` takes (0.3 to 0.4 s for a million flows: docs/decisions.md), in the
 * supervisor, in slices of SLICE flows between which it does other things; the engine is not asked.
 *
 * Limits: TRACKED destinations and as many hosts are counted, those that are found first; one that has many flows is found early.
 */
import { setImmediate } from 'node:timers/promises';
import { H_PORTS, H_STATUS, ORIGINAL_SIDE, RULE_SHIFT, TUPLE } from '../../conntrack/flow-table.ts';
import type { NatRule } from '../../nat/config.ts';
import { portTableOf } from '../../nat/external-addresses.ts';
import { formatAddress } from '../../wire/address.ts';
import { swap16 } from '../../wire/bytes.ts';
import type { RunRecord } from '../run/run-record.ts';
import { workerStatePath } from '../run/state-path.ts';
import { FlowReader, type RawFlow } from './flow-reader.ts';

const EVERY_MS = 30_000;
const SLICE = 4096;
const TRACKED = 65_536;
/** That are shown. */
const TOP = 10;
const MOST_NEAR = 20;
/** Of a quota: from here on a host is near it. */
const NEAR = 0.8;
const NO_MAPPING = -1;
const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;

export interface Pressure {
  /** Destinations with the most ports of one external address, most first. */
  destinations: { outside: string; proto: string; destination: string; ports: number }[];
  /** Private hosts with the most flows. */
  clients: { client: string; flows: number }[];
  /** Private hosts that have used 0.8 of a quota or more; `kind`: flows, or ports of a protocol. */
  near: { client: string; rule: string; kind: string; used: number }[];
}

interface Host {
  flows: number;
  /** Mappings by table: TCP, UDP, ICMP. */
  ports: [number, number, number];
  /** Number of the rule of the last flow that was seen. */
  rule: number;
}

/** The rules of NAT, for their quotas. */
export type Quotas = readonly Pick<NatRule, 'name' | 'number' | 'behaviour'>[];

export class PressureGauge {
  private readonly record: () => RunRecord;
  private readonly rules: () => Quotas;
  private last: Promise<Pressure> | null = null;
  private time = 0;

  constructor(record: () => RunRecord, rules: () => Quotas) {
    this.record = record;
    this.rules = rules;
  }

  /** `now`: ms. Rejects with the error of a state that cannot be read. */
  read(now: number): Promise<Pressure> {
    if (this.last === null || now - this.time >= EVERY_MS) {
      this.time = now;
      const pass = measurePressure(this.record(), this.rules());
      // A failure is not kept.
      pass.catch(() => {
        if (this.last === pass) this.last = null;
      });
      this.last = pass;
    }
    return this.last;
  }
}

/** One pass. */
export async function measurePressure(record: RunRecord, rules: Quotas): Promise<Pressure> {
  const pass = new Pass(rules.some(({ behaviour }) => behaviour.portsPerHost > 0));
  let slice = 0;
  for (let worker = 0; worker < (record.workers ?? 1); worker++) {
    const reader = new FlowReader(workerStatePath(record.statePath, worker));
    try {
      for (const raw of reader.read()) {
        pass.count(raw, worker);
        if (++slice % SLICE === 0) await setImmediate();
      }
    } finally {
      reader.close();
    }
  }
  return pass.result(rules);
}

class Pass {
  /** By external address and protocol (address * 4 + table), flows by remote end (address * 65536 + port). */
  private readonly spaces = new Map<number, Map<number, number>>();
  private readonly hosts = new Map<number, Host>();
  private readonly mappings: Set<number> | null;
  private tracked = 0;

  constructor(countsPorts: boolean) {
    this.mappings = countsPorts ? new Set() : null;
  }

  count({ hot, mapping }: RawFlow, worker: number): void {
    const status = hot[H_STATUS]!;
    const isInside = (status & ORIGINAL_SIDE) === 0;
    const table = portTableOf(status & 0xff);
    const host = this.hostOf(isInside ? hot[0]! : hot[TUPLE]!);
    if (host !== null) {
      host.flows++;
      if (isInside) host.rule = status >>> RULE_SHIFT;
      this.countPort(host, table, mapping, worker);
    }
    const external = hot[TUPLE + 1]!;
    if (!isInside || table >= PROTOCOLS.length || external === hot[0]) return;
    // Of ICMP queries the second half is type and code.
    const port = table === 2 ? 0 : swap16(hot[H_PORTS]! >>> 16);
    this.countDestination((external >>> 0) * 4 + table, (hot[1]! >>> 0) * 65_536 + port);
  }

  private countDestination(space: number, key: number): void {
    let ends = this.spaces.get(space);
    if (ends === undefined) {
      if (this.tracked >= TRACKED) return;
      ends = new Map();
      this.spaces.set(space, ends);
    }
    const known = ends.get(key);
    if (known === undefined && this.tracked++ >= TRACKED) return;
    ends.set(key, (known ?? 0) + 1);
  }

  private countPort(host: Host, table: number, mapping: number, worker: number): void {
    if (this.mappings === null || mapping === NO_MAPPING || table >= PROTOCOLS.length) return;
    const key = worker * 2 ** 32 + mapping;
    if (this.mappings.has(key)) return;
    this.mappings.add(key);
    host.ports[table as 0 | 1 | 2]++;
  }

  private hostOf(address: number): Host | null {
    const known = this.hosts.get(address);
    if (known !== undefined) return known;
    if (this.hosts.size >= TRACKED) return null;
    const host: Host = { flows: 0, ports: [0, 0, 0], rule: 0 };
    this.hosts.set(address, host);
    return host;
  }

  result(rules: Quotas): Pressure {
    const destinations = [...this.spaces].flatMap(([space, ends]) =>
      most([...ends], ([, ports]) => ports, TOP).map(([key, ports]) => ({
        outside: formatAddress(Math.floor(space / 4) | 0),
        proto: PROTOCOLS[(space % 4) as 0 | 1 | 2],
        destination: endOf(key),
        ports,
      })),
    );
    const clients = most([...this.hosts], ([, { flows }]) => flows, TOP).map(([address, { flows }]) => ({
      client: formatAddress(address),
      flows,
    }));
    const byNumber = new Map(rules.map((rule, i) => [rule.number ?? i, rule]));
    const near = [...this.hosts].flatMap(([address, host]) => {
      const rule = byNumber.get(host.rule);
      if (rule === undefined) return [];
      const { flowsPerHost, portsPerHost } = rule.behaviour;
      const of = (kind: string, used: number, quota: number) =>
        quota > 0 && used >= quota * NEAR
          ? [{ client: formatAddress(address), rule: rule.name, kind, used: used / quota }]
          : [];
      return [
        ...of('flows', host.flows, flowsPerHost),
        ...PROTOCOLS.flatMap((proto, t) => of(`${proto}-ports`, host.ports[t as 0 | 1 | 2], portsPerHost)),
      ];
    });
    return {
      destinations: most(destinations, ({ ports }) => ports, TOP),
      clients,
      near: most(near, ({ used }) => used, MOST_NEAR),
    };
  }
}

function most<T>(all: T[], by: (one: T) => number, count: number): T[] {
  return all.sort((a, b) => by(b) - by(a)).slice(0, count);
}

function endOf(key: number): string {
  const port = key % 65_536;
  const address = formatAddress(Math.floor(key / 65_536) | 0);
  return port === 0 ? address : `${address}:${port}`;
}
