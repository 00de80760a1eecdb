/**
 * External addresses that the public interface has lost and that flows still have. Which of a flow's addresses is the
 * external one follows from where it came from: a remote host may have the same address now.
 */
import { H_DESTINATION, H_STATUS, ORIGINAL_SIDE, REPLY_SIDE, TUPLE } from '../conntrack/flow-table.ts';

export class LostAddresses {
  /** How many there are. */
  count = 0;
  private readonly addresses = new Set<number>();

  has(address: number): boolean {
    return this.addresses.has(address);
  }

  add(address: number): void {
    this.addresses.add(address);
    this.count = this.addresses.size;
  }

  delete(address: number): void {
    this.addresses.delete(address);
    this.count = this.addresses.size;
  }

  /** Forgets those that are not in `used`. */
  retain(used: ReadonlySet<number>): void {
    for (const address of this.addresses) if (!used.has(address)) this.addresses.delete(address);
    this.count = this.addresses.size;
  }

  /** Whether the flow whose hot record is at word `h` has one of them. */
  hasFlow(hot: Int32Array, h: number): boolean {
    const { addresses } = this;
    const status = hot[h + H_STATUS]!;
    if ((status & ORIGINAL_SIDE) !== 0) return addresses.has(hot[h + H_DESTINATION]!);
    if (addresses.has(hot[h + TUPLE + H_DESTINATION]!)) return true;
    return isHairpin(status) && addresses.has(hot[h + H_DESTINATION]!);
  }

  /** Notes in `used` which of them the flow at word `h` has. */
  note(hot: Int32Array, h: number, used: Set<number>): void {
    for (const address of [hot[h + H_DESTINATION]!, hot[h + TUPLE + H_DESTINATION]!]) {
      if (this.addresses.has(address)) used.add(address);
    }
  }
}

/** Whether both ends of a flow with this status are private hosts. */
export function isHairpin(status: number): boolean {
  return (status & (ORIGINAL_SIDE | REPLY_SIDE)) === 0;
}
