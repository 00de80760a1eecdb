/**
 * Port forwards: external ports whose flows go to internal hosts. Looked at when a flow begins from outside, or from
 * inside towards an external address (hairpin).
 *
 * Of several targets each new flow gets the next one in turn; with affinity, a remote host that is still known keeps its
 * own. Where several workers serve the forward, affinity is by a hash of the remote address. Limits: 4096 remote hosts are remembered per forward; beyond them the one that came first is forgotten.
 */
import { swap16 } from '../wire/bytes.ts';
import type { Forward, ForwardTarget } from './config.ts';
import { isWithin } from './rules.ts';

/** find(): no forward has the port, or not for this source. */
export const NO_FORWARD = -1;

const REMEMBERED = 4096;

interface Affinity {
  target: number;
  until: number;
}

export class Forwards {
  list: readonly Forward[];
  private turns: Int32Array;
  private affinities: Map<number, Affinity>[];
  private readonly bySource: boolean;

  /** `bySource`: several workers serve one forward, and a remote host has one target in all of them, chosen by its address. */
  constructor(list: readonly Forward[], bySource = false) {
    this.list = list;
    this.bySource = bySource;
    this.turns = new Int32Array(list.length);
    this.affinities = list.map(() => new Map());
  }

  /** Others hold from now on. Where one has the targets of an earlier one of its name, its turns and affinities go on. */
  replace(list: readonly Forward[]): void {
    const { list: before, turns, affinities } = this;
    const known = list.map((forward) =>
      before.findIndex(
        ({ name, protocol, targets }) =>
          name === forward.name && protocol === forward.protocol && haveSame(targets, forward.targets),
      ),
    );
    this.list = list;
    this.turns = Int32Array.from(known, (i) => (i < 0 ? 0 : turns[i]!));
    this.affinities = known.map((i) => (i < 0 ? new Map() : affinities[i]!));
  }

  /** Number of the forward for a flow from `source` to `port` (wire order) of `address`; `shared`: the address that 0 means. */
  find(protocol: number, address: number, port: number, source: number, shared: number): number {
    const number = swap16(port);
    for (let i = 0; i < this.list.length; i++) {
      const forward = this.list[i]!;
      if (forward.protocol !== protocol || number < forward.ports.first || number > forward.ports.last)
        continue;
      if ((forward.address === 0 ? shared : forward.address) !== address) continue;
      if (forward.sources.length === 0 || isWithin(forward.sources, source)) return i;
    }
    return NO_FORWARD;
  }

  /** The target of a new flow from `source` by forward `i`. `now` in ms. */
  target(i: number, source: number, now: number): ForwardTarget {
    const { targets, affinitySeconds } = this.list[i]!;
    if (targets.length === 1) return targets[0]!;
    if (this.bySource && affinitySeconds > 0) return targets[mix(source) % targets.length]!;
    const known = affinitySeconds > 0 ? this.affinities[i]!.get(source) : undefined;
    const isFresh = known !== undefined && ((known.until - now) | 0) > 0;
    const target = isFresh ? known.target : this.turns[i]!;
    if (!isFresh) this.turns[i] = (target + 1) % targets.length;
    if (affinitySeconds > 0) this.remember(i, source, { target, until: (now + affinitySeconds * 1000) | 0 });
    return targets[target]!;
  }

  private remember(i: number, source: number, affinity: Affinity): void {
    const affinities = this.affinities[i]!;
    // Deleted first: a Map keeps the order in which keys came.
    affinities.delete(source);
    if (affinities.size >= REMEMBERED) affinities.delete(affinities.keys().next().value!);
    affinities.set(source, affinity);
  }
}

function haveSame(a: readonly ForwardTarget[], b: readonly ForwardTarget[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ address, port }, i) => b[i]!.address === address && b[i]!.port === port)
  );
}

function mix(address: number): number {
  const mixed = Math.imul(address ^ (address >>> 15), 0x9e3779b1);
  return (mixed ^ (mixed >>> 13)) >>> 1;
}

/** The internal port (wire order) for external port `port` (wire order). */
export function targetPort(forward: Forward, target: ForwardTarget, port: number): number {
  return swap16(target.port + swap16(port) - forward.ports.first);
}
