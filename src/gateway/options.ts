/**
 * What `natgate run` is asked to do, as text that a user typed and as checked values.
 * The parsers throw NatgateError `usage`: the command line exits with 2, a test sees the message.
 */
import { join } from 'node:path';
import type { Timeouts } from '../conntrack/timeouts.ts';
import { NatgateError } from '../core/errors.ts';
import { type HelperConfig, type HelperName, helperKinds } from '../nat/alg/registry.ts';
import type { NatConfig, Prefix } from '../nat/config.ts';
import type { FirewallConfig } from '../policy/firewall-config.ts';
import { parsePrefix } from '../wire/address.ts';
import type { SinkOptions } from './events/options.ts';

export interface PortRange {
  first: number;
  last: number;
}

/** An interface with private hosts behind it. */
export interface PrivateInterface {
  name: string;
  /** Networks behind further routers, or, one-armed, the private ones; empty: those that the routing table says. */
  networks: readonly Prefix[];
}

/** Who answers the DNS queries that private hosts send to the gateway's private address. */
export interface DnsOptions {
  /** In order of preference, wire order; empty with `system`. */
  upstream: readonly number[];
  /** The resolvers of the gateway's own /etc/resolv.conf, as they are when they are needed. */
  system: boolean;
}

export interface ControlOptions {
  /** Path of the unix socket; null: there is none. */
  socket: string | null;
  /** Its group, a name or a GID; null: root's. */
  group: string | null;
  /** Its permissions. */
  mode: number;
}

export function controlSocket(stateRoot: string, name: string): string {
  return join(stateRoot, name, 'control.sock');
}

export const LOG_LEVELS = ['error', 'warning', 'info'] as const;

export interface LogOptions {
  /** What is written: this, and what is worse. */
  level: (typeof LOG_LEVELS)[number];
  /** Lines for people, or one JSON object a line. */
  format: 'text' | 'json';
}

export interface MetricsOptions {
  /** Wire order. */
  address: number;
  port: number;
  /** The world may ask. */
  public: boolean;
  page: boolean;
  /** File of the token without which the page can change nothing; null: it can change nothing. */
  tokenFile: string | null;
}

export interface RunOptions {
  /** Names the run directory; several gateways may run on one host under different names. */
  name: string;
  /** One at least. */
  private: readonly PrivateInterface[];
  public: string;
  /** External ports natgate may use on the public address. */
  ports: PortRange;
  /** Rules, forwards and prefixes (nat-options.ts). */
  nat: NatConfig;
  /** Those that differ from the defaults, in seconds. */
  timeouts: Partial<Timeouts>;
  /** Capacity of the flow table, over all workers. */
  flows: number;
  /** Threads that forward: a power of two. */
  workers: number;
  /** Application helpers, one for each protocol and port. */
  helpers: HelperConfig[];
  /** Seconds that devices, filters and state stay after SIGTERM. 0: everything is undone at once. */
  lingerSeconds: number;
  /** Account of the engine process; undefined: `natgate` where it exists, else 65534. */
  user: string | undefined;
  /** Whether a second engine stands by for the moment in which the first one dies. */
  standby: boolean;
  /** Packets the TUN queues hold. */
  txQueueLength: number;
  /** Whether the MSS of SYNs is lowered to the path's MTU. */
  clampMss: boolean;
  /** See EngineConfig. */
  evict: 'fair' | 'never' | 'unassured';
  unsolicited: 'silent' | 'unreachable';
  /** What may cross. */
  firewall: FirewallConfig;
  /** Null: natgate has nothing to do with DNS. */
  dns: DnsOptions | null;
  control: ControlOptions;
  /** Who receives events (events/options.ts). */
  events: readonly SinkOptions[];
  /** Where metrics are served, and with `page` the web page; null: nowhere. */
  metrics: MetricsOptions | null;
  log: LogOptions;
  /** The file that this came from, which SIGHUP and `natgate reload` read again; null: from the command line alone. */
  configPath: string | null;
  /** Folder of the run directories. */
  stateRoot: string;
}

export const DEFAULT_NAME = 'default';
export const DEFAULT_PORTS = '32768-65535';
export const DEFAULT_FLOWS = 262_144;
export { DEFAULT_TX_QUEUE_LENGTH } from '../host/plan/tun.ts';

