/**
 * A packet whose tuple no flow has: whether it begins one, to where, and what becomes of it otherwise. What a helper was told of goes
 * by announced.ts, what nobody asked for by uninvited.ts.
 */
import { INVALID, SYN_SENT } from '../conntrack/tcp-states.ts';
import { refusal } from '../conntrack/tracker.ts';
import { INVALID_TCP, MARTIAN_SOURCE, NO_FLOW, NOT_PUBLIC, OK, SPOOFED_SOURCE } from '../core/reasons.ts';
import { D_DESTINATION, D_KIND, DIRECT, RESOLVER } from '../nat/decide.ts';
import { NOT_EXTERNAL } from '../nat/external-addresses.ts';
import { admit, PRIVATE, PUBLIC } from '../policy/admission.ts';
import type { Bytes } from '../wire/bytes.ts';
import { ADMIN_PROHIBITED, UNREACHABLE } from '../wire/icmp.ts';
import { PROTO_TCP } from '../wire/ipv4.ts';
import { M_DEVICE, M_HANDLE, M_PROTOCOL, M_SOURCE } from '../wire/parse.ts';
import { Announced } from './announced.ts';
import type { Beginnings } from './beginnings.ts';
import type { Devices } from './devices.ts';
import type { FirewallGate } from './firewall-gate.ts';
import type { HandOff } from './hand-off.ts';
import type { Helpers } from './helpers.ts';
import type { Path } from './path.ts';
import { NO_ROUTE_CLASS } from './routes.ts';
import type { Sessions } from './sessions.ts';
import type { Uninvited } from './uninvited.ts';

export interface NewcomersParts {
  bytes: Bytes;
  meta: Int32Array;
  devices: Devices;
  path: Path;
  gate: FirewallGate;
  sessions: Sessions;
  beginnings: Beginnings;
  helpers: Helpers;
  handOff: HandOff | null;
  uninvited: Uninvited;
}

/** Nothing has begun. */
const NONE = -1;

export class Newcomers {
  /** Of the flow that the last begin() made: its handle, negative for none, and the route class of its packet. */
  handle = NONE;
  egress = NO_ROUTE_CLASS;
  private readonly parts: NewcomersParts;
  private readonly announced: Announced;

  constructor(parts: NewcomersParts) {
    this.parts = parts;
    this.announced = new Announced(parts);
  }

  /** OK: the flow is there, or, without a handle, the host has the packet; else a drop reason or DEFER. */
  begin(slot: number, m: number, now: number): number {
    this.handle = NONE;
    const { bytes, meta, devices, path, gate, sessions, beginnings, helpers, handOff, uninvited } =
      this.parts;
    const { decider, mappings, tracker } = sessions;
    const expected = helpers.expected(m, now);
    if (expected?.translated) {
      const refused = this.announced.begin(slot, m, expected, now);
      if (refused === OK) this.handle = this.announced.handle;
      this.egress = this.announced.egress;
      return refused;
    }
    const isInside = devices.side[meta[m + M_DEVICE]!] === PRIVATE;
    const source = meta[m + M_SOURCE]!;
    const protocol = meta[m + M_PROTOCOL]!;
    const nowhere = decider.destination(meta, m, isInside, now);
    const isDirect = decider.decision[D_KIND] === DIRECT;
    const isQuery = decider.decision[D_KIND] === RESOLVER;
    const isRelated = expected !== null || handOff?.isAnnounced(m) === true;
    if (!isInside && (nowhere !== OK || (isDirect && expected === null))) {
      return uninvited.handle(slot, m, nowhere, now);
    }
    // A source that answers could not reach (RFC 1812 5.3.8).
    const back = isInside ? path.classTowards(PRIVATE, source) : NO_ROUTE_CLASS;
    if (isInside && path.deviceOf(back) < 0) return MARTIAN_SOURCE;
    if (mappings.externals.numberOf(source) !== NOT_EXTERNAL) return MARTIAN_SOURCE;
    if (gate.isSpoofed(m, isInside, back)) return SPOOFED_SOURCE;
    // Answers to twice NAT have a flow; nobody is reached behind that address.
    if (!isQuery && path.isForLocal(m)) return uninvited.leaveToHost(slot, m);
    if (nowhere !== OK) {
      if (path.isForHost(m) && !uninvited.isOurs(m)) return uninvited.leaveToHost(slot, m);
      // Nothing of a private host is behind that external endpoint.
      return nowhere === NO_FLOW ? NOT_PUBLIC : nowhere;
    }
    const destination = decider.decision[D_DESTINATION]!;
    // What was found behind an external endpoint is a private host.
    const isAnywhere = isDirect || isQuery;
    const egress = isAnywhere ? path.routes.classOf(destination) : path.classTowards(PRIVATE, destination);
    const blocked = path.check(slot, m, egress, destination, now);
    if (blocked !== OK) return blocked;
    const to = path.deviceOf(egress);
    const refused = isInside && isDirect ? admit(PRIVATE, devices.side[to]!) : OK;
    if (refused !== OK) return refused;
    const leaves = isInside && isAnywhere && devices.side[to] === PUBLIC;
    const isTurned = isInside && isDirect && to === meta[m + M_DEVICE];
    decider.turnsBack = isQuery && to === meta[m + M_DEVICE];
    const state = tracker.firstState(bytes, meta, m, isTurned);
    if (state === INVALID) return refusal(protocol);
    // A connection that is seen from its middle is picked up for private hosts only.
    if (!isInside && protocol === PROTO_TCP && state !== SYN_SENT) return INVALID_TCP;
    const barred = gate.admitNew(m, isInside, isRelated, egress, now);
    if (barred !== OK) return barred;
    if (decider.isTwice || decider.turnsBack) decider.local = devices.address[to]!;
    const handle = beginnings.begin(m, state, isInside, leaves, now);
    if (handle < 0) {
      // No session can be had: tell the sender (RFC 5508 REQ-8); who is outside learns nothing.
      if (isInside) path.answer(m, UNREACHABLE, ADMIN_PROHIBITED, 0, now);
      return -handle;
    }
    meta[m + M_HANDLE] = handle;
    if (isInside && isAnywhere) path.remember(handle, egress, back);
    if (isTurned && protocol === PROTO_TCP) tracker.tcp.followLoosely(handle >> 1);
    this.handle = gate.begun(helpers.made(handle, expected));
    this.egress = egress;
    return OK;
  }
}
