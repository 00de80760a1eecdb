/**
 * What disasters act on: the network, the gateway that runs at the moment, its configuration file. A gateway that was killed or stopped is
 * followed by another one under the same name.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Natgate, READY } from '../netns/support/natgate.ts';
import { Background, sleep } from '../netns/support/process.ts';
import type { Random } from '../netns/support/random.ts';
import { ip, type Namespace } from '../netns/support/topology.ts';
import { configuration, FIRST_VARIANT, type Variant } from './configuration.ts';
import { activeEngine } from './engines.ts';
import { NEXT_HOP, type Network, PUBLIC, type RelayFaults } from './network.ts';

const START_MS = 100_000;

export class World {
  readonly network: Network;
  readonly random: Random;
  /** The gateway that runs. */
  natgate: Natgate;
  /** All gateways that ran, the present one last: for their logs. */
  readonly gateways: Natgate[] = [];
  /** What the relay does when no disaster says otherwise. */
  readonly usual: RelayFaults;
  /** The address outside at the moment. */
  publicAddress = PUBLIC;
  variant: Variant = FIRST_VARIANT;
  private readonly args: readonly string[];

  private constructor(network: Network, random: Random, usual: RelayFaults, args: readonly string[]) {
    this.network = network;
    this.random = random;
    this.usual = usual;
    this.args = args;
    network.setFaults(usual);
    this.configure(this.variant);
    this.natgate = this.launch();
  }

  static async create(
    network: Network,
    random: Random,
    usual: RelayFaults,
    args: readonly string[],
  ): Promise<World> {
    const world = new World(network, random, usual, args);
    await world.natgate.process.shows(READY, START_MS);
    return world;
  }

  get gateway(): Namespace {
    return this.network.gateway;
  }

  get configPath(): string {
    return join(this.gateway.stateRoot, 'chaos.yaml');
  }

  /** Writes the file; a reload or a start puts it in force. */
  configure(variant: Variant, linger = 0): void {
    this.variant = variant;
    mkdirSync(this.gateway.stateRoot, { recursive: true });
    writeFileSync(this.configPath, configuration(variant, linger));
  }

  /** Starts another gateway under the same name, which is the present one from then on. */
  launch(args: readonly string[] = []): Natgate {
    const all = ['--config', this.configPath, ...this.args, ...args];
    this.natgate = Natgate.launch(this.gateway, all, 'chaos');
    this.gateways.push(this.natgate);
    return this.natgate;
  }

  /** The same, and waits until it forwards. */
  async start(args: readonly string[] = []): Promise<void> {
    await this.launch(args).process.shows(READY, START_MS);
  }

  /** Kills the engine process that forwards; its pid. */
  async killEngine(): Promise<number> {
    const pid = await activeEngine(this.natgate.process.pid);
    process.kill(pid, 'SIGKILL');
    return pid;
  }

  /** A time by chance, ms. */
  between(least: number, most: number): number {
    return least + this.random.below(most - least + 1);
  }

  pause(least: number, most: number): Promise<void> {
    return sleep(this.between(least, most));
  }

  /** An `ip` command on the gateway. */
  async ip(command: string): Promise<void> {
    await ip(this.gateway, command);
  }

  /** Puts the default route back, which goes with an address or an interface. */
  async restoreRoute(): Promise<void> {
    await this.ip(`route replace default via ${NEXT_HOP}`);
  }

  /** Whether a verb of the command line knows a word: what this natgate can. */
  async knows(verb: string, word: string): Promise<boolean> {
    const { stdout } = await this.natgate.cli(verb, ['--help'], { check: false });
    return stdout.includes(word);
  }

  /** Runs a program in a namespace for some seconds, over and over where it ends before. */
  async flood(ns: Namespace, argv: readonly string[], seconds: number): Promise<void> {
    const end = Date.now() + seconds * 1000;
    while (Date.now() < end) {
      const flood = new Background(ns.argv(argv));
      const over = setTimeout(() => flood.child.kill('SIGKILL'), end - Date.now());
      await flood.ended;
      clearTimeout(over);
    }
  }
}
