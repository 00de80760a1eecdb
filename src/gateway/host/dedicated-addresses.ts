/**
 * The dedicated external addresses of a running gateway: added once the steering is on, so that the host stack never
 * answers for them; announced then, and again when the public interface comes up or gets another MAC; put back when
 * somebody flushes the interface; and taken away before the steering is, for the same reason. Another configuration may have
 * others: reload/host-change.ts adds and takes away, and tells which they are then (`set`).
 *
 * Each is announced twice, two seconds apart (RFC 5227 2.3): a switch that has just seen the link come up may lose the first one.
 */
import { isSystemError } from '../../core/errors.ts';
import { announce } from '../../host/announce.ts';
import type { InterfaceFacts } from '../../host/interfaces.ts';
import { ARPHRD_ETHER } from '../../host/netlink/links.ts';
import { addressStep, answeredAddresses, missingAddresses, undoAddress } from '../../host/plan/address.ts';
import { applyStep } from '../../host/plan/apply.ts';
import type { Journal } from '../../host/plan/journal.ts';
import type { Step } from '../../host/plan/step.ts';
import type { InterfaceReference } from '../../host/plan/undo-records.ts';
import type { NatConfig } from '../../nat/config.ts';
import { formatAddress } from '../../wire/address.ts';
import { isThere } from './host-follower.ts';

/** ANNOUNCE_INTERVAL of RFC 5227. */
const AGAIN_MS = 2000;

export class DedicatedAddresses {
  #addresses: readonly number[];
  readonly #journal: Journal;
  readonly #log: (line: string) => void;
  #toldFailure = false;
  /** What is to be announced once more, and when that is. */
  #again: { timer: NodeJS.Timeout; addresses: Set<number> } | undefined;
  /** The public interface as it was last seen. */
  #outside: InterfaceFacts | undefined;

  constructor(nat: NatConfig, journal: Journal, log: (line: string) => void) {
    this.#journal = journal;
    this.#addresses = answeredAddresses(nat);
    this.#log = log;
  }

  /** Other addresses, from now on; those that are new must be added, and those that are gone be taken away, by others. */
  set(addresses: readonly number[]): void {
    this.#addresses = addresses;
  }

  get all(): readonly number[] {
    return this.#addresses;
  }

  /** Those of them, if the interface can send. */
  announceOnly(outside: InterfaceFacts, addresses: readonly number[]): void {
    this.#outside = outside;
    if (isRunning(outside)) this.#announce(outside, addresses);
  }

  /** What adds them. */
  steps(outside: InterfaceReference): Step[] {
    return this.#addresses.map((address) => addressStep(outside, address));
  }

  /** All of them, if the interface can send. */
  announce(outside: InterfaceFacts): void {
    this.#outside = outside;
    if (isRunning(outside)) this.#announce(outside, this.#addresses);
  }

  close(): void {
    clearTimeout(this.#again?.timer);
    this.#again = undefined;
  }

  /** The public interface has changed. */
  follow(outside: InterfaceFacts, before: InterfaceFacts): void {
    this.#outside = outside;
    if (!isThere(outside)) return;
    const isAnother = outside.index !== before.index;
    const restored = missingAddresses(outside.index, this.#addresses);
    // One that was there before natgate came is natgate's from now on.
    for (const address of restored) applyStep(addressStep(outside, address), this.#journal);
    if (restored.length > 0 && !isAnother) {
      const list = restored.map(formatAddress).join(', ');
      this.#log(`somebody removed ${list} from ${outside.name}: put back`);
    }
    if (!isRunning(outside)) return;
    const isNew = isAnother || !isRunning(before) || outside.mac !== before.mac;
    this.#announce(outside, isNew ? this.#addresses : restored);
  }

  #announce(outside: InterfaceFacts, addresses: readonly number[]): void {
    // Elsewhere there is no ARP.
    if (outside.type !== ARPHRD_ETHER || addresses.length === 0) return;
    this.#send(outside, addresses);
    clearTimeout(this.#again?.timer);
    const once = new Set([...(this.#again?.addresses ?? []), ...addresses]);
    const timer = setTimeout(() => this.#announceAgain(), AGAIN_MS);
    timer.unref();
    this.#again = { timer, addresses: once };
  }

  #announceAgain(): void {
    const due = this.#again?.addresses ?? new Set();
    this.#again = undefined;
    const outside = this.#outside;
    if (outside === undefined || !isRunning(outside)) return;
    this.#send(
      outside,
      this.#addresses.filter((address) => due.has(address)),
    );
  }

  #send({ index, mac }: InterfaceFacts, addresses: readonly number[]): void {
    try {
      for (const address of addresses) announce(index, mac, address);
    } catch (error) {
      // The interface may go down at any moment; it is announced when it is up again.
      if (isSystemError(error, 'ENETDOWN') || isSystemError(error, 'ENXIO') || this.#toldFailure) return;
      this.#toldFailure = true;
      this.#log(
        `external addresses are not announced (${(error as Error).message}): neighbours that know an older owner wait until their ARP entry ends`,
      );
    }
  }
}

/**
 * Takes back addresses that the journal knows, but for those of `keep` (names of steps): what an adopted journal has
 * from other options, or all of them. What fails stays in the journal and is undone with the rest.
 */
export function removeAddresses(journal: Journal, keep: ReadonlySet<string> = new Set()): void {
  const gone: string[] = [];
  for (const { step, undo } of journal.content.entries) {
    if (undo.kind !== 'address' || keep.has(step)) continue;
    try {
      undoAddress(undo.interface, undo.address);
      gone.push(step);
    } catch {
      // Undone, or reported, later.
    }
  }
  if (gone.length > 0) journal.drop(gone);
}

function isRunning({ up, carrier }: InterfaceFacts): boolean {
  return up && carrier;
}
