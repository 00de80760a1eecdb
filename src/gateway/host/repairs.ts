/**
 * Puts right what others have undone on the host, says so, and counts it.
 *
 * Each thing that can be wrong has a name; of each, what was found and mended is said in a line. Who undoes the same thing again and again
 * is not fought: more than FIGHT repairs of it within WINDOW_MS, and it is left alone for a while, which doubles from time to time up to
 * LONGEST_PAUSE_MS. What could not be mended is said once, and tried again at each look.
 *
 * Clock: monotonic, so that nothing is mended faster or slower when the wall clock is set.
 */
import { isSystemError } from '../../core/errors.ts';
import type { Log } from '../log.ts';

/** What repairs are counted by. */
export type RepairKind = 'tun' | 'link' | 'filter' | 'interface' | 'setting' | 'file';
export const REPAIR_KINDS: readonly RepairKind[] = ['tun', 'link', 'filter', 'interface', 'setting', 'file'];

const WINDOW_MS = 60_000;
const FIGHT = 5;
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 600_000;

/** Who is known to change such a thing behind others' backs. */
const SUSPECTS: Readonly<Record<RepairKind, string>> = {
  tun: 'NetworkManager, systemd-networkd or a script that removes interfaces it does not know: give it a rule to leave natgate-* alone',
  link: 'NetworkManager, systemd-networkd (tc and link units) or a tuning script: give it a rule to leave natgate-* alone',
  filter:
    'another user of tc: Cilium, Calico, a VPN client, a traffic shaper that replaces the qdisc: `tc filter show dev IF ingress` shows what is there',
  interface: 'a tuning script, or NetworkManager: give it a rule to leave the interface alone',
  setting:
    'sysctl.d, a tuning daemon or a container runtime: `grep -r ip_local /etc/sysctl.d /run/sysctl.d` shows some',
  file: 'something that empties /run, or tmpfiles.d: give it an exception for the state directory',
};

interface Thing {
  repairedAt: number[];
  pauseMs: number;
  pausedUntil: number;
  /** That it could not be mended was said. */
  saidFailure: boolean;
}

export interface RepairsHost {
  log: Log;
  /** Something was mended: `counts` by kind. */
  onRepair(text: string, counts: Readonly<Record<string, number>>): void;
  /** Milliseconds, monotonic. */
  now(): number;
}

export class Repairs {
  readonly #host: RepairsHost;
  readonly #things = new Map<string, Thing>();
  readonly #counts: Record<string, number> = {};

  constructor(host: RepairsHost) {
    this.#host = host;
  }

  /** By kind; those of which there was none are not in it. */
  get counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }

  /** `problem` is wrong with the thing `name`. Returns whether it was mended: not while it is left alone, and not where `mend` throws. */
  mend(kind: RepairKind, name: string, problem: string, mend: () => void): boolean {
    const thing = this.#thing(`${kind} ${name}`);
    const now = this.#host.now();
    if (now < thing.pausedUntil) return false;
    const recent = thing.repairedAt.filter((at) => now - at < WINDOW_MS);
    if (recent.length >= FIGHT) {
      thing.repairedAt = [];
      thing.pausedUntil = now + thing.pauseMs;
      const seconds = thing.pauseMs / 1000;
      thing.pauseMs = Math.min(2 * thing.pauseMs, LONGEST_PAUSE_MS);
      const line = `${problem}, again; put right ${FIGHT} times within a minute, now left alone for ${seconds} s`;
      this.#host.log(line, 'warning', `who does it may be ${SUSPECTS[kind]}`);
      return false;
    }
    try {
      mend();
    } catch (error) {
      // It went with its interface, which is told of by itself.
      if (isSystemError(error, 'ENODEV')) return false;
      if (!thing.saidFailure) {
        const line = `${problem}, and could not be put right: ${(error as Error).message}`;
        this.#host.log(line, 'warning', 'natgate tries again');
      }
      thing.saidFailure = true;
      return false;
    }
    thing.saidFailure = false;
    thing.repairedAt = [...recent, now];
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
    this.#host.log(`${problem}: put right`, 'warning');
    this.#host.onRepair(problem, this.#counts);
    return true;
  }

  #thing(key: string): Thing {
    let thing = this.#things.get(key);
    if (thing === undefined) {
      thing = { repairedAt: [], pauseMs: FIRST_PAUSE_MS, pausedUntil: -Infinity, saidFailure: false };
      this.#things.set(key, thing);
    }
    return thing;
  }
}
