/**
 * The dedicated external addresses of a running gateway: added once the steering is on, so that the host stack never
 * answers for them; announced then, and again when the public interface comes up or gets another MAC; put back when
 * somebody flushes the interface; and taken away before the steering is, for the same reason. Another configuration may have
 * others: those that are new are added and announced, and those that are no more taken away (`replace`).
 *
 * Each is announced twice, two seconds apart (RFC 5227 2.3): a switch that has just seen the link come up may lose the first one.
 */
import { isSystemError } from '../core/errors.ts';
import { announce } from '../host/announce.ts';
import type { InterfaceFacts } from '../host/interfaces.ts';
import { ARPHRD_ETHER } from '../host/netlink/links.ts';
import { addressStep, answeredAddresses, missingAddresses, undoAddress } from '../host/plan/address.ts';
import { type Journal, readJournal } from '../host/plan/journal.ts';
import type { Step } from '../host/plan/step.ts';
import type { InterfaceReference } from '../host/plan/undo-records.ts';
import type { NatConfig } from '../nat/config.ts';
import { formatAddress } from '../wire/address.ts';

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

  /** What adds them. */
  steps(outside: InterfaceReference): Step[] {
    return this.#addresses.map((address) => addressStep(outside, address));
  }

  /** All of them, if the interface can send. */
  announce(outside: InterfaceFacts): void {
    this.#outside = outside;
    if (isRunning(outside)) this.#announce(outside, this.#addresses);
  }

  /**
   * From now on those of this configuration. Call it when the steering leads the new ones to the engine, and as long as it leads
   * the old ones there.
   */
  replace(nat: NatConfig, outside: InterfaceFacts): void {
    this.#outside = outside;
    const before = new Set(this.#addresses);
    this.#addresses = answeredAddresses(nat);
    const added = this.#addresses.filter((address) => !before.has(address));
    for (const address of added) this.#restore(addressStep(outside, address));
    removeAddresses(this.#journal, new Set(this.steps(outside).map((step) => step.name)));
    if (isRunning(outside)) this.#announce(outside, added);
  }

  close(): void {
    clearTimeout(this.#again?.timer);
    this.#again = undefined;
  }

  /** The public interface has changed. */
  follow(outside: InterfaceFacts, before: InterfaceFacts): void {
    this.#outside = outside;
    const restored = missingAddresses(outside.index, this.#addresses);
    for (const address of restored) this.#restore(addressStep(outside, address));
    if (restored.length > 0) {
      const list = restored.map(formatAddress).join(', ');
      this.#log(`somebody removed ${list} from ${outside.name}: put back`);
    }
    if (!isRunning(outside)) return;
    const isNew = !isRunning(before) || outside.mac !== before.mac;
    this.#announce(outside, isNew ? this.#addresses : restored);
  }

  /** One that was there before natgate came is natgate's from now on. */
  #restore(step: Step): void {
    if (!this.#journal.has(step.name)) {
      const undo = step.prepare();
      if (undo !== null) this.#journal.append(step.name, undo);
    }
    step.apply();
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
  const entries = readJournal(journal.stateRoot, journal.header.name)?.entries ?? [];
  const gone: string[] = [];
  for (const { step, undo } of entries) {
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
