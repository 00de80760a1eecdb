/**
 * What a record of the tap says of a packet besides its bytes: read from what the engine left behind when it had handled it (the packet's
 * row, the flow's record, the decision about its flow), so that the way of packets itself notes nothing.
 *
 * Called for packets that were dropped, and for those that a tap wants: not for each packet. It leaves everything as it is.
 */
import {
  C_MAPPING,
  COLD,
  H_DESTINATION,
  H_PORTS,
  H_SEQUENCE,
  H_STATUS,
  HOT,
  ORIGINAL_SIDE,
  RULE_SHIFT,
  TUPLE,
} from '../conntrack/flow-table.ts';
import { invertPorts } from '../conntrack/tuple.ts';
import {
  BAD_FRAGMENT,
  FILTERED,
  FRAGMENT_DUPLICATE,
  FRAGMENT_FIRST_MISSING,
  FRAGMENT_LIMIT,
  FRAGMENT_OVERLAP,
  FRAGMENT_TIMEOUT,
  HAND_OFF_FULL,
  HAND_OFF_LATE,
  HOST_FLOW_LIMIT,
  HOST_PORT_LIMIT,
  HOST_SHARE,
  NO_EXTERNAL_ADDRESS,
  NO_FREE_PORT,
  NO_HAIRPIN,
  OK,
  TABLE_FULL,
  TUPLE_IN_USE,
} from '../core/reasons.ts';
import { ANNOUNCED, D_DESTINATION, D_KIND, D_MAPPING, D_RULE, DIRECT } from '../nat/decide.ts';
import { ICMP, OTHER, portTableOf } from '../nat/external-addresses.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import { HELD_BY_HOST } from '../nat/port-space.ts';
import { PRESERVE } from '../nat/rules.ts';
import { PRIVATE, PUBLIC } from '../policy/admission.ts';
import type { Bytes } from '../wire/bytes.ts';
import { swap16 } from '../wire/bytes.ts';
import { IP_DESTINATION, IP_HEADER, IP_PROTOCOL, IP_SOURCE } from '../wire/ipv4.ts';
import {
  KIND_ERROR,
  KIND_FLOW,
  M_DESTINATION,
  M_DEVICE,
  M_HANDLE,
  M_KIND,
  M_PORTS,
  M_PROTOCOL,
  M_REASON,
  M_SOURCE,
} from '../wire/parse.ts';
import { VNET_GSO_SIZE, VNET_GSO_TYPE, VNET_HEADER } from '../wire/vnet.ts';
import { packetOffset } from './arena.ts';
import type { Devices } from './devices.ts';
import type { FirewallGate } from './firewall-gate.ts';
import type { Helpers } from './helpers.ts';
import type { Path } from './path.ts';
import type { Sessions } from './sessions.ts';
import {
  MAP_KEPT,
  MAP_OVERLOADED,
  MAP_SOURCE,
  T_AFTER,
  T_BEFORE,
  T_CLIENT,
  T_DESTINATION,
  T_DEVICE,
  T_EXTERNAL,
  T_EXTERNAL_PORTS,
  T_FIREWALL,
  T_FLAGS,
  T_FOUND_BY,
  T_GATEWAY,
  T_HANDLE,
  T_HELPER,
  T_HOLDER,
  T_LENGTH,
  T_LIFE,
  T_LIMIT,
  T_MAPPING,
  T_MTU,
  T_PORTS,
  T_PROTOCOL,
  T_REASON,
  T_RULE,
  T_SOURCE,
  T_TIME,
  T_TO_DESTINATION,
  T_TO_PORTS,
  T_TO_SOURCE,
  T_VNET,
  TAP_HEADER,
  TAP_PUBLIC,
  TAP_RELATED,
  WHY_BLOCK,
  WHY_CHOICE,
  WHY_FORWARD,
  WHY_HOST,
  WHY_PRESERVED,
  WHY_RANGE,
  WHY_RELEASED,
  WHY_SHIFT,
  WHY_TAKEN,
  WHY_WAITING,
} from './tap-record.ts';

