/**
 * How a flow begins, once it may: its mapping, its record, what it displaces, and the refusal when something has run short.
 *
 * A mapping that the flow leads to is held from the start: the flow that makes room for the new one, or gives up its port, may be
 * the last one of that mapping.
 */
import { ANY, type Expectation } from '../conntrack/expectations.ts';
import {
  C_MAPPING,
  COLD,
  EXPECTED,
  ORIGINAL,
  ORIGINAL_SIDE,
  REPLY_SIDE,
  RULE_SHIFT,
} from '../conntrack/flow-table.ts';
import { INVALID } from '../conntrack/tcp-states.ts';
import { FULL } from '../conntrack/tracker.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import { HOST_FLOW_LIMIT, INVALID_TCP, OK, TABLE_FULL, TUPLE_IN_USE } from '../core/reasons.ts';
import {
  D_DESTINATION,
  D_KIND,
  D_MAPPING,
  D_PORTS,
  D_RULE,
  D_SOURCE,
  D_TARGET,
  DIRECT,
  MAPPED,
  RESOLVER,
} from '../nat/decide.ts';
import { HOST_FLOWS } from '../nat/hosts.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import { type Bytes, swap32 } from '../wire/bytes.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_L4, M_PORTS, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { TCP_SEQUENCE } from '../wire/tcp.ts';
import { FLOWS_STARTED } from './counters.ts';
import type { Sessions } from './sessions.ts';
import { Shortages } from './shortages.ts';

export class Beginnings {
  private readonly sessions: Sessions;
  private readonly bytes: Bytes;
  private readonly meta: Int32Array;
  private readonly shortages: Shortages;

  /** `shortages`: of the state. */
  constructor(sessions: Sessions, bytes: Bytes, meta: Int32Array, shortages: Int32Array) {
    this.sessions = sessions;
    this.bytes = bytes;
    this.meta = meta;
    this.shortages = new Shortages(shortages);
  }

  /**
   * Makes the flow that the packet of row `m` begins, in state `state`, to where decider.destination() said. `isInside`: it
   * comes from the private side; `leaves`: towards the public side. Returns its handle, or the negative of a drop reason.
   */
  begin(m: number, state: number, isInside: boolean, leaves: boolean, now: number): number {
    const { sessions } = this;
    const { decider, mappings } = sessions;
    const { decision } = decider;
    sessions.now = now;
    const target = decision[D_KIND] === MAPPED ? decision[D_TARGET]! : NO_MAPPING;
    if (target !== NO_MAPPING) mappings.refer(target);
    const handle = this.make(m, state, isInside, leaves, target, now);
    if (handle < 0 && target !== NO_MAPPING) mappings.release(target, now, true);
    return handle;
  }

