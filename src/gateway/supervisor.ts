/**
 * `natgate run`: the process that is root and stays small. It sets the host up, hands the descriptors to the engine
 * process, follows the host, and takes everything back.
 *
 *     preflight ─▶ claim ─▶ Gateway: set up ─▶ engine ─▶ programs ─▶ ready
 *                                                          │ a signal, or a failure
 *                    undo in reverse ◀─ engine stopped ◀─ programs off
 *
 * SIGHUP reads the configuration again where it is in a file (reload/); from the command line alone there is nothing to read, and
 * it ends the gateway as SIGTERM does. So a terminal that closes leaves a gateway that runs, or a host that is as it was.
 *
 * Invariant: once the journal is open there is no way out of runGateway but through `Gateway.stop`, which undoes
 * everything (or, with `--linger`, leaves someone who will).
 */
import { NatgateError } from '../core/errors.ts';
import { readInterfaces } from '../host/interfaces.ts';
import { openJournal } from '../host/plan/claim.ts';
import { requireHost } from '../host/preflight.ts';
import { checkServices, startServices } from './control/services.ts';
import { Gateway } from './gateway.ts';
import { queueNames, takeKeptQueues } from './kept-queues.ts';
import { type Log, logger } from './log.ts';
import { ServiceManager } from './notify.ts';
import { limitSupervisor } from './privileges.ts';
import { foresee } from './reload/plan.ts';
import { type Reload, reloader } from './reload/reload.ts';
import { RunningConfig, type RunningSource } from './reload/running.ts';
import { runDirectory } from './run/run-record.ts';
import { statesOf } from './run/state-reader.ts';
import { recordOf } from './status.ts';
import type { Handed } from './takeover/handover.ts';
import { offerTakeover } from './takeover/handover.ts';
import { Predecessor } from './takeover/predecessor.ts';
import { engineCredentials } from './user.ts';
import { workersWarning } from './workers-option.ts';

const STOP_SIGNALS: NodeJS.Signals[] = ['SIGTERM', 'SIGINT'];

/** How a gateway begins. */
export interface RunWays {
  /** A file of saved flows that it begins with. */
  restore?: string | undefined;
  /** In the place of one that runs. */
  takeover?: boolean | undefined;
}

/**
 * Runs a gateway until SIGTERM or SIGINT, or SIGHUP without a file; `warnings`: of the configuration. Everything it changed is
 * undone when the promise settles. Says on stderr what a person should know. Rejects with NatgateError when the gateway cannot start or
 * cannot go on.
 */
