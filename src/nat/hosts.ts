/**
 * What each internal host has in use, for quotas (RFC 6888 REQ-4, REQ-5) and for taking fairly when something must go.
 *
 * A host has a record while it uses anything. Counted when flows and mappings begin and end, never per packet; and only
 * where somebody asks (`isCounting`), since most gateways have no quotas.
 */
const FIELDS = 4;
/** Live flows that the host began, or that go to it. */
export const HOST_FLOWS = 3;

export class Hosts {
  isCounting: boolean;
  private readonly numbers = new Map<number, number>();
  private readonly free: number[] = [];
  /** Ports by table (TCP, UDP, ICMP), then flows. */
  private uses = new Int32Array(64 * FIELDS);

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
    this.numbers.delete(address);
    this.free.push(number);
  }

  /** `what`: a port table (external-addresses.ts) or HOST_FLOWS. */
  count(address: number, what: number): number {
    const number = this.numbers.get(address);
    return number === undefined ? 0 : this.uses[number * FIELDS + what]!;
  }

  add(address: number, what: number): void {
    if (!this.isCounting) return;
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
    this.uses[number * FIELDS + what]!++;
  }

  remove(address: number, what: number): void {
    if (!this.isCounting) return;
    const number = this.numbers.get(address);
    if (number === undefined) return;
    const at = number * FIELDS;
    this.uses[at + what]!--;
    if ((this.uses[at]! | this.uses[at + 1]! | this.uses[at + 2]! | this.uses[at + HOST_FLOWS]!) !== 0)
      return;
    this.numbers.delete(address);
    this.free.push(number);
  }
}
