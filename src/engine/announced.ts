/** The first packet of a flow that another one announced to a helper: whether it may begin, and the flow that it begins. */
import type { Expectation } from '../conntrack/expectations.ts';
import { OK, SPOOFED_SOURCE } from '../core/reasons.ts';
import { ANNOUNCED, D_KIND } from '../nat/decide.ts';
import { PRIVATE } from '../policy/admission.ts';
import { M_HANDLE, M_SOURCE } from '../wire/parse.ts';
import type { Beginnings } from './beginnings.ts';
import type { FirewallGate } from './firewall-gate.ts';
import type { Helpers } from './helpers.ts';
import type { Path } from './path.ts';
import { NO_ROUTE_CLASS } from './routes.ts';
import type { Sessions } from './sessions.ts';

export interface AnnouncedParts {
  meta: Int32Array;
  path: Path;
  gate: FirewallGate;
  sessions: Sessions;
  beginnings: Beginnings;
  helpers: Helpers;
}

export class Announced {
  /** Of the flow that the last begin() made: its handle, and the route class of its packet. */
  handle = 0;
  egress = NO_ROUTE_CLASS;
  private readonly parts: AnnouncedParts;

  constructor(parts: AnnouncedParts) {
    this.parts = parts;
  }

  /** OK, and the flow is there; a drop reason; or DEFER. */
  begin(slot: number, m: number, expected: Expectation, now: number): number {
    const { meta, path, gate, sessions, beginnings, helpers } = this.parts;
    sessions.decider.decision[D_KIND] = ANNOUNCED;
    const egress = path.classTowards(expected.toSide, expected.address);
    const isInside = expected.side === PRIVATE;
    const back = isInside ? path.classTowards(PRIVATE, meta[m + M_SOURCE]!) : NO_ROUTE_CLASS;
    if (gate.isSpoofed(m, isInside, back)) return SPOOFED_SOURCE;
    const blocked = path.check(slot, m, egress, expected.address, now);
    if (blocked !== OK) return blocked;
    const barred = gate.admitExpected(m, expected, egress, now);
    if (barred !== OK) return barred;
    const handle = beginnings.beginExpected(m, expected, now);
    if (handle < 0) return -handle;
    meta[m + M_HANDLE] = handle;
    this.handle = gate.begun(helpers.made(handle, expected));
    this.egress = egress;
    return OK;
  }
}
