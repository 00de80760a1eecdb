/** What a gateway is made of. */
import type { Journal } from '../host/plan/journal.ts';
import type { RunArguments } from './config/flags.ts';
import type { Log } from './log.ts';
import type { ServiceManager } from './notify.ts';
import type { RunOptions } from './options.ts';
import type { Inherited, Predecessor } from './takeover/predecessor.ts';
import type { Credentials } from './user.ts';

export interface GatewaySetup {
  /** As configured at the start. */
  options: RunOptions;
  /** Those of the command line, which are stronger than the file. */
  flags?: RunArguments;
  /** Served interfaces by device index: private ones first, the public one last. */
  names: readonly string[];
  credentials: Credentials;
  /** A file of saved flows to begin with. */
  restore?: string;
  /** Claimed for this process. */
  journal: Journal;
  manager: ServiceManager;
  log: Log;
  /** Of a gateway that runs, or of one that the service manager kept something of. */
  inherited?: Inherited | undefined;
  /** The gateway that runs, and gives way when the engine of this one stands by. */
  predecessor?: Pick<Predecessor, 'stop'> | undefined;
  /** Called when the gateway cannot go on. */
  fail(error: Error): void;
}
