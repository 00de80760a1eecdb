/** Whom private hosts ask by the gateway's address: follows the resolvers of the configuration in force, and tells of them. */
import { isDeepStrictEqual } from 'node:util';
import { readAddresses } from '../host/netlink/addresses.ts';
import type { DnsState } from '../nat/dns.ts';
import { DnsFollower } from './dns-follower.ts';
import type { Log } from './log.ts';
import type { RunOptions } from './options.ts';

export class Resolvers {
  readonly #tell: (state: DnsState | null) => void;
  readonly #log: Log;
  #follower: DnsFollower | undefined;
  /** What it was made for. */
  #options: RunOptions['dns'] = null;

  /** `tell`: is called with each change. */
  constructor(tell: (state: DnsState | null) => void, log: Log) {
    this.#tell = tell;
    this.#log = log;
  }

  /** Null: natgate has nothing to do with DNS. */
  get state(): DnsState | null {
    return this.#follower?.state ?? null;
  }

  /** These, from now on. */
  follow(dns: RunOptions['dns']): void {
    if (isDeepStrictEqual(dns, this.#options)) return;
    this.#options = dns;
    if (dns !== null && this.#follower !== undefined) {
      this.#follower.setOptions(dns);
      return;
    }
    this.#follower?.close();
    this.#follower =
      dns === null
        ? undefined
        : new DnsFollower(dns, {
            own: () => readAddresses().map(({ address }) => address),
            onChange: this.#tell,
            log: this.#log,
          });
    this.#tell(this.state);
  }
}