export interface TapFactsParts {
  bytes: Bytes;
  meta: Int32Array;
  devices: Devices;
  sessions: Sessions;
  path: Path;
  gate: FirewallGate;
  helpers: Helpers;
}

/** Whether a row surely has the packet’s addresses and length: parsePacket() got that far. */
export function isRead(reason: number): boolean {
  return reason === OK || reason > BAD_FRAGMENT;
}

export class TapFacts {
  /** A record but for what is of its copy: length, kind, sequence, time, cause, bytes. */
  readonly facts = new Int32Array(TAP_HEADER);
  private readonly parts: TapFactsParts;
  private readonly hot: Int32Array;
  private readonly clock = new Float64Array(this.facts.buffer, T_TIME * 4, 1);

  constructor(parts: TapFactsParts) {
    this.parts = parts;
    this.hot = parts.sessions.table.hot;
  }

  /** The time of packets from now on, ms since 1970. */
  time(ms: number): void {
    this.clock[0] = ms;
  }

  /** A fragment that is held, which came by `device`. Its addresses are in its bytes. */
  held(device: number, length: number, reason: number): void {
    this.clear(device, length);
    this.facts[T_REASON] = reason;
  }

  /** The packet of row `m` in `slot`, `length` bytes, as it came. */
  packet(m: number, slot: number, length: number): void {
    const { facts } = this;
    const { meta, bytes } = this.parts;
    const { u8, u16, i32 } = bytes;
    const at = packetOffset(slot);
    this.clear(meta[m + M_DEVICE]!, length);
    const vnet = at - VNET_HEADER;
    facts[T_VNET] = u8[vnet]! | (u8[vnet + VNET_GSO_TYPE]! << 8) | (u16[(vnet + VNET_GSO_SIZE) >> 1]! << 16);
    if (isRead(meta[m + M_REASON]!)) {
      facts[T_SOURCE] = meta[m + M_SOURCE]!;
      facts[T_DESTINATION] = meta[m + M_DESTINATION]!;
      facts[T_PROTOCOL] = meta[m + M_PROTOCOL]!;
      if (meta[m + M_KIND] === KIND_FLOW) facts[T_PORTS] = meta[m + M_PORTS]!;
      if (meta[m + M_KIND] === KIND_ERROR) facts[T_FLAGS] = facts[T_FLAGS]! | TAP_RELATED;
    } else if (length >= IP_HEADER && u8[at]! >> 4 === 4) {
      facts[T_SOURCE] = i32[(at + IP_SOURCE) >> 2]!;
      facts[T_DESTINATION] = i32[(at + IP_DESTINATION) >> 2]!;
      facts[T_PROTOCOL] = u8[at + IP_PROTOCOL]!;
    }
  }

  private clear(device: number, length: number): void {
    const { facts } = this;
    for (let i = T_DEVICE; i < TAP_HEADER; i++) facts[i] = 0;
    facts[T_DEVICE] = device;
    facts[T_FLAGS] = this.parts.devices.side[device] === PUBLIC ? TAP_PUBLIC : 0;
    facts[T_HANDLE] = -1;
    facts[T_RULE] = -1;
    facts[T_FIREWALL] = -1;
    facts[T_FOUND_BY] = -1;
    facts[T_HELPER] = -1;
    facts[T_LENGTH] = length;
  }

  /**
   * What was decided about it. `reason`: why it was dropped, or OK; `isNew`: its flow began with it; `firewall`: row of the rule that the
   * firewall came to, -1: it was not asked.
   */
  outcome(m: number, reason: number, isNew: boolean, firewall: number): void {
    const { facts } = this;
    const { meta } = this.parts;
    facts[T_REASON] = reason;
    facts[T_FIREWALL] = firewall;
    const handle = meta[m + M_REASON] === OK ? meta[m + M_HANDLE]! : -1;
    if (handle >= 0) this.flow(handle, isNew);
    else if (isAsked(meta, m, reason)) this.decision(m, reason);
    else this.route(m);
  }

