/** Says what the world sees of a gateway, when that is new: on stderr, to the service manager, in events and in the record. */
import { formatAddress } from '../../wire/address.ts';
import type { Said } from '../events/hub.ts';
import type { Log } from '../log.ts';
import type { ServiceManager } from '../notify.ts';
import type { RunOptions } from '../options.ts';
import type { RunRecord } from '../run/run-record.ts';
import { announcement } from './announcement.ts';
import type { HostView } from './host-follower.ts';

export interface AnnouncerHost {
  options: Pick<RunOptions, 'private' | 'public'>;
  manager: ServiceManager;
  log: Log;
  say(event: Said): void;
  /** Other fields of the record. */
  record(change: Partial<RunRecord>): void;
}

interface Seen {
  /** Of the public interface, wire order; 0: none. */
  external: number;
  /** It is on a private network, too. */
  conflicts: boolean;
  gone: readonly string[];
}

export class Announcer {
  readonly #host: AnnouncerHost;
  /** Undefined until the gateway is up. */
  #last: Seen | undefined;
  /** The line that was said last. */
  #line = '';
  /** In the line that last said so; undefined until packets can be translated. */
  #toldExternal: number | undefined;

  constructor(host: AnnouncerHost) {
    this.#host = host;
  }

  announce(view: HostView): void {
    const { options, manager, log, say } = this.#host;
    const external = view.devices.at(-1)!.address;
    const conflicts = view.conflict !== null;
    const last = this.#last;
    const isSameGone = (last?.gone ?? []).join() === view.gone.join();
    if (external === last?.external && conflicts === last.conflicts && isSameGone) return;
    this.#last = { external, conflicts, gone: view.gone };
    if (last !== undefined && external !== last.external) {
      const [before, after] = [addressText(last.external), addressText(external)];
      say({ event: 'address', interface: options.public, before, after });
    }
    const back = (last?.gone ?? []).filter((name) => !view.gone.includes(name));
    for (const name of back) this.#interface('back', `${name} is back`);
    for (const name of view.gone) {
      if (!last?.gone.includes(name)) this.#interface('waiting', `${name} was deleted or renamed`);
    }
    this.#host.record({ external: addressText(external), waiting: [...view.gone] });

    const { line, isReady } = announcement(view, options, this.#toldExternal === undefined);
    // All is as before: what was said then still holds.
    const isOnlyBack = isReady && external === this.#toldExternal && back.length > 0;
    if (isReady) this.#toldExternal = external;
    if (!isOnlyBack && line !== this.#line) log(line);
    this.#line = line;
    const status = isOnlyBack ? announcement(view, options, true).line : line;
    // A service is up when all is set up: without an address it has nothing more to do than to wait.
    if (last === undefined) manager.ready(status);
    else manager.status(status);
  }

  #interface(what: 'waiting' | 'back', text: string): void {
    this.#host.log(text, what === 'waiting' ? 'warning' : 'info');
    this.#host.say({ event: 'engine', what, text });
  }
}

/** Null: none. */
function addressText(address: number): string | null {
  return address === 0 ? null : formatAddress(address);
}
