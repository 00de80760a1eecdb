/**
 * What of the host goes with another configuration: the addresses that are natgate's alone, their routes to the engine, the programs.
 *
 *     prepare()   all that either configuration needs: the host has it before the engine gives it out. Undone where a part of it fails
 *     finish()    what the new one does not need goes, addresses before their steering, so that the host stack never answers for them
 */
import { NatgateError } from '../../core/errors.ts';
import { checkNat } from '../../host/checks/nat.ts';
import { readNatFacts } from '../../host/checks/nat-facts.ts';
import type { InterfaceFacts } from '../../host/interfaces.ts';
import { addressStep, answeredAddresses } from '../../host/plan/address.ts';
import { applyPlan } from '../../host/plan/apply.ts';
import type { Journal } from '../../host/plan/journal.ts';
import type { NatConfig } from '../../nat/config.ts';
import { aggregate, dedicatedPrefixes } from '../../nat/dedicated.ts';
import { compileFirewall } from '../../policy/firewall/compile.ts';
import { type DedicatedAddresses, removeAddresses } from '../dedicated-addresses.ts';
import type { HostFollower } from '../host-follower.ts';
import type { RunOptions } from '../options.ts';
import { type Steering, steeringNeeds } from '../steering.ts';
import type { Difference } from './difference.ts';

/** Throws NatgateError where a running gateway cannot have `next`: `restart_needed`, or what the host lacks for it. */
export function requireReloadable({ restart }: Difference, next: RunOptions, names: readonly string[]): void {
  if (restart.length > 0) {
    throw new NatgateError(
      'restart_needed',
      `a running gateway cannot change ${restart.join(', ')}`,
      'take the change back, or restart: `systemctl restart natgate` (with engine.linger no flow is lost)',
    );
  }
  // Whatever the engine would not take must be known before it is asked.
  compileFirewall(next.firewall, names);
  const facts = readNatFacts({
    private: names.slice(0, -1),
    networks: next.private.map((inside) => inside.networks),
    public: names.at(-1)!,
  });
  const failure = checkNat(next.nat, facts).find(({ status }) => status === 'fail');
  if (failure !== undefined) throw new NatgateError(failure.code, failure.what, failure.remedy);
}

export interface HostParts {
  follower: HostFollower;
  steering: Steering;
  addresses: DedicatedAddresses;
  journal: Journal;
  /** The public interface as it is. */
  outside(): InterfaceFacts;
}

export class HostChange {
  readonly #parts: HostParts;
  readonly #before: NatConfig;
  readonly #after: NatConfig;
  readonly #added: readonly number[];

  constructor(parts: HostParts, before: NatConfig, after: NatConfig) {
    this.#parts = parts;
    this.#before = before;
    this.#after = after;
    const had = new Set(answeredAddresses(before));
    this.#added = answeredAddresses(after).filter((address) => !had.has(address));
  }

  prepare(): void {
    const { follower, steering, addresses, journal, outside } = this.#parts;
    const was = steeringNeeds(this.#before);
    const is = steeringNeeds(this.#after);
    try {
      follower.setDedicated(
        aggregate([...dedicatedPrefixes(this.#before), ...dedicatedPrefixes(this.#after)]),
      );
      steering.setNeeds({ twice: was.twice || is.twice, exempt: was.exempt || is.exempt }, follower.view);
      applyPlan(
        this.#added.map((address) => addressStep(outside(), address)),
        journal,
      );
      addresses.set([...addresses.all, ...this.#added]);
    } catch (error) {
      this.#retreat(this.#before);
      throw error;
    }
  }

  /** Returns what could not be taken back. */
  finish(): string[] {
    const leftovers = this.#retreat(this.#after);
    const { addresses, outside } = this.#parts;
    addresses.announceOnly(outside(), this.#added);
    return leftovers;
  }

  /** To what one configuration needs. */
  #retreat(nat: NatConfig): string[] {
    const { follower, steering, addresses, journal, outside } = this.#parts;
    const wanted = answeredAddresses(nat);
    addresses.set(wanted);
    const leftovers: string[] = [];
    const attempt = (step: () => void) => {
      try {
        step();
      } catch (error) {
        leftovers.push((error as Error).message);
      }
    };
    attempt(() =>
      removeAddresses(journal, new Set(wanted.map((address) => addressStep(outside(), address).name))),
    );
    attempt(() => follower.setDedicated(dedicatedPrefixes(nat)));
    attempt(() => steering.setNeeds(steeringNeeds(nat), follower.view));
    return leftovers;
  }
}
