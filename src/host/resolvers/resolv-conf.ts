/**
 * The resolvers of the host's own resolv.conf(5), read and watched. A name server on loopback (systemd-resolved's stub) is no
 * target for packets of others: where there are only such, the list is taken that systemd-resolved keeps beside its stub.
 *
 * Programs replace the file by another one, write it in place, or turn a link to elsewhere: so the file, the folder of it, and the
 * same of what it links to are watched, anew after every event.
 */
import { type FSWatcher, readFileSync, realpathSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { parseAddress } from '../../wire/address.ts';

export interface ResolvConfPaths {
  conf: string;
  /** What systemd-resolved has from the network. */
  resolved: string;
}

export const RESOLV_CONF: ResolvConfPaths = {
  conf: '/etc/resolv.conf',
  resolved: '/run/systemd/resolve/resolv.conf',
};

/** First address byte of loopback; wire order has it lowest. */
const LOOPBACK = 127;
const COALESCE_MS = 50;

/** IPv4 name servers of a resolv.conf, in their order, each once; `0.0.0.0` means the host itself. */
export function nameServers(text: string): { usable: number[]; isOnHost: boolean } {
  const usable = new Set<number>();
  let isOnHost = false;
  for (const line of text.split('\n')) {
    const [word, value = ''] = line.trim().split(/\s+/);
    if (word !== 'nameserver') continue;
    const address = parseAddress(value);
    if (value === '::1' || address === 0 || (address !== null && (address & 0xff) === LOOPBACK)) {
      isOnHost = true;
    } else if (address !== null) usable.add(address);
  }
  return { usable: [...usable], isOnHost };
}

/** Wire order, in order of preference; empty where there is none. */
export function systemResolvers(paths: ResolvConfPaths = RESOLV_CONF): number[] {
  const own = nameServers(read(paths.conf));
  return own.usable.length > 0 || !own.isOnHost ? own.usable : nameServers(read(paths.resolved)).usable;
}

export class ResolvConfWatch {
  readonly #paths: readonly string[];
  readonly #onChange: () => void;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor({ conf, resolved }: ResolvConfPaths, onChange: () => void) {
    this.#paths = [conf, resolved];
    this.#onChange = onChange;
    this.#watch();
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.splice(0)) watcher.close();
  }

  #watch(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    const files = new Set(this.#paths.flatMap((path) => [path, targetOf(path)]));
    for (const file of files) {
      this.#add(file, () => true);
      this.#add(dirname(file), (name) => name === null || name === basename(file));
    }
  }

  /** What is not there is seen in its folder once it comes. */
  #add(path: string, concerns: (name: string | null) => boolean): void {
    try {
      const watcher = watch(path, { persistent: false }, (_, name) => {
        if (concerns(name)) this.#changed();
      });
      watcher.on('error', () => this.#changed());
      this.#watchers.push(watcher);
    } catch {
      // Said above.
    }
  }

  #changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#watch();
      this.#onChange();
    }, COALESCE_MS);
  }
}

function targetOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