  /** Which flow the packet is of. `before`: its status before the packet. */
  before(handle: number): void {
    const { facts, hot } = this;
    facts[T_BEFORE] = handle < 0 ? 0 : hot[(handle >> 1) * HOT + H_STATUS]!;
  }

  private flow(handle: number, isNew: boolean): void {
    const { facts, hot } = this;
    const { path, sessions, helpers } = this.parts;
    const h = (handle >> 1) * HOT;
    const other = h + TUPLE - (handle & 1) * TUPLE;
    const status = hot[h + H_STATUS]!;
    facts[T_HANDLE] = handle;
    facts[T_LIFE] = hot[h + H_SEQUENCE]!;
    facts[T_RULE] = status >>> RULE_SHIFT;
    facts[T_AFTER] = status;
    facts[T_CLIENT] = (status & ORIGINAL_SIDE) === 0 ? hot[h]! : hot[h + TUPLE]!;
    // As it leaves: the inverse of the other direction's tuple.
    facts[T_TO_SOURCE] = hot[other + H_DESTINATION]!;
    facts[T_TO_DESTINATION] = hot[other]!;
    facts[T_TO_PORTS] = invertPorts(status & 0xff, hot[other + H_PORTS]!);
    facts[T_HELPER] = helpers.kindOf(handle >> 1);
    this.way(path.egressOf(handle));
    if (!isNew) return;
    const { decision } = sessions.decider;
    facts[T_FOUND_BY] = decision[D_KIND]!;
    if (decision[D_KIND] === ANNOUNCED) return;
    const mapping = decision[D_MAPPING]!;
    if (mapping !== NO_MAPPING && mapping === sessions.table.cold[(handle >> 1) * COLD + C_MAPPING]) {
      this.mapping(mapping);
    }
  }

  /** A new flow's source: its mapping, and why the external port is, or is not, the internal one. */
  private mapping(mapping: number): void {
    const { facts } = this;
    const { mappings, rules } = this.parts.sessions;
    const { table, externals } = mappings;
    const t = table.tableOf(mapping);
    const kept = table.refs(mapping) > 1 ? MAP_KEPT : 0;
    facts[T_MAPPING] = MAP_SOURCE | kept;
    facts[T_EXTERNAL] = mappings.externalAddress(mapping);
    if (t === OTHER) return;
    const external = table.external(mapping);
    const port = table.externalPort(mapping);
    const wanted = swap16(table.internalPort(mapping));
    const space = externals.space(external, t);
    const isShared = space.head[port] !== mapping || table.next(mapping) !== NO_MAPPING;
    facts[T_EXTERNAL_PORTS] = port | (wanted << 16);
    let why = WHY_PRESERVED;
    const rule = rules.rules[table.ruleOf(mapping)]!;
    if (wanted !== port) {
      if (rule.choice !== PRESERVE) why = WHY_CHOICE;
      else if (
        t !== ICMP &&
        (wanted < Math.max(rule.first, space.first) || wanted > Math.min(rule.last, space.last))
      ) {
        why = WHY_RANGE;
      } else if (space.isMapped(wanted)) {
        why = WHY_TAKEN;
        facts[T_HOLDER] = table.internalAddress(space.head[wanted]!);
      } else if (space.isHeld(wanted)) {
        why = (space.holders(wanted) & HELD_BY_HOST) !== 0 ? WHY_HOST : WHY_FORWARD;
      } else if (rule.blockSize > 0) why = WHY_BLOCK;
      else why = space.isFree(wanted) ? WHY_RELEASED : WHY_WAITING;
    }
    facts[T_MAPPING] = MAP_SOURCE | kept | (isShared ? MAP_OVERLOADED : 0) | (why << WHY_SHIFT);
  }