const MIN_FLOWS = 1024;
const MAX_FLOWS = 16_777_216;
/** Below this a port pool is a mistake: every flow to one destination needs its own port. */
const MIN_PORTS = 64;
/** A day: state that waits longer than any flow lives serves nobody. */
const MAX_LINGER_SECONDS = 86_400;
const MAX_TX_QUEUE_LENGTH = 100_000;

/** `first-last`, both included, 1024-65535, at least 64 ports. */
export function parsePortRange(text: string): PortRange {
  const match = /^(\d{1,5})-(\d{1,5})$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2]);
  if (match === null || first < 1024 || last > 65_535 || last - first + 1 < MIN_PORTS) {
    throw usage(
      `--ports ${text}: not a usable port range`,
      `give FIRST-LAST within 1024-65535 and at least ${MIN_PORTS} ports, e.g. ${DEFAULT_PORTS}`,
    );
  }
  return { first, last };
}

/** Names a folder and a file: letters, digits, `_`, `-` and inner dots, at most 32. */
export function parseName(text: string): string {
  if (!/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,31}$/.test(text)) {
    throw usage(
      `--name ${text}: not a usable name`,
      'use up to 32 letters, digits, dots, dashes, underscores',
    );
  }
  return text;
}

/** An interface name as the kernel accepts it: 1-15 bytes, no slash, colon or white space. */
export function parseInterface(option: string, text: string): string {
  if (!/^[^\s/:]{1,15}$/.test(text) || text === '.' || text === '..') {
    throw usage(`--${option} ${text}: not an interface name`, '`ip -br link` lists the interfaces');
  }
  return text;
}

/** `NAME`, or `NAME=NETWORK,NETWORK…`: an interface and the private networks behind it. */
export function parsePrivate(text: string): PrivateInterface {
  const [name = '', list] = text.split(/=(.*)/s);
  const networks = (list?.split(',') ?? []).map((word) => {
    const network = parsePrefix(word);
    if (network === null) {
      throw usage(
        `--private ${text}: ${JSON.stringify(word)} is not a network`,
        'give ADDRESS/LENGTH, several with commas, e.g. eth0=10.0.0.0/16',
      );
    }
    return network;
  });
  return { name: parseInterface('private', name), networks };
}

export function parseFlows(value: number): number {
  return parseCount('flows', value, MIN_FLOWS, MAX_FLOWS);
}

export function parseLinger(value: number): number {
  return parseCount('linger', value, 0, MAX_LINGER_SECONDS);
}

export function parseTxQueueLength(value: number): number {
  return parseCount('txqueuelen', value, 1, MAX_TX_QUEUE_LENGTH);
}

/** `name` or `name=port`, any number of times: `ftp`, `sip=5062`. A name alone is the protocol's own port. */
export function parseHelpers(texts: readonly string[]): HelperConfig[] {
  const helpers: HelperConfig[] = [];
  for (const text of texts) {
    const [name = '', digits] = text.split(/=(.*)/s);
    if (!Object.hasOwn(helperKinds, name)) {
      const names = Object.keys(helperKinds).join(', ');
      throw usage(`--helper ${text}: no helper of that name`, `there are ${names}`);
    }
    const kind = helperKinds[name as HelperName];
    const port = digits === undefined ? kind.port : Number(digits);
    if (digits !== undefined && (!/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535)) {
      throw usage(`--helper ${text}: not a port`, `give a port from 1 to 65535, e.g. ${name}=${kind.port}`);
    }
    for (const protocol of kind.protocols) {
      const other = helpers.find((known) => known.protocol === protocol && known.port === port);
      if (other !== undefined) {
        throw usage(
          `--helper ${text}: port ${port} has the helper ${other.name} already`,
          'give each port one helper',
        );
      }
      helpers.push({ name: name as HelperName, protocol, port });
    }
  }
  return helpers;
}

function parseCount(option: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw usage(`--${option}: not a usable number`, `give a whole number from ${least} to ${most}`);
  }
  return value;
}

function usage(message: string, hint: string): NatgateError {
  return new NatgateError('usage', message, hint);
}
