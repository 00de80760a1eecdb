/**
 * The traffic of a chaos run: the programs in the namespaces, and what they have said so far. Transfers and queries of two hosts
 * (traffic-client.ts), and of each a steady stream of datagrams, 1000 a second, whose gaps are what a flow sees of a disaster.
 */
import { fileURLToPath } from 'node:url';
import { compile } from '../../bench/net/tools.ts';
import { type Background, until } from '../netns/support/process.ts';
import type { Namespace } from '../netns/support/topology.ts';
import type { Done, Gap, Pulse } from './done.ts';
import { type Network, REMOTE } from './network.ts';
import { clock, ECHO_PORT } from './stream.ts';

const INTERVAL_US = '1000';
/** Gaps from here on are told, ms. */
export const THRESHOLD_MS = 20;
/** The probe and its echo are let run before others: what they see is to be the gateway's doing. */
const PROMPT = ['nice', '-n', '-15'];

function program(ns: Namespace, name: string, args: readonly string[] = []): Background {
  const path = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  return ns.spawn([process.execPath, '--import', import.meta.resolve('tsx'), path, ...args]);
}

export class Traffic {
  private readonly clients: Reader[] = [];
  private readonly probes: Reader[] = [];
  private readonly pings: Background[] = [];
  private readonly server: Background;

  private constructor(server: Background) {
    this.server = server;
  }

  /** Starts all of it: `transfers` at all times, until `seconds` from now. */
  static async start(network: Network, seed: number, transfers: number, seconds: number): Promise<Traffic> {
    const server = program(network.server, 'traffic-server');
    const traffic = new Traffic(server);
    const echo = network.server.spawn([...PROMPT, await compile('udp-echo'), `${ECHO_PORT}`]);
    await Promise.all([server.shows(/^ready$/m, 30_000), echo.shows(/^ready$/m)]);
    const end = clock() + seconds * 1000;
    const hosts = [network.first, network.second];
    for (const [index, host] of hosts.entries()) {
      const share = Math.ceil((transfers - index) / hosts.length);
      const args = [REMOTE, `${seed * 10 + index}`, `${share}`, `${end}`];
      traffic.clients.push(new Reader(program(host, 'traffic-client', args)));
      const probe = [await compile('udp-gap'), REMOTE, `${ECHO_PORT}`, INTERVAL_US, `${THRESHOLD_MS}`];
      traffic.probes.push(new Reader(host.spawn([...PROMPT, ...probe])));
      traffic.pings.push(host.spawn(['ping', '-i', '0.2', '-q', REMOTE]));
    }
    await until('transfers and answers', () => traffic.flows(), 30_000);
    return traffic;
  }

  /** All that is over. */
  get done(): Done[] {
    return this.clients.flatMap(({ all }) => all.filter(isDone));
  }

  get gaps(): Gap[] {
    return this.probes.flatMap(({ all }) => all.filter(isGap));
  }

  /** What the streams have counted last, one for each host. */
  get pulses(): Pulse[] {
    return this.probes.flatMap(({ all }) => all.findLast(isPulse) ?? []);
  }

  /** Waits until both streams have answers that were sent after now: the gateway forwards. */
  async flowsAgain(timeoutMs: number): Promise<void> {
    const now = clock();
    await until('answers to both streams', () => this.pulses.every(({ last }) => last > now), timeoutMs);
  }

  /** Waits until everything that was begun is over, at most so long; what is not says so. */
  async finish(timeoutMs: number): Promise<void> {
    const over = ({ program }: Reader) => !program.running || program.stdout.endsWith('{"over":true}\n');
    const end = clock() + timeoutMs;
    await until('the end', () => clock() > end || this.clients.every(over), timeoutMs + 5000);
    for (const { program } of this.clients) program.child.stdin!.end('end\n');
    for (const { program } of this.probes) program.child.stdin!.end();
    await Promise.all([...this.clients, ...this.probes].map(({ program }) => program.ended));
  }

  /** What became of the pings: sent and answered. */
  async stopPings(): Promise<{ sent: number; answered: number }> {
    await Promise.all(this.pings.map((ping) => ping.stop('SIGINT')));
    const counts = this.pings.map(({ stdout }) => /(\d+) packets transmitted, (\d+) received/.exec(stdout));
    const sum = (group: number) => counts.reduce((total, count) => total + Number(count?.[group] ?? 0), 0);
    return { sent: sum(1), answered: sum(2) };
  }

  /** What the programs complained of. */
  get complaints(): string {
    return (
      [...this.clients, ...this.probes].map(({ program }) => program.stderr).join('') + this.server.stderr
    );
  }

  private flows(): boolean {
    return (
      this.pulses.length === this.probes.length && this.clients.every(({ program }) => program.stdout !== '')
    );
  }
}

/** A line of a program: one of these, or something that is none of them. */
type Line = Partial<Done> & Partial<Gap> & Partial<Pulse>;

/** A program that prints lines of JSON, and those that it has printed; each is read once. */
class Reader {
  readonly program: Background;
  private readonly lines: Line[] = [];
  private at = 0;

  constructor(program: Background) {
    this.program = program;
  }

  get all(): readonly Line[] {
    const { stdout } = this.program;
    for (let end = stdout.indexOf('\n', this.at); end >= 0; end = stdout.indexOf('\n', this.at)) {
      this.lines.push(JSON.parse(stdout.slice(this.at, end)));
      this.at = end + 1;
    }
    return this.lines;
  }
}

const isDone = (line: Line): line is Done => line.kind !== undefined;
const isGap = (line: Line): line is Gap => line.from !== undefined;
const isPulse = (line: Line): line is Pulse => line.last !== undefined;
