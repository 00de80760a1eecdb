/**
 * Where tracking and NAT meet: a new flow gets its mapping, an ending one gives it back, and the flows of an earlier
 * process are taken over with theirs.
 */
import { END_ADDRESS } from '../conntrack/end-reasons.ts';
import {
  C_MAPPING,
  COLD,
  FlowTable,
  H_DESTINATION,
  H_PORTS,
  H_ROUTE,
  H_STATUS,
  HOT,
  ORIGINAL,
  REPLY_SIDE,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { defaultTimeouts, TimeoutTable } from '../conntrack/timeouts.ts';
import { FULL, Tracker } from '../conntrack/tracker.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import { Random } from '../core/random.ts';
import { NO_EXTERNAL_ADDRESS, NO_FREE_PORT, TABLE_FULL, TUPLE_IN_USE } from '../core/reasons.ts';
import { Mappings, NO_MAPPING } from '../nat/mappings.ts';
import { setDeltas } from '../nat/translate.ts';
import { PROTO_ICMP, PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import type { EngineConfig } from './config.ts';
import {
  FLOWS_ENDED,
  FLOWS_ICMP,
  FLOWS_LOST,
  FLOWS_OTHER,
  FLOWS_STARTED,
  FLOWS_TCP,
  FLOWS_UDP,
  IDS_ICMP,
  PORTS_TCP,
  PORTS_UDP,
} from './counters.ts';
import type { State } from './state.ts';

export class Sessions {
  readonly table: FlowTable;
  readonly tracker: Tracker;
  readonly mappings: Mappings;
  private readonly counters: Float64Array;

  /** `external`: the external address, wire order. Flows in the state that have another one end. */
  constructor(config: EngineConfig, state: State, external: number) {
    this.counters = state.counters;
    this.table = new FlowTable(state.buffer, state.tableOffset, state.capacity, state.seed);
    const timeouts = new TimeoutTable({ ...defaultTimeouts, ...config.timeouts });
    this.tracker = new Tracker(this.table, timeouts, config.now);
    this.mappings = new Mappings(
      new Uint8Array(config.owned),
      config.ports.first,
      config.ports.last,
      config.held ?? { tcp: [], udp: [] },
      new Random(config.seed),
      state.seed,
    );
    this.adopt(external, config.now);
    this.tracker.onClose = (flow) => this.ended(flow);
  }

  /**
   * Makes the flow that the packet of row `m` begins, in TCP state `state`, masqueraded as `external`. Returns its
   * handle, or the negative of a drop reason.
   */
  begin(meta: Int32Array, m: number, state: number, external: number, now: number): number {
    if (external === 0) return -NO_EXTERNAL_ADDRESS;
    const { table, mappings } = this;
    const protocol = meta[m + M_PROTOCOL]!;
    const destination = meta[m + M_DESTINATION]!;
    const ports = meta[m + M_PORTS]!;
    const mapping = mappings.acquire(protocol, meta[m + M_SOURCE]!, ports & 0xffff);
    if (mapping === NO_MAPPING) return -NO_FREE_PORT;
    const replyPorts = externalReplyPorts(protocol, ports, mappings.externalPort(mapping));
    if (table.lookup(destination, external, replyPorts, protocol) >= 0) {
      mappings.release(mapping);
      return -TUPLE_IN_USE;
    }
    const flow = this.tracker.open(meta, m, state, destination, external, replyPorts, REPLY_SIDE, now);
    if (flow === FULL) {
      mappings.release(mapping);
      return -TABLE_FULL;
    }
    table.cold[flow * COLD + C_MAPPING] = mapping;
    setDeltas(table.hot, flow, protocol);
    this.counters[FLOWS_STARTED]!++;
    this.counters[flowGauge(protocol)]!++;
    return (flow << 1) | ORIGINAL;
  }

  /** Ends the flows that are masqueraded as another address than `external`, as MASQUERADE does. */
  keepOnly(external: number): void {
    const { table } = this;
    for (let flow = 0; flow < table.capacity; flow++) {
      if (!table.isLive(flow)) continue;
      if (table.hot[flow * HOT + TUPLE + H_DESTINATION] !== external) this.tracker.close(flow, END_ADDRESS);
    }
  }

  /** Brings the gauges of ports up to date. */
  gauge(): void {
    const [tcp, udp, icmp] = this.mappings.tables;
    this.counters[PORTS_TCP] = tcp.inUse;
    this.counters[PORTS_UDP] = udp.inUse;
    this.counters[IDS_ICMP] = icmp.inUse;
  }

  private ended(flow: number): void {
    const mapping = this.table.cold[flow * COLD + C_MAPPING]!;
    if (mapping >= 0) this.mappings.release(mapping);
    this.counters[FLOWS_ENDED]!++;
    this.counters[flowGauge(this.table.hot[flow * HOT + H_STATUS]! & 0xff)]!--;
  }

  private adopt(external: number, now: number): void {
    const { table, counters, mappings } = this;
    const { hot, cold } = table;
    for (const gauge of [FLOWS_TCP, FLOWS_UDP, FLOWS_ICMP, FLOWS_OTHER]) counters[gauge] = 0;
    const lost = this.tracker.adopt(now, (flow) => {
      const h = flow * HOT;
      if (hot[h + TUPLE + H_DESTINATION] !== external) return false;
      const protocol = hot[h + H_STATUS]! & 0xff;
      const ports = hot[h + TUPLE + H_PORTS]!;
      const externalPort = protocol === PROTO_ICMP ? ports & 0xffff : ports >>> 16;
      const mapping = mappings.adopt(protocol, hot[h]!, hot[h + H_PORTS]! & 0xffff, externalPort);
      if (mapping === NO_MAPPING) return false;
      cold[flow * COLD + C_MAPPING] = mapping;
      // The other process may have died before it had written them.
      setDeltas(hot, flow, protocol);
      // Route classes are numbered anew.
      hot[h + H_ROUTE] = 0;
      counters[flowGauge(protocol)]!++;
      return true;
    });
    counters[FLOWS_LOST]! += lost;
  }
}

/** The ports word that replies to `ports` carry once the internal port has become `external`. */
function externalReplyPorts(protocol: number, ports: number, external: number): number {
  const inverse = invertPorts(protocol, ports);
  if (protocol === PROTO_ICMP) return (inverse & ~0xffff) | external;
  if (protocol === PROTO_TCP || protocol === PROTO_UDP) return (inverse & 0xffff) | (external << 16);
  // The checksum of SCTP covers the ports: they stay.
  return inverse;
}

function flowGauge(protocol: number): number {
  if (protocol === PROTO_TCP) return FLOWS_TCP;
  if (protocol === PROTO_UDP) return FLOWS_UDP;
  return protocol === PROTO_ICMP ? FLOWS_ICMP : FLOWS_OTHER;
}
