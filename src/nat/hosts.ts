/**
 * What each internal host has in use, for quotas (RFC 6888 REQ-4, REQ-5) and for taking fairly when something must go.
 *
 * A host has a record while it uses anything. Counted when flows and mappings begin and end, never per packet; and not at all
 * where nobody asks (`isCounting`): without quotas, and with `evict: never`.
 */
const FIELDS = 5;
/** Live flows that the host began, or that go to it. */
export const HOST_FLOWS = 3;
/** Of these, those that it began. */
export const HOST_BEGUN = 4;

export class Hosts {
  isCounting: boolean;
  /** Whether ports and flows are shared out fairly when they run short (engine/fair-shares.ts). */
  isFair = false;
  /** Several workers: whether count() is asked, and must know of the others. */
  isShown = true;
  private readonly numbers = new Map<number, number>();
  private readonly free: number[] = [];
  /** Ports by table (TCP, UDP, ICMP), then flows, then those that it began. */
  private uses = new Int32Array(64 * FIELDS);
  /** Whom place() was asked for last, and where he is: flows of one host often come in a row. 0: nobody. */
  private lastAddress = 0;
  private lastPlace = 0;

  constructor(isCounting: boolean) {
    this.isCounting = isCounting;
  }

  /** Forgets everybody, to count anew or no more. */
  clear(): void {
    for (const address of [...this.numbers.keys()]) this.forget(address);
  }

  protected forget(address: number): void {
    const number = this.numbers.get(address)!;
    this.uses.fill(0, number * FIELDS, (number + 1) * FIELDS);
    this.leaves(address, number);
  }

  private leaves(address: number, number: number): void {
    this.numbers.delete(address);
    this.free.push(number);
    if (address === this.lastAddress) this.lastAddress = 0;
  }

  /** Hosts that have anything, of this worker. */
  get active(): number {
    return this.numbers.size;
  }

  /** `what`: a port table (external-addresses.ts) or HOST_FLOWS. */
  count(address: number, what: number): number {
    return this.countHere(address, what);
  }

  /** count(), and HOST_BEGUN, of this worker only. */
  countHere(address: number, what: number): number {
    const number = this.numbers.get(address);
    return number === undefined ? 0 : this.uses[number * FIELDS + what]!;
  }

  add(address: number, what: number): void {
    if (!this.isCounting) return;
    // First the place: it may bring another array.
    const at = this.place(address);
    this.uses[at + what]!++;
  }

  remove(address: number, what: number): void {
    if (!this.isCounting) return;
    const number = this.numbers.get(address);
    if (number === undefined) return;
    this.uses[number * FIELDS + what]!--;
    this.leave(address, number);
  }

  /** A flow of the host has begun (`step` 1) or ended (-1); `isOutside`: begun from outside. */
  countFlow(address: number, isOutside: boolean, step: number): void {
    if (!this.isCounting || (step < 0 && !this.numbers.has(address))) return;
    const at = this.place(address);
    this.uses[at + HOST_FLOWS]! += step;
    if (!isOutside) this.uses[at + HOST_BEGUN]! += step;
    if (step < 0) this.leave(address, (at / FIELDS) | 0);
  }

  private place(address: number): number {
    if (address === this.lastAddress && address !== 0) return this.lastPlace;
    let number = this.numbers.get(address);
    if (number === undefined) {
      number = this.free.pop() ?? this.numbers.size;
      this.numbers.set(address, number);
      if ((number + 1) * FIELDS > this.uses.length) {
        const larger = new Int32Array(this.uses.length * 2);
        larger.set(this.uses);
        this.uses = larger;
      }
    }
    this.lastAddress = address;
    this.lastPlace = number * FIELDS;
    return this.lastPlace;
  }

  /** Forgets a host that has nothing any more. */
  private leave(address: number, number: number): void {
    const { uses } = this;
    const at = number * FIELDS;
    if ((uses[at]! | uses[at + 1]! | uses[at + 2]! | uses[at + HOST_FLOWS]!) !== 0) return;
    this.leaves(address, number);
  }
}
