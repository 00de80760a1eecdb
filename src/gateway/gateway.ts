/**
 * A gateway on this host: all that is set up for one, in the order in which it comes up.
 *
 *     TUNs, settings, clsact (journal) ─▶ maps ─▶ state file ─▶ follower ─▶ engine process ─▶ programs, addresses (journal)
 *
 * The engine forwards before a program sends it a packet, so none is lost to a start; on the way down dedicated
 * addresses and programs go first. Between the two the host is followed: routes go to the steering's map and to the engine, addresses and
 * MTUs to the engine and into the programs, held ports and failed neighbours to the engine.
 */
import { closeSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { NatgateError } from '../core/errors.ts';
import type { Reconfiguration } from '../engine/reconfigure.ts';
import { privateNetworks, readInterfaces } from '../host/interfaces.ts';
import { applyPlan } from '../host/plan/apply.ts';
import { hostPlan } from '../host/plan/host-plan.ts';
import { createOwnedMap } from '../host/steering/owned-map.ts';
import { RouteMap } from '../host/steering/routes-map.ts';
import { addon } from '../link/addon.ts';
import { dedicatedPrefixes } from '../nat/dedicated.ts';
import { ruleNames } from '../policy/firewall/compile.ts';
import { formatAddress } from '../wire/address.ts';
import { announcement } from './announcement.ts';
import { type Live, liveOf } from './capture/live.ts';
import { Taps } from './capture/taps.ts';
import { DedicatedAddresses, removeAddresses } from './dedicated-addresses.ts';
import { EngineKeeper } from './engine-keeper.ts';
import type { EventHub } from './events/hub.ts';
import { eventSettings } from './events/settings.ts';
import { firstRecord } from './first-record.ts';
import type { GatewaySetup } from './gateway-setup.ts';
import { HostFollower, type HostView } from './host-follower.ts';
import { undoLater } from './linger.ts';
import { forPrivateNetworks } from './nat-options.ts';
import type { RunOptions } from './options.ts';
import { setQueueLength } from './queue-reserve.ts';
import { readApplied, writeApplied } from './reload/applied.ts';
import { difference } from './reload/difference.ts';
import { HostChange, requireReloadable } from './reload/host-change.ts';
import { changeLines, endedCount, type Taken } from './reload/result.ts';
import { namesByNumber, numberRules } from './reload/rule-numbers.ts';
import { Resolvers } from './resolvers.ts';
import { RunMemory } from './run-memory.ts';
import { type RunRecord, runDirectory, writeRunRecord } from './run-record.ts';
import { startMessage } from './start-message.ts';
import { Steering, steeringNeeds } from './steering.ts';
import { undoAll } from './teardown.ts';
import { feedWatchdog } from './watchdog.ts';

export class Gateway {
  readonly #setup: GatewaySetup;
  readonly #directory: string;
  /** In force: those of the start, or of the last reload, with the numbers of rules. */
  #options: RunOptions;
  #follower: HostFollower | undefined;
  readonly #addresses: DedicatedAddresses;
  /** What to close, last first. */
  readonly #open: (() => void)[] = [];
  #engine: EngineKeeper | undefined;
  #steering: Steering | undefined;
  #memory: RunMemory | undefined;
  #resolvers: Resolvers | undefined;
  #taps: Taps | undefined;
  #record: RunRecord | undefined;
  /** Address of the public interface that was told last, wire order; undefined until the gateway is up. */
  #external: number | undefined;
  #wasReady = false;
  /** Queues with their devices, and the owned map, once they are open. */
  #descriptors: { queues: { device: string; fd: number }[]; ownedFd: number } | null = null;
  /** Whether the public address is on a private network, too. */
  #conflicts = false;
  #stopping = false;
  #isSuspended = false;

  constructor(setup: GatewaySetup) {
    this.#setup = setup;
    this.#options = setup.options;
    this.#directory = runDirectory(setup.options.stateRoot, setup.options.name);
    this.#addresses = new DedicatedAddresses(setup.options.nat, setup.journal, setup.log);
  }

  /**
   * Resolves when packets flow; before it says that it is ready it waits for `beforeReady`. After a rejection, and at any other moment,
   * `stop` takes everything back.
   */
  async start(beforeReady: () => Promise<void>): Promise<void> {
    const { names, journal, manager, credentials, log } = this.#setup;
    // Flows of an earlier run remember its rules by number.
    const earlier = journal.adopted ? readApplied(this.#directory) : null;
    const nat = numberRules(earlier?.options.nat.rules ?? [], this.#setup.options.nat);
    const options: RunOptions = { ...this.#setup.options, nat };
    this.#options = options;
    const networks = options.private.map((inside) => inside.networks);
    const { inherited, predecessor } = this.#setup;
    const facts = readInterfaces(names, networks);
    const plan = hostPlan({ ...options, interfaces: facts, queues: inherited?.queues });
    this.#open.push(() => plan.tuns.forEach((tun) => void tun.close()));
    applyPlan(plan.steps, journal);

    const routes = RouteMap.create();
    const ownedFd = inherited?.ownedFd ?? createOwnedMap();
    this.#open.push(
      () => routes.close(),
      () => closeSync(ownedFd),
    );
    const from = predecessor !== undefined ? 'running' : journal.adopted ? 'earlier' : 'nobody';
    const memory = new RunMemory(this.#directory, options, from, log);
    const { events } = memory;
    this.#memory = memory;
    this.#open.push(() => memory.close());
    // While another supervisor follows the rings, this one does not.
    if (predecessor === undefined) events.configure(eventSettings(options));
    const taps = new Taps(memory.tapFiles, (filters) => this.#engine?.tap(filters) ?? Promise.resolve());
    this.#taps = taps;
    this.#open.push(() => taps.close());

    const follower = this.#follow();
    this.#follower = follower;
    this.#open.push(() => follower.close());
    const resolvers = new Resolvers((dns) => this.#engine?.send({ type: 'dns', dns }), log);
    this.#resolvers = resolvers;
    resolvers.follow(options.dns);
    this.#open.push(() => resolvers.follow(null));
    this.#record = firstRecord(options, memory.path);
    writeRunRecord(this.#directory, this.#record);
    writeApplied(this.#directory, { options, flags: this.#setup.flags ?? {} });

    const engineFacts = { options, names, credentials, memory, taps };
    // Children inherit it: whatever the engine process starts or becomes, it never gains a privilege.
    addon().noNewPrivileges();
    const devices = plan.tuns.map(({ device }) => device);
    const queues = plan.tuns.flatMap(({ device, fds }) => fds.map((fd) => ({ device, fd })));
    this.#descriptors = { queues, ownedFd };
    this.#engine = new EngineKeeper({
      fds: [...plan.tuns.flatMap((tun) => tun.fds), ...memory.fds, ownedFd],
      workers: options.workers,
      settings: () => {
        const { view, held } = follower;
        return startMessage(engineFacts, this.#settings(view), view, held, resolvers.state);
      },
      onReady: () => {
        log('the packet engine forwards again');
        events.say({ event: 'engine', what: 'restarted' });
      },
      standby: options.standby,
      onOutage: (isOne) => setQueueLength(devices, options.txQueueLength, isOne),
      onDeath: (text) => events.say({ event: 'engine', what: 'died', text }),
      onBrokenQueue: (message) => this.#setup.fail(new NatgateError('device_gone', message)),
      emptyState: () => memory.empty(),
      log,
    });
    await this.#engine.start(predecessor === undefined ? null : () => predecessor.stop());
    if (predecessor !== undefined) events.configure(eventSettings(options));
    if (this.#stopping) return;
    events.say({ event: 'engine', what: 'started', adopted: memory.isAdopted });

    const tuns = readInterfaces(plan.tuns.map((tun) => tun.device));
    const steering = new Steering(
      { routes, ownedFd },
      steeringNeeds(options.nat, options.dns !== null),
      tuns,
      follower.view,
    );
    const { steps, close } = steering.steps();
    const outside = follower.view.interfaces.at(-1)!;
    const addressSteps = this.#addresses.steps(outside);
    removeAddresses(journal, new Set(addressSteps.map((step) => step.name)));
    try {
      applyPlan([...steps, ...addressSteps], journal);
    } finally {
      close();
    }
    this.#steering = steering;
    this.#addresses.announce(outside);

    const watchdog = feedWatchdog(manager, memory.heartbeats());
    this.#open.push(() => watchdog.close());
    await beforeReady();
    if (this.#stopping) return;
    this.#announce(follower.view);
  }

  /** What another process needs to go on with it; null while it is not up. */
  descriptors() {
    return this.#wasReady && !this.#stopping ? this.#descriptors : null;
  }

  /** Forwards no more, and does nothing to the host; resume() goes on at once. */
  async suspend(): Promise<void> {
    this.#isSuspended = true;
    // What the engine writes from now on stays in the rings. It stops last: packets wait from then on.
    await this.events?.pause();
    await this.#engine?.suspend();
  }

  resume(): void {
    this.#isSuspended = false;
    this.#setup.journal.reclaim();
    writeRunRecord(this.#directory, this.#record!);
    writeApplied(this.#directory, { options: this.#options, flags: this.#setup.flags ?? {} });
    this.#memory!.events.configure(eventSettings(this.#options, this.#record?.rules));
    this.#engine?.resume();
    this.#steering?.update(this.#follower!.view);
  }

  /** Captures, traces, drops. */
  get live(): Live {
    return liveOf(
      () => this.#taps,
      () => this.#record,
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
    const steering = this.#steering;
    if (
      follower === undefined ||
      engine === undefined ||
      steering === undefined ||
      this.#stopping ||
      this.#isSuspended
    ) {
      throw new NatgateError('not_ready', 'the gateway is not up', 'reload it when it is');
    }
    const before = this.#options;
    const next: RunOptions = { ...asked, nat: numberRules(before.nat.rules, asked.nat) };
    const changes = difference(before, next);
    requireReloadable(changes, next, names);
    const outside = () => follower.view.interfaces.at(-1)!;
    const host = new HostChange(
      { follower, steering, addresses: this.#addresses, journal, outside },
      before,
      next,
    );
    this.events?.reserve(next.events);
    host.prepare();
    this.events?.configure(eventSettings(next, this.#record?.rules));
    this.#options = next;
    const done = await engine.reconfigure(this.#settings(follower.view));
    this.#resolvers?.follow(next.dns);
    const leftovers = host.finish();
    const record = this.#record!;
    this.#record = {
      ...record,
      rules: namesByNumber(next.nat.rules, record.rules),
      firewallRules: ruleNames(next.firewall),
      timeouts: next.timeouts,
    };
    writeRunRecord(this.#directory, this.#record);
    writeApplied(this.#directory, { options: next, flags: this.#setup.flags ?? {} });
    const { ended, kept } = done ?? { ended: [], kept: 0 };
    const taken = { changes, ended, kept, restarted: done === null, leftovers };
    const text = changeLines(changes).join('; ');
    this.events?.say({ event: 'reload', applied: true, text, ended: endedCount(taken), kept });
    return taken;
  }

  /** What is written down of it for other processes; null before it is up. */
  get record(): RunRecord | null {
    return this.#record ?? null;
  }

  /** Ends flows of a worker, pairs of number and H_SEQUENCE, at most DELETED_AT_ONCE; null: there is no engine at the moment. */
  deleteFlows(worker: number, flows: Int32Array): Promise<number | null> {
    return this.#engine?.deleteFlows(worker, flows) ?? Promise.resolve(null);
  }

  /** Once there are any. */
  get events(): EventHub | undefined {
    return this.#memory?.events;
  }

  /** What the engine is told of the configuration in force. */
  #settings({ interfaces }: HostView): Reconfiguration {
    const { nat, firewall, timeouts, helpers, clampMss, evict, unsolicited } = this.#options;
    const numbered = forPrivateNetworks(nat, privateNetworks(interfaces));
    return { nat: numbered, firewall, timeouts, helpers, clampMss, evict, unsolicited };
  }

  /**
   * Takes everything back; with `lingerSeconds` only the engine and this process go now, the rest later; with null the rest stays: it is
   * another process's. Throws NatgateError `undo_failed`.
   */
  async stop(lingerSeconds: number | null): Promise<void> {
    const { options, journal, log } = this.#setup;
    this.#stopping = true;
    this.#addresses.close();
    if (lingerSeconds === 0) {
      removeAddresses(journal);
      this.#steering?.detach();
    }
    await this.#engine?.stop();
    const lingers = lingerSeconds === null || (lingerSeconds > 0 && this.#record !== undefined);
    this.events?.say({ event: 'engine', what: lingers ? 'lingering' : 'stopping' });
    await this.events?.close(lingers ? null : this.#memory!.states());
    for (const close of this.#open.splice(0).reverse()) close();
    if (lingerSeconds === null) return;
    if (lingerSeconds > 0 && this.#record !== undefined) {
      const until = new Date(Date.now() + 1000 * lingerSeconds).toISOString();
      writeRunRecord(this.#directory, { ...this.#record, lingersUntil: until });
      undoLater(options, lingerSeconds, journal.header.owner);
      return;
    }
    for (const { step, why } of undoAll(options, journal.header.owner).kept)
      log(`left as it is: ${step}: ${why}`);
  }

  #follow(): HostFollower {
    const { names, options, fail, log } = this.#setup;
    const dedicated = dedicatedPrefixes(options.nat);
    return new HostFollower(
      { names, networks: options.private.map((inside) => inside.networks), ports: options.ports, dedicated },
      {
        onHostChange: (view, before) => this.#hostChanged(view, before),
        onHeldPorts: (protocol, ports) => this.#engine?.send({ type: 'heldPorts', protocol, ports }),
        onNeighbour: (device, address, failed) =>
          this.#engine?.send({ type: 'neighbour', device, address, failed }),
        onInterfaceGone: (name) =>
          fail(
            new NatgateError('interface_gone', `${name} was deleted`, 'start natgate again when it is back'),
          ),
        onError: (error) => log(`a change of the host could not be followed: ${(error as Error).message}`),
      },
    );
  }

  /** Before the programs are on there is nothing to keep up with: they are made from the newest view. */
  #hostChanged(view: HostView, before: HostView): void {
    view.devices.forEach((device, index) => {
      if (!isDeepStrictEqual(device, before.devices[index]))
        this.#engine?.send({ type: 'device', index, device });
    });
    if (!isDeepStrictEqual(view.routes, before.routes)) {
      this.#steering?.syncRoutes(view);
      this.#engine?.send({ type: 'routes', routes: view.routes });
    }
    if (this.#steering === undefined || this.#stopping || this.#isSuspended) return;
    this.#steering.update(view);
    this.#addresses.follow(view.interfaces.at(-1)!, before.interfaces.at(-1)!);
    this.#announce(view);
  }

  /** Says what the world sees of the gateway, when that is new. */
  #announce(view: HostView): void {
    const { options, manager, log } = this.#setup;
    const external = view.devices.at(-1)!.address;
    const conflicts = view.conflict !== null;
    if (external === this.#external && conflicts === this.#conflicts) return;
    const isFirst = this.#external === undefined;
    const addressText = (address: number) => (address === 0 ? null : formatAddress(address));
    if (!isFirst && external !== this.#external) {
      const [before, after] = [addressText(this.#external!), addressText(external)];
      this.events?.say({ event: 'address', interface: options.public, before, after });
    }
    this.#external = external;
    this.#conflicts = conflicts;
    this.#record = { ...this.#record!, external: addressText(external) };
    writeRunRecord(this.#directory, this.#record);

    const { line, isReady } = announcement(view, options, !this.#wasReady);
    this.#wasReady ||= isReady;
    log(line);
    // A service is up when all is set up: without an address it has nothing more to do than to wait.
    if (isFirst) manager.ready(line);
    else manager.status(line);
  }
}
