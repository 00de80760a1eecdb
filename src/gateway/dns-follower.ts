/**
 * Which resolver answers the queries that private hosts send to the gateway: the first in order that is well.
 *
 *     well ──two probes in a row without an answer──▶ down ──two with one──▶ well
 *
 * The one in force is asked every two seconds, the others every five; what seems to have changed is asked again at once. So a
 * resolver that falls silent is left after four seconds at most, before a client asks again (glibc: five seconds).
 * Where none is well, the one in force stays: another one would be no better.
 * Runs only while DNS is on. With `system` the list is that of resolv.conf, as it changes, without the host's own addresses.
 */
import { isDeepStrictEqual } from 'node:util';
import { probeResolver } from '../host/resolvers/probe.ts';
import {
  RESOLV_CONF,
  type ResolvConfPaths,
  ResolvConfWatch,
  systemResolvers,
} from '../host/resolvers/resolv-conf.ts';
import type { DnsState } from '../nat/dns.ts';
import { formatAddress } from '../wire/address.ts';
import type { DnsOptions } from './options.ts';

export interface ProbeTiming {
  /** ms between two probes of the resolver in force, of another one, and of one that may have changed. */
  every: number;
  others: number;
  again: number;
  /** ms until a probe has failed. */
  timeout: number;
}

const TIMING: ProbeTiming = { every: 2000, others: 5000, again: 100, timeout: 900 };
const UNTIL_DOWN = 2;
const UNTIL_WELL = 2;

export interface DnsFollowerParts {
  /** Addresses of the host, wire order: no targets. */
  own(): readonly number[];
  onChange(state: DnsState): void;
  log(line: string, level?: 'info' | 'warning'): void;
  probe?: (address: number, timeoutMs: number) => Promise<boolean>;
  paths?: ResolvConfPaths;
  timing?: ProbeTiming;
}

interface Followed {
  address: number;
  isWell: boolean;
  /** Probes in a row that say otherwise. */
  doubts: number;
  timer: NodeJS.Timeout | undefined;
}

export class DnsFollower {
  readonly #parts: DnsFollowerParts;
  readonly #probe: NonNullable<DnsFollowerParts['probe']>;
  readonly #paths: ResolvConfPaths;
  readonly #timing: ProbeTiming;
  #options: DnsOptions;
  #watch: ResolvConfWatch | undefined;
  #followed: Followed[] = [];
  #state: DnsState = { resolver: 0, usable: [] };

  constructor(options: DnsOptions, parts: DnsFollowerParts) {
    this.#options = options;
    this.#parts = parts;
    this.#probe = parts.probe ?? probeResolver;
    this.#paths = parts.paths ?? RESOLV_CONF;
    this.#timing = parts.timing ?? TIMING;
    this.#begin();
  }

  get state(): DnsState {
    return this.#state;
  }

  /** Other resolvers; what is known of those that stay is kept. */
  setOptions(options: DnsOptions): void {
    this.#options = options;
    this.#begin();
  }

  close(): void {
    this.#watch?.close();
    for (const one of this.#followed.splice(0)) clearTimeout(one.timer);
  }

  #begin(): void {
    this.#watch?.close();
    this.#watch = this.#options.system ? new ResolvConfWatch(this.#paths, () => this.#read()) : undefined;
    this.#read();
  }

  #read(): void {
    const { system, upstream } = this.#options;
    const own = this.#parts.own();
    const wanted = system ? systemResolvers(this.#paths).filter((one) => !own.includes(one)) : upstream;
    const listed = [...new Set(wanted)];
    const before = this.#followed;
    this.#followed = listed.map(
      (address) =>
        before.find((one) => one.address === address) ?? {
          address,
          isWell: true,
          doubts: 0,
          timer: undefined,
        },
    );
    for (const one of before) if (!this.#followed.includes(one)) clearTimeout(one.timer);
    this.#choose();
    for (const one of this.#followed) if (!before.includes(one)) void this.#look(one);
    if (listed.length > 0) return;
    this.#parts.log(
      `DNS: ${this.#paths.conf} names no resolver that packets can be sent to; private hosts get no answer`,
      'warning',
    );
  }

  async #look(one: Followed): Promise<void> {
    const answers = await this.#probe(one.address, this.#timing.timeout);
    if (!this.#followed.includes(one)) return;
    one.doubts = answers === one.isWell ? 0 : one.doubts + 1;
    if (one.doubts >= (one.isWell ? UNTIL_DOWN : UNTIL_WELL)) {
      one.isWell = !one.isWell;
      one.doubts = 0;
      this.#choose();
      this.#tell(one);
    }
    const calm = one.address === this.#state.resolver ? this.#timing.every : this.#timing.others;
    one.timer = setTimeout(() => void this.#look(one), one.doubts > 0 ? this.#timing.again : calm);
  }

  #choose(): void {
    const well = this.#followed.filter((one) => one.isWell).map(({ address }) => address);
    const all = this.#followed.map(({ address }) => address);
    const { resolver: before } = this.#state;
    const resolver = well[0] ?? (all.includes(before) ? before : (all[0] ?? 0));
    const usable = [...new Set([resolver, ...well])].filter((address) => address !== 0);
    const state = { resolver, usable };
    if (isDeepStrictEqual(state, this.#state)) return;
    this.#state = state;
    this.#parts.onChange(state);
  }

  #tell({ address, isWell }: Followed): void {
    const { resolver } = this.#state;
    const text = formatAddress(address);
    const target = formatAddress(resolver);
    if (isWell) {
      this.#parts.log(`DNS: ${text} answers again${resolver === address ? ', queries go there' : ''}`);
      return;
    }
    const next = resolver === address ? 'there is no other that does' : `queries go to ${target}`;
    this.#parts.log(`DNS: ${text} does not answer; ${next}`, 'warning');
  }
}
