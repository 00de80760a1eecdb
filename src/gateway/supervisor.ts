/**
 * `natgate run`: the process that is root and stays small. It sets the host up, hands the descriptors to the engine
 * process, follows the host, and takes everything back.
 *
 *     preflight ─▶ claim ─▶ Gateway: set up ─▶ engine ─▶ programs ─▶ ready
 *                                                          │ a signal, or a failure
 *                    undo in reverse ◀─ engine stopped ◀─ programs off
 *
 * Invariant: once the journal is open there is no way out of runGateway but through `Gateway.stop`, which undoes
 * everything (or, with `--linger`, leaves someone who will).
 */
import { NatgateError } from '../core/errors.ts';
import { readInterfaces } from '../host/interfaces.ts';
import { openJournal } from '../host/plan/claim.ts';
import { requireHost } from '../host/preflight.ts';
import type { RunningSource } from './control/running.ts';
import { checkServices, startServices } from './control/services.ts';
import { Gateway } from './gateway.ts';
import { logger } from './log.ts';
import { ServiceManager } from './notify.ts';
import { engineCredentials } from './user.ts';
import { workersWarning } from './workers-option.ts';

/** SIGHUP: the terminal has gone; without a handler it would end the process and leave the host as it is. */
const STOP_SIGNALS: NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGHUP'];

/**
 * Runs a gateway until SIGTERM, SIGINT or SIGHUP; `warnings`: of the configuration. Everything it changed is undone when the promise settles. Says on
 * stderr what a person should know. Rejects with NatgateError when the gateway cannot start or cannot go on.
 */
export async function runGateway(source: RunningSource, warnings: readonly string[] = []): Promise<void> {
  const { options } = source;
  // First of all: from here on a signal does not end the process between two steps.
  const end = endOfRun();
  const log = logger(options.log, (text) => process.stderr.write(text));
  for (const line of warnings) log(line, 'warning');
  const credentials = engineCredentials(options.user);
  const { name, stateRoot, ports, nat } = options;
  const interfaces = { private: options.private.map((inside) => inside.name), public: options.public };
  for (const { what, remedy } of requireHost({ interfaces, ports, nat, name, stateRoot })) {
    log(what, 'warning', remedy);
  }

  const tooMany = workersWarning(options.workers);
  if (tooMany !== null) log(tooMany, 'warning');
  const names = [...interfaces.private, interfaces.public];
  const outside = readInterfaces([options.public]).flatMap(({ addresses }) =>
    addresses.map((one) => one.address),
  );
  await checkServices(options, outside);
  const manager = new ServiceManager(process.env);
  const journal = openJournal({ stateRoot, name, interfaces: names });
  const gateway = new Gateway({ options, names, credentials, journal, manager, log, fail: end.fail });
  let services: (() => void) | undefined;
  let failure: unknown;
  try {
    await Promise.race([gateway.start(), end.promise]);
    services = await startServices(source, (next) => gateway.apply(next), log);
    await end.promise;
  } catch (error) {
    failure = error;
  }
  manager.stopping();
  services?.();
  try {
    await gateway.stop(failure === undefined ? options.lingerSeconds : 0);
  } catch (error) {
    if (failure === undefined) throw error;
    log((error as Error).message, 'error');
  }
  if (failure !== undefined) throw failure;
}

/**
 * What ends a gateway: a signal resolves, a failure rejects, whichever comes first. The handlers stay, so that a
 * second signal does not interrupt the undoing.
 */
function endOfRun(): { promise: Promise<void>; fail: (error: Error) => void } {
  let stop!: () => void;
  let fail!: (error: Error) => void;
  const promise = new Promise<void>((resolve, reject) => {
    stop = resolve;
    fail = reject;
  });
  // Nobody waits for it yet when a failure comes early.
  promise.catch(() => {});
  // A reader of stderr that has gone is no reason to stop.
  process.stderr.on('error', () => {});
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', (reason) => {
    fail(reason instanceof Error ? reason : new NatgateError('internal', String(reason)));
  });
  return { promise, fail };
}
