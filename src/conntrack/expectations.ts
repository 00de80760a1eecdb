/**
 * Expectations: flows that another flow has announced (an FTP `PORT`, the media of a call). The first packet that
 * matches one begins a RELATED flow, translated as the one that announced it, its *master*.
 *
 *     buckets   by (protocol, destination, destination port): always known; the source may be a wildcard
 *     masters   by flow number: the expectations of one flow, oldest first
 *
 * An expectation is used once, unless it is permanent, and goes with its time, its master or its place: a master has a
 * limited number of each kind, and the oldest gives way (as nf_conntrack_expect.c). `onAdd` and `onRemove` are called once for each.
 *
 * Asked only for packets without a flow, and then only while `count` is not zero; looking costs no allocation.
 * Invariant: an entry is in its bucket and in its master's list, or in neither. No two live entries have the same tuple.
 * Limits: 4096 in all (netfilter's expect_max).
 */

/** Wildcard for addresses and ports of the source. */
export const ANY = 0;
/** `deadline` of an expectation that lasts as long as its master. */
export const WITH_MASTER = null;

export const MAX_EXPECTATIONS = 4096;
const BUCKETS = 1024;
const SWEEP_MS = 1000;

/** Addresses and ports in wire order; the ports of GRE are its keys. */
export interface Expectation {
  readonly protocol: number;
  /** The first packet as it arrives. */
  readonly source: number;
  readonly sourcePort: number;
  readonly destination: number;
  readonly destinationPort: number;
  /** Side of the gateway where it arrives, and where it is to go: 0 private, 1 public. */
  readonly side: number;
  readonly toSide: number;
  /** Flow that announced it. */
  readonly master: number;
  /** What is limited per master: the helper's own numbering. */
  readonly kind: number;
  /** Helper of the new flow (its number in the configuration), -1 for none. */
  readonly helper: number;
  readonly permanent: boolean;
  /** Whether the new flow is translated by it; otherwise as any new flow. */
  readonly translated: boolean;
  /** The endpoint that was announced: what replies of the new flow come from. */
  readonly address: number;
  readonly port: number;
  /** What the announced endpoint sees as the source; ANY as a port: the packet's own. */
  readonly from: number;
  readonly fromPort: number;
  /** The mapping that is held for it, -1 for none. */
  readonly mapping: number;
  /** Not yet confirmed: matches nothing. */
  inactive: boolean;
  /** Time (ms, wraps) when it ends. */
  deadline: number | typeof WITH_MASTER;
}

export class Expectations {
  /** Live entries. */
  count = 0;
  onAdd: (expectation: Expectation) => void = () => {};
  onRemove: (expectation: Expectation) => void = () => {};
  private sweepAt: number;
  private readonly buckets: Expectation[][] = Array.from({ length: BUCKETS }, () => []);
  private readonly masters = new Map<number, Expectation[]>();

  /** `now`: ms, wraps. */
  constructor(now: number) {
    this.sweepAt = now;
  }

  /**
   * Takes an expectation in. At most `limit` of its kind stay with its master. One of the same tuple gives way, if it leads
   * to the same endpoint. False when it leads elsewhere, or when the table is full.
   */
  add(expectation: Expectation, limit: number): boolean {
    const { protocol, destination, destinationPort, master } = expectation;
    const bucket = this.bucket(protocol, destination, destinationPort);
    const same = bucket.find((other) => isSame(other, expectation));
    if (same !== undefined) {
      if (same.address !== expectation.address || same.port !== expectation.port) return false;
      this.remove(same);
    }
    const siblings = this.of(master).filter(({ kind }) => kind === expectation.kind);
    if (siblings.length >= limit) this.remove(siblings[0]!);
    if (this.count === MAX_EXPECTATIONS) return false;
    bucket.push(expectation);
    const all = this.masters.get(master);
    if (all === undefined) this.masters.set(master, [expectation]);
    else all.push(expectation);
    this.count++;
    this.onAdd(expectation);
    return true;
  }

  /** The expectation that a packet without a flow fulfils at time `now`, or null. `ports`: the tuple's ports word. */
  match(
    protocol: number,
    source: number,
    destination: number,
    ports: number,
    side: number,
    now: number,
  ): Expectation | null {
    const bucket = this.bucket(protocol, destination, ports >>> 16);
    for (let i = 0; i < bucket.length; i++) {
      const entry = bucket[i]!;
      if (
        entry.destination === destination &&
        entry.destinationPort === ports >>> 16 &&
        entry.protocol === protocol &&
        (entry.source === ANY || entry.source === source) &&
        (entry.sourcePort === ANY || entry.sourcePort === (ports & 0xffff)) &&
        entry.side === side &&
        !entry.inactive &&
        !isOver(entry, now)
      ) {
        return entry;
      }
    }
    return null;
  }

  /** The expectations of a flow, oldest first. */
  of(master: number): readonly Expectation[] {
    return this.masters.get(master) ?? [];
  }

  /** All of them. */
  *all(): Generator<Expectation> {
    for (const list of this.masters.values()) yield* list;
  }

  /** A flow has begun because of it. */
  use(expectation: Expectation): void {
    if (!expectation.permanent) this.remove(expectation);
  }

  remove(expectation: Expectation): void {
    const { protocol, destination, destinationPort, master } = expectation;
    const bucket = this.bucket(protocol, destination, destinationPort);
    const at = bucket.indexOf(expectation);
    if (at < 0) return;
    bucket.splice(at, 1);
    const siblings = this.masters.get(master)!;
    siblings.splice(siblings.indexOf(expectation), 1);
    if (siblings.length === 0) this.masters.delete(master);
    this.count--;
    this.onRemove(expectation);
  }

  /** The flow has ended, and what it announced with it. */
  endOf(master: number): void {
    for (const expectation of [...this.of(master)]) this.remove(expectation);
  }

  /** Removes what is over; looks once a second, however often it is called. */
  expire(now: number): void {
    if (this.count === 0 || ((now - this.sweepAt) | 0) < 0) return;
    this.sweepAt = (now + SWEEP_MS) | 0;
    for (const siblings of [...this.masters.values()]) {
      for (const expectation of siblings.filter((entry) => isOver(entry, now))) this.remove(expectation);
    }
  }

  private bucket(protocol: number, destination: number, port: number): Expectation[] {
    const hash = Math.imul(destination ^ Math.imul(port, 0x9e3779b1) ^ protocol, 0x85ebca6b);
    return this.buckets[(hash >>> 16) & (BUCKETS - 1)]!;
  }
}

function isOver({ deadline }: Expectation, now: number): boolean {
  return deadline !== WITH_MASTER && ((deadline - now) | 0) <= 0;
}

function isSame(a: Expectation, b: Expectation): boolean {
  return (
    a.protocol === b.protocol &&
    a.destination === b.destination &&
    a.destinationPort === b.destinationPort &&
    a.source === b.source &&
    a.sourcePort === b.sourcePort
  );
}
