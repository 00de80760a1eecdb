/**
 * Looks whether what natgate has made of the host is still so, and puts it right where it is not: soon after the kernel told of any change of
 * links, addresses, routes or filters, and every EVERY_MS, since nobody tells of a setting or a file.
 *
 *     TUNs ─▶ their links ─▶ filters ─▶ interfaces, settings ─▶ files
 *
 * A TUN that was deleted is made first, since filters name it by its index; then the engine is started again, for it needs the new
 * descriptors. Addresses that are natgate's alone are dedicated-addresses.ts's.
 *
 * Bound: a look is a dozen questions to the kernel (1-2 ms), at most one every LEAST_MS however much happens on the host.
 */

import { applyStep } from '../../host/plan/apply.ts';
import type { Journal } from '../../host/plan/journal.ts';
import type { Step } from '../../host/plan/step.ts';
import type { RunFiles } from '../run/run-files.ts';
import type { RepairKind, Repairs } from './repairs.ts';
import type { Steering } from './steering.ts';
import type { Tuns } from './tuns.ts';

const EVERY_MS = 10_000;
const SOON_MS = 20;
const LEAST_MS = 250;

export interface Kept {
  repairs: Repairs;
  tuns: Tuns;
  steering: Steering;
  files: RunFiles;
  journal: Journal;
  /** Of the served interfaces that are there. */
  interfaceSteps(): readonly Step[];
  settings: readonly Step[];
  /** TUNs were made anew; their indexes and descriptors are others. */
  onNewTuns(): void;
  /** Reads the host again, should an event of it have been lost. */
  look(): void;
  /** Likewise, where a served interface has gone or come. */
  lookAtInterfaces(): void;
  /** Another process has the host's side: nothing is looked at. */
  isAtRest(): boolean;
  /** Something that natgate does not mend. */
  warn(line: string, hint: string): void;
}

export class Upkeep {
  readonly #kept: Kept;
  readonly #every: NodeJS.Timeout;
  #soon: NodeJS.Timeout | undefined;
  #lookedAt = -Infinity;
  #isClosed = false;
  /** Filters of others, which were told of. */
  readonly #told = new Set<string>();

  constructor(kept: Kept) {
    this.#kept = kept;
    this.#every = setInterval(() => {
      kept.look();
      this.now();
    }, EVERY_MS);
  }

  /** For good: what is taken off from here on stays off. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#every);
    clearTimeout(this.#soon);
  }

  /** Something has changed. */
  soon(): void {
    if (this.#isClosed) return;
    const wait = Math.max(SOON_MS, this.#lookedAt + LEAST_MS - performance.now());
    this.#soon ??= setTimeout(() => this.now(), wait);
  }

  /** Looks now. */
  now(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#soon);
    this.#soon = undefined;
    if (this.#kept.isAtRest()) return;
    const { repairs, tuns, steering, files, settings, interfaceSteps } = this.#kept;
    this.#kept.lookAtInterfaces();
    this.#guard('tun', 'TUN devices', () => this.#mendTuns());
    if (tuns.lost.length === 0) {
      this.#steps('link', tuns.links);
      this.#guard('filter', 'filters', () => {
        for (const { name, problem, mend } of steering.faults()) repairs.mend('filter', name, problem, mend);
        this.#tellOfOthers();
      });
    }
    this.#guard('interface', 'interfaces', () => this.#steps('interface', interfaceSteps()));
    this.#steps('setting', settings);
    this.#guard('file', 'files', () => {
      const problem = files.check();
      if (problem !== null) repairs.mend('file', 'state directory', problem, () => files.restore());
    });
    this.#lookedAt = performance.now();
  }

  #mendTuns(): void {
    const { repairs, tuns, onNewTuns } = this.#kept;
    const mended = tuns.lost.filter(({ tun, problem }) =>
      repairs.mend('tun', tun.device, problem, () => tuns.remake(tun)),
    );
    if (mended.length > 0) onNewTuns();
  }

  #steps(kind: RepairKind, steps: readonly Step[]): void {
    const { repairs, journal } = this.#kept;
    for (const step of steps) {
      this.#guard(kind, step.name, () => {
        const problem = step.check();
        if (problem !== null) repairs.mend(kind, step.name, problem, () => applyStep(step, journal));
      });
    }
  }

  /** Whoever sees packets first may take them: as an administrator may want it. */
  #tellOfOthers(): void {
    const now = this.#kept.steering.before();
    for (const filter of now) {
      if (this.#told.has(filter)) continue;
      this.#told.add(filter);
      const hint = 'what it takes, natgate never sees; `tc filter show dev IF ingress` shows it';
      this.#kept.warn(`another program's filter sees packets before natgate does: ${filter}`, hint);
    }
    for (const filter of this.#told) if (!now.includes(filter)) this.#told.delete(filter);
  }

  /** An interface may go while it is looked at: the next look sees that. What stays wrong is said once, as a repair that failed. */
  #guard(kind: RepairKind, name: string, look: () => void): void {
    try {
      look();
    } catch (error) {
      this.#kept.repairs.mend(kind, name, `${name} could not be looked at`, () => {
        throw error;
      });
    }
  }
}