  /** A flow that was decided about and not made. */
  private decision(m: number, reason: number): void {
    const { facts } = this;
    const { meta, sessions, devices, path } = this.parts;
    const { decision } = sessions.decider;
    const { mappings, rules, table } = sessions;
    const isInside = devices.side[meta[m + M_DEVICE]!] === PRIVATE;
    facts[T_FOUND_BY] = decision[D_KIND]!;
    if (BY_RULE.has(reason)) facts[T_RULE] = decision[D_RULE]!;
    facts[T_CLIENT] = isInside ? meta[m + M_SOURCE]! : 0;
    if (!isInside && decision[D_KIND] !== DIRECT) facts[T_CLIENT] = decision[D_DESTINATION]!;
    this.way(path.routes.classOf(decision[D_DESTINATION]!));
    const rule = rules.rules[decision[D_RULE]!];
    if (reason === TABLE_FULL || reason === HOST_SHARE) facts[T_LIMIT] = table.capacity;
    if (rule === undefined) return;
    if (reason === HOST_PORT_LIMIT) facts[T_LIMIT] = rule.portsPerHost;
    else if (reason === HOST_FLOW_LIMIT) facts[T_LIMIT] = rule.flowsPerHost;
    else if (reason === NO_FREE_PORT && rule.externals.length > 0) {
      const t = portTableOf(meta[m + M_PROTOCOL]!);
      const paired = rule.paired || rule.externals.length === 1;
      const place = mappings.allocator.pairedIndex(rule, meta[m + M_SOURCE]!);
      const number = rule.externals[place]!;
      facts[T_EXTERNAL] = paired ? mappings.externals.addressOf(number) : 0;
      if (t === OTHER) return;
      const space = mappings.externals.space(number, t);
      const first = t === ICMP ? 0 : Math.max(rule.first, space.first);
      const last = t === ICMP ? 0xffff : Math.min(rule.last, space.last);
      facts[T_EXTERNAL_PORTS] = first | (last << 16);
      facts[T_LIMIT] = rule.blockSize > 0 ? rule.blockSize : Math.max(last - first + 1, 0);
    }
  }

  /** What has no flow and was not decided about. */
  private route(m: number): void {
    const { meta, devices } = this.parts;
    if (isRead(meta[m + M_REASON]!) && devices.side[meta[m + M_DEVICE]!] === PRIVATE) {
      this.facts[T_CLIENT] = meta[m + M_SOURCE]!;
    }
  }

  private way(egress: number): void {
    const { path } = this.parts;
    if (path.deviceOf(egress) < 0) return;
    this.facts[T_GATEWAY] = path.routes.gateway[egress]!;
    this.facts[T_MTU] = path.mtuOf(egress);
  }
}

/** These are what a NAT rule says, or are for want of what it gives. */
const BY_RULE = new Set([
  FILTERED,
  HOST_FLOW_LIMIT,
  HOST_PORT_LIMIT,
  NO_EXTERNAL_ADDRESS,
  NO_FREE_PORT,
  NO_HAIRPIN,
  TABLE_FULL,
  TUPLE_IN_USE,
]);

/** For these a packet may be dropped before anything is decided about a flow. */
const EARLY = new Set([
  OK,
  HAND_OFF_FULL,
  HAND_OFF_LATE,
  FRAGMENT_DUPLICATE,
  FRAGMENT_FIRST_MISSING,
  FRAGMENT_LIMIT,
  FRAGMENT_OVERLAP,
  FRAGMENT_TIMEOUT,
]);

/** Whether the packet of row `m`, which has no flow, came as far as a decision. */
function isAsked(meta: Int32Array, m: number, reason: number): boolean {
  return meta[m + M_REASON] === OK && meta[m + M_KIND] === KIND_FLOW && !EARLY.has(reason);
}
