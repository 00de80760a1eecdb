/**
 * A gateway on this host: all that is set up for one, in the order in which it comes up.
 *
 *     TUNs, settings, clsact (journal) ─▶ maps ─▶ state file ─▶ follower ─▶ engine process ─▶ programs, addresses (journal)
 *
 * The engine forwards before a program sends it a packet, so none is lost to a start; on the way down dedicated
 * addresses and programs go first. Between the two the host is followed: routes go to the steering's map and to the engine, addresses and
 * MTUs to the engine and into the programs, held ports and failed neighbours to the engine. What others undo of all that is put right
 * (upkeep.ts); an interface that is deleted is waited for.
 */
import { closeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { NatgateError } from '../core/errors.ts';
import { readInterfaces } from '../host/interfaces.ts';
import { applyPlan } from '../host/plan/apply.ts';
import { type HostPlan, hostPlan } from '../host/plan/host-plan.ts';
import { createMeterMap } from '../host/steering/meter.ts';
import { createOwnedMap } from '../host/steering/owned-map.ts';
import { RouteMap } from '../host/steering/routes-map.ts';
import { dedicatedPrefixes } from '../nat/dedicated.ts';
import { ruleNames } from '../policy/firewall/compile.ts';
import { type Live, liveOf } from './capture/live.ts';
import { Taps } from './capture/taps.ts';
import type { EngineKeeper } from './engines/engine-keeper.ts';
import { reconfigurationOf } from './engines/engine-settings.ts';
import { makeEngine } from './engines/make-engine.ts';
import type { EventHub, Said } from './events/hub.ts';
import { eventSettings } from './events/settings.ts';
import type { GatewaySetup } from './gateway-setup.ts';
import { Announcer } from './host/announcer.ts';
import { type Flood, watchFloods } from './host/flood-watch.ts';
import { HostFollower, type HostView } from './host/host-follower.ts';
import { HostSide } from './host/host-side.ts';
import { steeringNeeds } from './host/steering.ts';
import { Tuns } from './host/tuns.ts';
import { undoLater } from './linger.ts';
import type { RunOptions } from './options.ts';
import { readApplied } from './reload/applied.ts';
import { difference } from './reload/difference.ts';
import { HostChange, requireReloadable } from './reload/host-change.ts';
import { changeLines, endedCount, type Taken } from './reload/result.ts';
import { namesByNumber, numberRules } from './reload/rule-numbers.ts';
import { Resolvers } from './resolvers.ts';
import { firstRecord } from './run/first-record.ts';
import { RunFiles } from './run/run-files.ts';
import { RunMemory } from './run/run-memory.ts';
import { type RunRecord, runDirectory } from './run/run-record.ts';
import { type RestoredFlows, restoring } from './saved-flows/restoring.ts';
import { undoAll } from './teardown.ts';
import { feedWatchdog } from './watchdog.ts';

export class Gateway {
  readonly #setup: GatewaySetup;
  /** In force: those of the start, or of the last reload, with the numbers of rules. */
  #options: RunOptions;
  readonly #directory: string;
  readonly #files: RunFiles;
  readonly #host: HostSide;
  readonly #announcer: Announcer;
  /** What to close, last first. */
  readonly #open: (() => void)[] = [];
  #follower: HostFollower | undefined;
  #engine: EngineKeeper | undefined;
  #tuns: Tuns | undefined;
  #ownedFd = -1;
  #memory: RunMemory | undefined;
  #resolvers: Resolvers | undefined;
  #taps: Taps | undefined;
  /** Everything is set up. */
  #isUp = false;
  #stopping = false;
  #isSuspended = false;

  constructor(setup: GatewaySetup) {
    const { options, journal, manager, log } = setup;
    this.#setup = setup;
    this.#options = options;
    this.#directory = runDirectory(options.stateRoot, options.name);
    this.#files = new RunFiles(this.#directory, journal, log);
    const say = (event: Said) => this.events?.say(event);
    const record = (change: Partial<RunRecord>) => this.#record(change);
    this.#announcer = new Announcer({ options, manager, log, say, record });
    const onRepair = (text: string, repairs: Readonly<Record<string, number>>) => {
      say({ event: 'engine', what: 'repaired', text });
      record({ repairs });
    };
    this.#host = new HostSide({ nat: options.nat, journal, files: this.#files, log, onRepair });
  }

  /**
   * Resolves when packets flow; before it says that it is ready it waits for `beforeReady`. After a rejection, and at any other moment,
   * `stop` takes everything back.
   */
  async start(beforeReady: () => Promise<void>): Promise<void> {
    const { manager, log } = this.#setup;
    const { plan, tuns } = this.#prepareHost();
    const { inherited } = this.#setup;
    const meterFd = createMeterMap();
    const maps = { routes: RouteMap.create(), ownedFd: inherited?.ownedFd ?? createOwnedMap(), meterFd };
    this.#tuns = tuns;
    this.#ownedFd = maps.ownedFd;
    this.#open.push(
      () => maps.routes.close(),
      () => closeSync(maps.ownedFd),
      () => closeSync(meterFd),
    );
    const memory = this.#openMemory();
    const follower = this.#follow();
    this.#resolve();
    this.#writeDown(memory);

    const { engine, care } = makeEngine(this.#setup, {
      ...{ directory: this.#directory, memory, tuns, follower, ownedFd: maps.ownedFd },
      ...{ options: () => this.#options, taps: this.#taps!, resolvers: this.#resolvers! },
      record: (news) => this.#record(news),
      onBrokenQueue: () => this.#host.lookNow(),
    });
    this.#engine = engine;
    this.#open.push(() => care.close());
    await this.#begin(engine, memory);
    care.forwards(false);
    if (this.#stopping) return;
    memory.events.say({ event: 'engine', what: 'started', adopted: memory.isAdopted });

    const { nat, dns } = this.#options;
    this.#host.attach({
      maps,
      needs: steeringNeeds(nat, dns !== null),
      tuns,
      follower,
      settings: plan.settings,
      onNewTuns: () => {
        this.#setup.manager.keep(this.descriptors()?.queues ?? []);
        void this.#engine?.renew();
      },
    });
    const record = (flood: Flood) => this.#record({ flood });
    const floods = watchFloods(meterFd, () => tuns.names.slice(0, -1), { log, record });
    this.#open.push(() => floods.close());
    const watchdog = feedWatchdog(manager, memory.heartbeats(), () => care.isStopped);
    this.#open.push(() => watchdog.close());
    await beforeReady();
    if (this.#stopping) return;
    this.#isUp = true;
    this.#announcer.announce(follower.view);
  }

  /** TUNs, settings, clsact. */
  #prepareHost(): { plan: HostPlan; tuns: Tuns } {
    const { names, journal, options: configured } = this.#setup;
    // Flows of an earlier run remember its rules by number.
    const earlier = journal.adopted ? readApplied(this.#directory) : null;
    const nat = numberRules(earlier?.options.nat.rules ?? [], configured.nat);
    this.#options = { ...configured, nat };
    const networks = this.#options.private.map((inside) => inside.networks);
    const { inherited } = this.#setup;
    const facts = readInterfaces(names, networks);
    const plan = hostPlan({ ...this.#options, interfaces: facts, queues: inherited?.queues });
    const tuns = new Tuns(plan);
    this.#open.push(() => tuns.close());
    applyPlan(plan.steps, journal);
    return { plan, tuns };
  }

  /** What outlives engines, the events and the taps in it. */
  #openMemory(): RunMemory {
    const { journal, log, predecessor } = this.#setup;
    const options = this.#options;
    const from = predecessor !== undefined ? 'running' : journal.adopted ? 'earlier' : 'nobody';
    const memory = new RunMemory(this.#directory, options, from, log);
    this.#memory = memory;
    this.#files.memory = memory;
    this.#open.push(() => memory.close());
    // While another supervisor follows the rings, this one does not.
    if (predecessor === undefined) memory.events.configure(eventSettings(options));
    const taps = new Taps(memory.tapFiles, (filters) => this.#engine?.tap(filters) ?? Promise.resolve());
    this.#taps = taps;
    this.#open.push(() => taps.close());
    return memory;
  }

  #resolve(): void {
    const resolvers = new Resolvers((dns) => this.#engine?.send({ type: 'dns', dns }), this.#setup.log);
    this.#resolvers = resolvers;
    resolvers.follow(this.#options.dns);
    this.#open.push(() => resolvers.follow(null));
  }

  /** From here on a disk that cannot be written is no reason to stop. */
  #writeDown({ path }: RunMemory): void {
    this.#files.write(firstRecord(this.#options, path));
    this.#files.writeApplied({ options: this.#options, flags: this.#setup.flags ?? {} });
    this.#files.tolerate();
  }

  /** Resolves when it forwards: with the flows of a file, or in the place of a gateway that forwards until then. */
  async #begin(engine: EngineKeeper, memory: RunMemory): Promise<void> {
    const { restore, predecessor, log } = this.#setup;
    const begin = (between: () => void) => {
      between();
      return engine.start(predecessor === undefined ? null : () => predecessor.stop());
    };
    if (restore === undefined) await begin(() => {});
    else await restoring(restore, memory, this.#files.record!, begin, log);
    if (predecessor !== undefined) memory.events.configure(eventSettings(this.#options));
  }

  /** What another process needs to go on with it; null while it is not up. */
  descriptors(): { queues: { device: string; fd: number }[]; ownedFd: number } | null {
    if (!this.#isUp || this.#stopping) return null;
    return { queues: this.#tuns!.queues, ownedFd: this.#ownedFd };
  }

  /** Forwards no more, and does nothing to the host; resume() goes on at once. */
  async suspend(): Promise<void> {
    this.#isSuspended = true;
    this.#host.isAtRest = true;
    // What the engine writes from now on stays in the rings. It stops last: packets wait from then on.
    await this.events?.pause();
    await this.#engine?.suspend();
  }

  resume(): void {
    this.#isSuspended = false;
    this.#setup.journal.reclaim();
    this.#files.rewrite();
    this.#memory!.events.configure(eventSettings(this.#options, this.#files.record?.rules));
    this.#engine?.resume();
    this.#host.isAtRest = false;
    this.#host.steering?.update(this.#follower!.view);
  }

  /** Captures, traces, drops. */
  get live(): Live {
    return liveOf(
      () => this.#taps,
      () => this.#files.record,
    );
  }

  /** The configuration in force. */
  get options(): RunOptions {
    return this.#options;
  }

  /**
   * Puts another configuration in force, whole or not at all: what the host needs for it comes first, and is taken back where it
   * cannot be had; then the engine has it, from one batch to the next; then what the host no longer needs goes. Throws NatgateError,
   * and nothing has changed. One at a time.
   */
  async reconfigure(asked: RunOptions): Promise<Taken> {
    const { names, journal } = this.#setup;
    const follower = this.#follower;
    const engine = this.#engine;
    const { steering, addresses } = this.#host;
    const isBusy = this.#stopping || this.#isSuspended;
    if (follower === undefined || engine === undefined || steering === undefined || isBusy) {
      throw new NatgateError('not_ready', 'the gateway is not up', 'reload it when it is');
    }
    const before = this.#options;
    const next: RunOptions = { ...asked, nat: numberRules(before.nat.rules, asked.nat) };
    const changes = difference(before, next);
    requireReloadable(changes, next, names);
    const outside = () => follower.view.interfaces.at(-1)!;
    const host = new HostChange({ follower, steering, addresses, journal, outside }, before, next);
    this.events?.reserve(next.events);
    host.prepare();
    const record = this.#files.record!;
    this.events?.configure(eventSettings(next, record.rules));
    this.#options = next;
    const done = await engine.reconfigure(reconfigurationOf(next, follower.view));
    this.#resolvers?.follow(next.dns);
    const leftovers = host.finish();
    this.#record({
      rules: namesByNumber(next.nat.rules, record.rules),
      firewallRules: ruleNames(next.firewall),
      timeouts: next.timeouts,
    });
    this.#files.writeApplied({ options: next, flags: this.#setup.flags ?? {} });
    const { ended, kept } = done ?? { ended: [], kept: 0 };
    const taken = { changes, ended, kept, restarted: done === null, leftovers };
    const text = changeLines(changes).join('; ');
    this.events?.say({ event: 'reload', applied: true, text, ended: endedCount(taken), kept });
    return taken;
  }

  /** What is written down of it for other processes; null before it is up. */
  get record(): RunRecord | null {
    return this.#files.record ?? null;
  }

  /** Ends flows of a worker, pairs of number and H_SEQUENCE, at most DELETED_AT_ONCE; null: there is no engine at the moment. */
  deleteFlows(worker: number, flows: Int32Array): Promise<number | null> {
    return this.#engine?.deleteFlows(worker, flows) ?? Promise.resolve(null);
  }

  /**
   * Takes over the flows of a file; the engine stops for that, and what comes meanwhile waits. Throws NatgateError of the file (SavedFlowsReader),
   * `engine_away`, or the system's error; nothing has changed then.
   */
  async restore(path: string): Promise<RestoredFlows> {
    const memory = this.#memory;
    const engine = this.#engine;
    if (memory === undefined || engine === undefined || this.#stopping || this.#isSuspended) {
      throw new NatgateError('not_ready', 'the gateway is not up', 'restore flows when it is');
    }
    const { log } = this.#setup;
    return restoring(path, memory, this.#files.record!, (between) => engine.restart(between), log);
  }

  /** Once there are any. */
  get events(): EventHub | undefined {
    return this.#memory?.events;
  }

  /**
   * Takes everything back; with `lingerSeconds` only the engine and this process go now, the rest later; with null the rest stays: it is
   * another process's. Throws NatgateError `undo_failed`.
   */
  async stop(lingerSeconds: number | null): Promise<void> {
    const { options, journal, log } = this.#setup;
    this.#stopping = true;
    this.#host.close();
    if (lingerSeconds === 0) this.#host.detach();
    await this.#engine?.stop();
    const isOthers = lingerSeconds === null;
    const lingers = isOthers || (lingerSeconds > 0 && this.#files.record !== undefined);
    this.events?.say({ event: 'engine', what: lingers ? 'lingering' : 'stopping' });
    await this.events?.close(lingers ? null : this.#memory!.states());
    for (const close of this.#open.splice(0).reverse()) close();
    if (isOthers) return;
    // Whoever undoes it reads it from there.
    this.#files.flush();
    if (lingers) {
      const until = new Date(Date.now() + 1000 * lingerSeconds).toISOString();
      this.#record({ lingersUntil: until });
      undoLater(options, lingerSeconds, journal.header.owner);
      return;
    }
    const undone = undoAll(options, journal.header.owner);
    for (const { step, why } of undone.kept) log(`left as it is: ${step}: ${why}`);
  }

  #follow(): HostFollower {
    const { names, log } = this.#setup;
    const options = this.#options;
    const dedicated = dedicatedPrefixes(options.nat);
    const follower = new HostFollower(
      { names, networks: options.private.map((inside) => inside.networks), ports: options.ports, dedicated },
      {
        onHostChange: (view, before) => this.#hostChanged(view, before),
        onHeldPorts: (protocol, ports) => this.#engine?.send({ type: 'heldPorts', protocol, ports }),
        onNeighbour: (device, address, failed) =>
          this.#engine?.send({ type: 'neighbour', device, address, failed }),
        onAnyChange: () => this.#host.look(),
        onError: (error) => log(`a change of the host could not be followed: ${(error as Error).message}`),
      },
    );
    this.#follower = follower;
    this.#open.push(() => follower.close());
    return follower;
  }

  /** Before the programs are on there is nothing to keep up with: they are made from the newest view. */
  #hostChanged(view: HostView, before: HostView): void {
    view.devices.forEach((device, index) => {
      if (!isDeepStrictEqual(device, before.devices[index]))
        this.#engine?.send({ type: 'device', index, device });
    });
    if (!isDeepStrictEqual(view.routes, before.routes)) {
      this.#host.steering?.syncRoutes(view);
      this.#engine?.send({ type: 'routes', routes: view.routes });
    }
    if (this.#stopping || this.#isSuspended) return;
    try {
      this.#host.follow(view, before);
    } finally {
      if (this.#isUp) this.#announcer.announce(view);
    }
  }

  /** Before there is one it is not written. */
  #record(change: Partial<RunRecord>): void {
    const { record } = this.#files;
    if (record !== undefined) this.#files.write({ ...record, ...change });
  }
}