  private make(
    m: number,
    state: number,
    isInside: boolean,
    leaves: boolean,
    target: number,
    now: number,
  ): number {
    const { sessions, bytes, meta } = this;
    const { decider, mappings, tracker, table, yielding } = sessions;
    const { decision } = decider;
    const protocol = meta[m + M_PROTOCOL]!;
    const source = meta[m + M_SOURCE]!;
    const destination = meta[m + M_DESTINATION]!;
    const ports = meta[m + M_PORTS]!;
    if (protocol === PROTO_TCP) yielding.sequence = swap32(bytes.i32[(meta[m + M_L4]! + TCP_SEQUENCE) >> 2]!);
    const host = isInside ? source : decision[D_DESTINATION]!;
    let refused = OK;
    if (sessions.shares.isCrowded) refused = yielding.mayBegin(host, isInside);
    if (refused !== OK) return this.refuse(host, refused, now);
    // Between private networks nothing is translated.
    const kind = decision[D_KIND]!;
    const stays = isInside && !leaves && (kind === DIRECT || kind === RESOLVER);
    if (isInside && !stays) refused = decider.source(protocol, source, destination, ports);
    else if (isInside ? decider.turnsBack : decider.isTwice) refused = decider.twiceSource(protocol, source);
    if (refused !== OK) return this.refuse(host, refused, now);
    const mapping = decision[D_MAPPING]!;
    const quota = sessions.rules.rules[decision[D_RULE]!]?.flowsPerHost ?? 0;
    if (isInside && quota > 0 && sessions.hosts.count(host, HOST_FLOWS) >= quota) {
      if (mapping !== NO_MAPPING) mappings.release(mapping, now, true);
      return this.refuse(host, HOST_FLOW_LIMIT, now);
    }
    const replyPorts = invertPorts(protocol, decision[D_PORTS]!);
    const replySource = decision[D_DESTINATION]!;
    const replyDestination = decision[D_SOURCE]!;
    if (table.lookup(replySource, replyDestination, replyPorts, protocol) >= 0) {
      if (mapping !== NO_MAPPING) mappings.release(mapping, now, true);
      return -TUPLE_IN_USE;
    }
    const bits =
      (isInside ? 0 : ORIGINAL_SIDE) | (leaves ? REPLY_SIDE : 0) | (decision[D_RULE]! << RULE_SHIFT);
    let flow = tracker.open(meta, m, state, replySource, replyDestination, replyPorts, bits, now);
    if (flow === FULL && yielding.makeRoom(host, isInside)) {
      flow = tracker.open(meta, m, state, replySource, replyDestination, replyPorts, bits, now);
    }
    if (flow === FULL) {
      if (mapping !== NO_MAPPING) mappings.release(mapping, now, true);
      return this.refuse(host, TABLE_FULL, now);
    }
    return isInside ? this.begun(flow, mapping, target) : this.begun(flow, target, mapping);
  }

  /** Makes the flow that an expectation lets in, translated as it says. Returns its handle, or the negative of a drop reason. */
  beginExpected(m: number, expected: Expectation, now: number): number {
    const { sessions, bytes, meta } = this;
    const { table, mappings, tracker } = sessions;
    sessions.now = now;
    const state = tracker.firstState(bytes, meta, m);
    if (state === INVALID) return -INVALID_TCP;
    const { address, port, mapping } = expected;
    const protocol = meta[m + M_PROTOCOL]!;
    const source = meta[m + M_SOURCE]!;
    const ports = meta[m + M_PORTS]!;
    const from = expected.from === ANY ? source : expected.from;
    const fromPort = expected.fromPort === ANY ? ports & 0xffff : expected.fromPort;
    const replyPorts = port | (fromPort << 16);
    if (table.lookup(address, from, replyPorts, protocol) >= 0) return -TUPLE_IN_USE;
    const sides = (expected.side === 1 ? ORIGINAL_SIDE : 0) | (expected.toSide === 1 ? REPLY_SIDE : 0);
    const rule = mapping < 0 ? 0 : mappings.table.ruleOf(mapping);
    const bits = EXPECTED | sides | (rule << RULE_SHIFT);
    const flow = tracker.open(meta, m, state, address, from, replyPorts, bits, now);
    if (flow === FULL) return this.refuse(expected.side === 1 ? address : source, TABLE_FULL, now);
    // The mapping that was reserved for it lives on with it: of its source where that is the internal endpoint.
    if (mapping >= 0) mappings.refer(mapping);
    const isSource = mapping >= 0 && mappings.table.internalAddress(mapping) === source;
    const isFirst = expected.side === 1 ? !isSource : isSource;
    return this.begun(flow, isFirst ? mapping : NO_MAPPING, isFirst ? NO_MAPPING : mapping);
  }

  /** `mapping`: the flow's own; `second`: what else it refers to. Returns the handle of its first packet. */
  private begun(flow: number, mapping: number, second: number): number {
    const { sessions } = this;
    sessions.table.cold[flow * COLD + C_MAPPING] = mapping;
    sessions.begun(flow, second);
    sessions.events?.begin(flow);
    sessions.counters[FLOWS_STARTED]!++;
    return (flow << 1) | ORIGINAL;
  }

  private refuse(host: number, reason: number, now: number): number {
    const rule = this.sessions.decider.decision[D_RULE]!;
    this.shortages.note(host, rule, reason, now);
    this.sessions.events?.refused(host, rule, reason, now);
    return -reason;
  }
}
