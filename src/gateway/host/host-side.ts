/**
 * What a running gateway has on the host: programs, addresses, settings; kept as the host changes (follow) and as others change them
 * (upkeep.ts). Attached once an engine forwards, and taken off before it ends.
 */
import { applyPlan } from '../../host/plan/apply.ts';
import type { Journal } from '../../host/plan/journal.ts';
import type { Step } from '../../host/plan/step.ts';
import type { NatConfig } from '../../nat/config.ts';
import type { Log } from '../log.ts';
import type { RunFiles } from '../run/run-files.ts';
import { DedicatedAddresses, removeAddresses } from './dedicated-addresses.ts';
import { type HostFollower, type HostView, isThere } from './host-follower.ts';
import { Repairs, type RepairsHost } from './repairs.ts';
import { ServedInterfaces } from './served-interfaces.ts';
import { Steering, type SteeringMaps, type SteeringNeeds } from './steering.ts';
import type { Tuns } from './tuns.ts';
import { Upkeep } from './upkeep.ts';

export interface HostSideSetup {
  nat: NatConfig;
  journal: Journal;
  files: RunFiles;
  log: Log;
  onRepair: RepairsHost['onRepair'];
}

export interface Attached {
  maps: SteeringMaps;
  needs: SteeringNeeds;
  tuns: Tuns;
  follower: HostFollower;
  /** Of the host, which are about no interface. */
  settings: readonly Step[];
  /** TUNs were made anew: an engine needs their descriptors. */
  onNewTuns(): void;
}

export class HostSide {
  readonly addresses: DedicatedAddresses;
  readonly #setup: HostSideSetup;
  #steering: Steering | undefined;
  #interfaces: ServedInterfaces | undefined;
  #upkeep: Upkeep | undefined;
  /** Another process is about to have the host's side: nothing is mended. */
  isAtRest = false;

  constructor(setup: HostSideSetup) {
    this.#setup = setup;
    this.addresses = new DedicatedAddresses(setup.nat, setup.journal, setup.log);
  }

  /** Undefined before `attach`. */
  get steering(): Steering | undefined {
    return this.#steering;
  }

  /** From here on packets come. Throws NatgateError, and everything in the journal is undone. */
  attach({ maps, needs, tuns, follower, settings, onNewTuns }: Attached): void {
    const { journal, files, log, onRepair } = this.#setup;
    const { view } = follower;
    const steering = new Steering(maps, needs, tuns.references, view, journal);
    const { steps, close } = steering.steps();
    const outside = view.interfaces.at(-1)!;
    const addressSteps = isThere(outside) ? this.addresses.steps(outside) : [];
    removeAddresses(journal, new Set(addressSteps.map((step) => step.name)));
    try {
      applyPlan([...steps, ...addressSteps], journal);
    } finally {
      close();
    }
    this.#steering = steering;
    const interfaces = new ServedInterfaces(journal, view);
    this.#interfaces = interfaces;
    if (isThere(outside)) this.addresses.announce(outside);
    this.#upkeep = new Upkeep({
      repairs: new Repairs({ log, onRepair, now: () => performance.now() }),
      tuns,
      steering,
      files,
      journal,
      interfaceSteps: () => interfaces.steps,
      settings,
      onNewTuns: () => {
        steering.setTuns(tuns.references);
        steering.update(follower.view);
        onNewTuns();
      },
      look: () => follower.look(),
      lookAtInterfaces: () => follower.lookAtInterfaces(),
      isAtRest: () => this.isAtRest,
      warn: (line, hint) => log(line, 'warning', hint),
    });
  }

  /** The host is different. Throws what could not be done; it is tried again. */
  follow(view: HostView, before: HostView): void {
    // They will be made from the newest view.
    if (this.#steering === undefined) return;
    try {
      this.#interfaces?.follow(view, before);
      this.#steering.update(view);
      this.addresses.follow(view.interfaces.at(-1)!, before.interfaces.at(-1)!);
    } finally {
      this.#upkeep?.soon();
    }
  }

  /** Something of the host has changed, whether or not it is followed. */
  look(): void {
    if (!this.isAtRest) this.#upkeep?.soon();
  }

  /** As `look`, at once: something is broken. */
  lookNow(): void {
    if (!this.isAtRest) this.#upkeep?.now();
  }

  /** Nothing is looked after, and nothing announced, any more. */
  close(): void {
    this.#upkeep?.close();
    this.addresses.close();
  }

  /** Takes addresses and programs off. */
  detach(): void {
    removeAddresses(this.#setup.journal);
    this.#steering?.detach();
  }
}
