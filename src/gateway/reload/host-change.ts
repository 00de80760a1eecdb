/**
 * What of the host goes with another configuration: the addresses that are natgate's alone, their routes to the engine, the programs.
 *
 *     prepare()   all that either configuration needs: the host has it before the engine gives it out. Undone where a part of it fails
 *     finish()    what the new one does not need goes, addresses before their steering, so that the host stack never answers for them
 */
import { NatgateError } from '../../core/errors.ts';
import { checkDns } from '../../host/checks/dns.ts';
import { checkNat } from '../../host/checks/nat.ts';
import { readNatFacts } from '../../host/checks/nat-facts.ts';
import type { InterfaceFacts } from '../../host/interfaces.ts';
import { addressStep, answeredAddresses } from '../../host/plan/address.ts';
import { applyPlan } from '../../host/plan/apply.ts';
import type { Journal } from '../../host/plan/journal.ts';
import { aggregate, dedicatedPrefixes } from '../../nat/dedicated.ts';
import { compileFirewall } from '../../policy/firewall/compile.ts';
import { type DedicatedAddresses, removeAddresses } from '../host/dedicated-addresses.ts';
import type { HostFollower } from '../host/host-follower.ts';
import { type Steering, type SteeringNeeds, steeringNeeds } from '../host/steering.ts';
import type { RunOptions } from '../options.ts';
import type { Difference } from './difference.ts';

/** Throws NatgateError where a running gateway cannot have `next`: `restart_needed`, or what the host lacks for it. */
export function requireReloadable(changes: Difference, next: RunOptions, names: readonly string[]): void {
  const { restart, settings } = changes;
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
  // Where `dns` stays as it is, natgate has the queries already.
  const dns = settings.includes('dns') ? next.dns : null;
  const failure = [...checkNat(next.nat, facts), ...checkDns(dns, facts)].find(
    ({ status }) => status === 'fail',
  );
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

/** What of a configuration the host has a part in. */
type Configured = Pick<RunOptions, 'nat' | 'dns'>;

function needsOf({ nat, dns }: Configured): SteeringNeeds {
  return steeringNeeds(nat, dns !== null);
}

export class HostChange {
  readonly #parts: HostParts;
  readonly #before: Configured;
  readonly #after: Configured;
  readonly #added: readonly number[];

  constructor(parts: HostParts, before: Configured, after: Configured) {
    this.#parts = parts;
    this.#before = before;
    this.#after = after;
    const had = new Set(answeredAddresses(before.nat));
    this.#added = answeredAddresses(after.nat).filter((address) => !had.has(address));
  }

  prepare(): void {
    const { follower, steering, addresses, journal, outside } = this.#parts;
    const was = needsOf(this.#before);
    const is = needsOf(this.#after);
    const both = { twice: was.twice || is.twice, exempt: was.exempt || is.exempt, dns: was.dns || is.dns };
    try {
      follower.setDedicated(
        aggregate([...dedicatedPrefixes(this.#before.nat), ...dedicatedPrefixes(this.#after.nat)]),
      );
      steering.setNeeds(both, follower.view);
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
  #retreat(to: Configured): string[] {
    const { follower, steering, addresses, journal, outside } = this.#parts;
    const wanted = answeredAddresses(to.nat);
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
    attempt(() => follower.setDedicated(dedicatedPrefixes(to.nat)));
    attempt(() => steering.setNeeds(needsOf(to), follower.view));
    return leftovers;
  }
}
