/** What can happen to a gateway. */
import type { World } from '../world.ts';

export interface Disaster {
  /** For `--only`. */
  name: string;
  /** What happens, in a few words. */
  what: string;
  /**
   * What may break by it: nothing; what begins while it lasts (a host that has no way out is told so); or, of TCP, also what had begun
   * before it was over. Bytes are right in any case.
   */
  mayBreak: 'nothing' | 'new' | 'tcp';
  /** Whether this natgate, on this host, can be expected to get over it; default: it can. */
  possible?: (world: World) => Promise<boolean>;
  /** Does it, and undoes it; what it tells goes into the report. */
  strike: (world: World) => Promise<string | undefined>;
}
