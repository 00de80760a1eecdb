/**
 * What coturn finds out about a NAT from behind it, as RFC 5780 has it: a STUN server with two addresses and two ports on
 * the public side, and its client on the private one, which asks from one socket after the other.
 */
import { type Gateway, Natgate } from './natgate.ts';
import { type Background, until } from './process.ts';
import { CLIENT, createTopology, type Namespace, SERVER, SERVER_2, type Topology } from './topology.ts';

/** As coturn says it, by the words of `--mapping` and `--filtering`. */
export const MAPPINGS = {
  eim: 'Endpoint Independent',
  adm: 'Address Dependent',
  apdm: 'Address and Port Dependent',
} as const;
export const FILTERINGS = { eif: MAPPINGS.eim, adf: MAPPINGS.adm, apdf: MAPPINGS.apdm } as const;
export type Mapping = keyof typeof MAPPINGS;
export type Filtering = keyof typeof FILTERINGS;

/** The STUN ports; the second is the one after the first. */
export const STUN_PORT = 3478;

export interface Findings {
  /** Null: not asked for, or the client came to no verdict. */
  mapping: string | null;
  filtering: string | null;
  /** The second socket's request came to the first one by its external endpoint. */
  hairpinned: boolean;
  /** Of each answer, in order: the endpoint that the server saw, and the client's own. */
  answers: { external: string; internal: string }[];
  /** Answers that did not come within 3 s. */
  timeouts: number;
  /** All that the client has said. */
  output: string;
}

/** A topology with a STUN server on both public addresses, and with a gateway once one is started. */
export class DiscoveryBed {
  readonly net: Topology;
  private readonly stun: Background;
  private gateway: Gateway | null = null;

  private constructor(net: Topology, stun: Background) {
    this.net = net;
    this.stun = stun;
  }

  /** Starts the server. */
  static async create(): Promise<DiscoveryBed> {
    const net = await createTopology();
    try {
      return new DiscoveryBed(net, await startServer(net.server));
    } catch (error) {
      await net.destroy();
      throw error;
    }
  }

  /** Starts a gateway with these arguments of `natgate run`; one that runs already ends before. */
  async start(args: readonly string[]): Promise<void> {
    await this.gateway?.stop();
    this.gateway = null;
    this.gateway = await Natgate.start(this.net.gateway, args);
  }

  /** Runs the client with these options. */
  async discover(options: readonly string[]): Promise<Findings> {
    const argv = ['turnutils_natdiscovery', ...options, SERVER];
    const { stdout, stderr } = await this.net.client.exec(argv, { timeoutMs: 60_000 });
    return parseFindings(stdout + stderr);
  }

  async destroy(): Promise<void> {
    try {
      await this.gateway?.stop();
      await this.stun.stop();
    } finally {
      await this.net.destroy();
    }
  }
}

/** What coturn finds of a gateway with this mapping and filtering. */
export async function discoverPair(mapping: Mapping, filtering: Filtering): Promise<Findings> {
  const bed = await DiscoveryBed.create();
  try {
    await bed.start(['--mapping', mapping, '--filtering', filtering]);
    return await bed.discover(['-m', '-f', '-L', CLIENT]);
  } finally {
    await bed.destroy();
  }
}

/** Runs `work` for each of `items`, `width` at a time (the client mostly waits); the results in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next++;
      results[at] = await work(items[at]!);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}

/** `-n`: without Debian's configuration, which turns RFC 5780 off. */
async function startServer(ns: Namespace): Promise<Background> {
  const stun = ns.spawn([
    ...['turnserver', '-n', '-L', SERVER, '-L', SERVER_2, '--listening-port', String(STUN_PORT)],
    ...['--stun-only', '--no-cli', '--no-tls', '--no-dtls', '--no-tcp'],
    ...['--log-file', 'stdout', '--pidfile', '/dev/null'],
  ]);
  const listening = [SERVER, SERVER_2].flatMap((a) => [`${a}:${STUN_PORT}`, `${a}:${STUN_PORT + 1}`]);
  await until('the STUN server listens', async () => {
    if (!stun.running) throw new Error(`turnserver has ended:\n${stun.stdout}${stun.stderr}`);
    const { stdout } = await ns.exec('ss -Hlun');
    return listening.every((endpoint) => stdout.includes(endpoint));
  });
  return stun;
}

export function parseFindings(output: string): Findings {
  const verdict = (what: string) => output.match(new RegExp(`^NAT with (.*) ${what}!$`, 'm'))?.[1] ?? null;
  const pairs = output.matchAll(/UDP reflexive addr: (\S+)\n.*Local addr: : (\S+)$/gm);
  return {
    mapping: verdict('Mapping'),
    filtering: verdict('Filtering'),
    hairpinned: output.includes('Received a request (maybe a successful hairpinning)'),
    answers: [...pairs].map(([, external, internal]) => ({ external: external!, internal: internal! })),
    timeouts: output.split('STUN receive timeout').length - 1,
    output,
  };
}