export async function runGateway(
  source: RunningSource,
  warnings: readonly string[] = [],
  { restore, takeover: isTakeover = false }: RunWays = {},
): Promise<void> {
  const { options } = source;
  // First of all: from here on a signal does not end the process between two steps.
  const end = endOfRun();
  const hangUp = onHangUp(options.configPath === null ? end.stop : null);
  let log = logger(options.log, (text) => process.stderr.write(text));
  for (const line of warnings) log(line, 'warning');
  const credentials = engineCredentials(options.user);
  const { name, stateRoot, ports, nat, dns } = options;
  const interfaces = {
    private: options.private.map((inside) => inside.name),
    networks: options.private.map((inside) => inside.networks),
    public: options.public,
  };
  const names = [...interfaces.private, interfaces.public];
  const directory = runDirectory(stateRoot, name);
  const shape = { interfaces: names, workers: options.workers, flows: options.flows };
  const predecessor = isTakeover ? await Predecessor.ask(directory, name, shape) : undefined;
  const from = predecessor?.process.pid;
  for (const { what, remedy } of requireHost({ interfaces, ports, nat, dns, name, stateRoot, from })) {
    log(what, 'warning', remedy);
  }

  const tooMany = workersWarning(options.workers);
  if (tooMany !== null) log(tooMany, 'warning');
  const outside = readInterfaces([options.public]).flatMap(({ addresses }) =>
    addresses.map((one) => one.address),
  );
  await checkServices(options, outside, isTakeover);
  const environment = { ...predecessor?.environment, ...process.env };
  const manager = new ServiceManager(environment);
  const journal = openJournal({ stateRoot, name, interfaces: [...new Set(names)], from });
  // Those of devices that the journal does not know are gone with them.
  const kept = takeKeptQueues(process.env, journal.adopted ? options.workers : 0);
  if (kept.queues === null) manager.forget(kept.names);
  const say: Log = (line, level, hint) => log(line, level, hint);
  limitSupervisor((line) => say(line, 'warning'));
  const { flags } = source;
  const gateway = new Gateway({
    options,
    flags,
    names,
    credentials,
    ...(restore !== undefined && { restore }),
    journal,
    manager,
    log: say,
    fail: end.fail,
    inherited: predecessor?.inherited ?? (kept.queues === null ? undefined : { queues: kept.queues }),
    predecessor,
  });
  const running = new RunningConfig(source, {
    async reconfigure(next) {
      const taken = await gateway.reconfigure(next);
      log = logger(next.log, (text) => process.stderr.write(text));
      return taken;
    },
    foresee: (next) => foresee(gateway.options, next, statesOf(recordOf(options), true)),
  });
  const ask = reloader({ running, log: say, directory });
  const reload: Reload = async () => {
    const done = await ask();
    const { applied, problems } = done.result;
    if (!applied) {
      gateway.events?.say({ event: 'reload', applied, text: problems.join('; '), ended: 0, kept: 0 });
    }
    return done;
  };
  let services: Promise<() => void> | undefined;
  let failure: unknown;
  let heir: number | null = null;
  let takeovers: { close(): void } | undefined;
  const serve = async () => {
    services = startServices(running, reload, gateway, say);
    await services;
  };
  const endServices = async () => (await services?.catch(() => undefined))?.();
  const handed: Handed = {
    shape,
    descriptors: () => gateway.descriptors(),
    async suspend() {
      await endServices();
      await gateway.suspend();
    },
    async resume() {
      gateway.resume();
      await serve().catch((error: Error) => say(error.message, 'error'));
    },
    handedOver(pid) {
      heir = pid;
      end.stop();
    },
  };
  try {
    await Promise.race([gateway.start(serve), end.promise]);
    manager.keep(gateway.descriptors()?.queues ?? []);
    takeovers = offerTakeover(directory, handed, environment, say);
    if (predecessor !== undefined) {
      journal.isShared = false;
      await predecessor.release();
    }
    if (options.configPath !== null) hangUp.reloads(reload);
    await end.promise;
  } catch (error) {
    failure = error;
  }
  takeovers?.close();
  const queues = gateway.descriptors()?.queues ?? [];
  if (heir === null) manager.stopping();
  else manager.follow(heir);
  // They may be about to come up.
  await endServices();
  try {
    // What another process has, or goes on with, is not this one's to undo.
    const isOthers = heir !== null || journal.isShared;
    const lingerSeconds = isOthers ? null : failure === undefined ? gateway.options.lingerSeconds : 0;
    if (lingerSeconds === 0) manager.forget(queueNames(queues).map(({ name }) => name));
    await gateway.stop(lingerSeconds);
  } catch (error) {
    if (failure === undefined) throw error;
    log((error as Error).message, 'error');
  }
  if (journal.isShared) predecessor?.abandon();
  if (failure !== undefined) throw failure;
}

/**
 * SIGHUP: `stop`, or what reloads() says, from when it says it: one that came before is heard then. There must be a handler from the
 * start: without one the signal would end the process and leave the host as it is.
 */
function onHangUp(stop: (() => void) | null): { reloads(reload: Reload): void } {
  let isPending = false;
  let act = () => {
    isPending = true;
  };
  process.on('SIGHUP', stop ?? (() => act()));
  return {
    reloads(reload) {
      act = () => void reload();
      if (isPending) act();
    },
  };
}

/**
 * What ends a gateway: a signal resolves, a failure rejects, whichever comes first. The handlers stay, so that a
 * second signal does not interrupt the undoing.
 */
function endOfRun(): { promise: Promise<void>; stop: () => void; fail: (error: Error) => void } {
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
  return { promise, stop, fail };
}
