/**
 * What no flow expects: packets from outside, dropped in silence, and packets of either side that turn out to be the host's own,
 * which shares its addresses with natgate. The steering has sent only what may be natgate's; of fragments it cannot know.
 */
import { FOR_HOST } from '../conntrack/fragments.ts';
import { NO_FLOW, OK, SPOOFED_SOURCE } from '../core/reasons.ts';
import { NOT_EXTERNAL } from '../nat/external-addresses.ts';
import type { Mappings } from '../nat/mappings.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { M_DESTINATION, M_FRAGMENT, M_PORTS, M_PROTOCOL } from '../wire/parse.ts';
import type { FirewallGate } from './firewall-gate.ts';
import type { FragmentPath } from './fragment-path.ts';
import type { Path } from './path.ts';
import { NO_ROUTE_CLASS } from './routes.ts';
import type { Unsolicited } from './unsolicited.ts';

export interface UninvitedParts {
  meta: Int32Array;
  path: Path;
  gate: FirewallGate;
  mappings: Mappings;
  fragments: FragmentPath;
  unsolicited: Unsolicited;
}

export class Uninvited {
  private readonly parts: UninvitedParts;

  constructor(parts: UninvitedParts) {
    this.parts = parts;
  }

  /** The packet of row `m` from outside: OK (the host has it), or the drop reason. `why`: what NAT said, or OK. */
  handle(slot: number, m: number, why: number, now: number): number {
    const { meta, path, gate, mappings, unsolicited } = this.parts;
    if (!this.isOurs(m) && path.isForHost(m)) return this.leaveToHost(slot, m);
    if (gate.isSpoofed(m, false, NO_ROUTE_CLASS)) return SPOOFED_SOURCE;
    const isWholeTcp = meta[m + M_PROTOCOL] === PROTO_TCP && meta[m + M_FRAGMENT] === 0;
    const isOurAddress = mappings.externals.numberOf(meta[m + M_DESTINATION]!) !== NOT_EXTERNAL;
    if (unsolicited.isOn && isWholeTcp && isOurAddress) unsolicited.hold(meta, m, now);
    return why === OK ? NO_FLOW : why;
  }

  /** To a port of natgate's: the steering sends others only in fragments. */
  isOurs(m: number): boolean {
    const { meta, mappings } = this.parts;
    const protocol = meta[m + M_PROTOCOL]!;
    if (protocol !== PROTO_TCP && protocol !== PROTO_UDP) return false;
    return meta[m + M_FRAGMENT] === 0 || mappings.shared.owns(protocol, meta[m + M_PORTS]! >>> 16);
  }

  leaveToHost(slot: number, m: number): number {
    const { meta, fragments, path } = this.parts;
    if (meta[m + M_FRAGMENT] !== 0) fragments.decide(FOR_HOST, 0);
    return path.handBack(slot, m);
  }
}
