/** The traffic of recovery-traffic.py on a topology, and what it reports. */
import { fileURLToPath } from 'node:url';
import type { Background } from './process.ts';
import { type Capture, sniff } from './sniffer.ts';
import { SERVER, type Topology } from './topology.ts';

const TRAFFIC = fileURLToPath(new URL('./recovery-traffic.py', import.meta.url));
const SINK_PORT = 9;
const DIGEST_PORT = 10;
const RESETS = 'tcp[tcpflags] & tcp-rst != 0';

export interface Report {
  /** Datagrams. */
  sent: number;
  received: number;
  lost: number;
  twice: number;
  /** CLOCK_MONOTONIC in ms at which each began, and how long it was. */
  gaps: [number, number][];
  /** Of the transfers, how many broke, and how many arrived as something else. */
  failed: number;
  wrong: number;
  ended: number;
  /** Segments with RST at either side. */
  resets: number;
}

export class RecoveryTraffic {
  readonly #senders: Background[];
  readonly #takers: Background[];
  readonly #captures: Capture[];

  private constructor(senders: Background[], takers: Background[], captures: Capture[]) {
    this.#senders = senders;
    this.#takers = takers;
    this.#captures = captures;
  }

  /** Resolves when all transfers are open and datagrams flow. */
  static async start(
    { client, server }: Topology,
    { rate, transfers, seconds }: { rate: number; transfers: number; seconds: number },
  ): Promise<RecoveryTraffic> {
    const python = ['python3', TRAFFIC];
    const takers = [
      server.spawn([...python, 'sink', String(SINK_PORT)]),
      server.spawn([...python, 'digest', String(DIGEST_PORT)]),
    ];
    for (const taker of takers) await taker.shows(/listening/);
    const captures = await Promise.all([
      sniff(client, 'c0', { filter: RESETS, snapLength: 96 }),
      sniff(server, 's0', { filter: RESETS, snapLength: 96 }),
    ]);
    const tcp = ['transfers', SERVER, DIGEST_PORT, transfers, seconds].map(String);
    const udp = ['blast', SERVER, SINK_PORT, rate, seconds].map(String);
    const first = client.spawn([...python, ...tcp]);
    await first.shows(/connected/, 60_000);
    const second = client.spawn([...python, ...udp]);
    await second.shows(/sending/);
    return new RecoveryTraffic([second, first], takers, captures);
  }

  /** Waits until all is sent. */
  async report(): Promise<Report> {
    for (const sender of this.#senders) await sender.shows(/^\{/m, 120_000);
    const captured = await Promise.all(this.#captures.map((capture) => capture.stop()));
    const resets = captured.map((packets) => packets.length).reduce((sum, count) => sum + count);
    for (const one of [...this.#senders, ...this.#takers]) {
      one.child.stdin!.end();
      await one.ended;
    }
    const [sent, transfers] = this.#senders.map(last);
    const [received, digested] = this.#takers.map(last);
    const { failed, wrong } = transfers;
    const { ended } = digested;
    return { ...sent, ...received, failed, wrong, ended, resets };
  }
}

// biome-ignore lint/suspicious/noExplicitAny: reports of several kinds
function last({ stdout, stderr }: Background): any {
  const line = stdout.trim().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) throw new Error(`no report: ${stdout}${stderr}`);
  return JSON.parse(line);
}
