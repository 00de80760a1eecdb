/** What an engine is made from. */
import type { Timeouts } from '../conntrack/timeouts.ts';
import type { HelperConfig } from '../nat/alg/registry.ts';
import type { NatConfig } from '../nat/config.ts';
import type { DnsState } from '../nat/dns.ts';
import type { HeldPorts } from '../nat/mappings.ts';
import type { FirewallConfig } from '../policy/firewall-config.ts';
import type { Prefix } from '../wire/address.ts';
import type { EventPlace } from './event-log.ts';
import type { Evict } from './fair-shares.ts';
import type { WorkerSeat } from './hub.ts';

export interface DeviceConfig {
  side: 'private' | 'public';
  /** Own address on the interface, wire order; 0 when it has none. */
  address: number;
  /** Public: addresses that were its own before, and that the interface still has: flows go on by them. */
  former?: readonly number[];
  /** Bytes of an IPv4 packet. */
  mtu: number;
  /** That of the interface, which firewall rules and log lines name; default: the device's number. */
  name?: string;
  /** Private: sources that may come from there, besides those that routes lead back there. */
  networks?: readonly Prefix[];
}

/** A formatted tap (tap-ring.ts), and its clock: ms since 1970, fractions count. */
export interface TapPlace {
  memory: ArrayBuffer;
  clock: () => number;
}

export interface EngineConfig {
  arena: ArrayBuffer;
  /** A formatted state (state.ts); flows that it holds are adopted. */
  state: ArrayBuffer;
  /** The owned bitmap (nat/owned.ts), OWNED_BYTES or more. */
  owned: ArrayBuffer;
  /** In the order of the arena's device numbers; one of them public. */
  devices: readonly DeviceConfig[];
  /** External TCP and UDP ports, host order. */
  ports: { first: number; last: number };
  held?: HeldPorts;
  /** Default: everything masqueraded (nat/config.ts masqueradeAll). */
  nat?: NatConfig;
  /** Who answers queries to the gateway's private addresses; default: natgate has nothing to do with them. */
  dns?: DnsState | null;
  /** Which new flows may cross; default: all that NAT lets in, with anti-spoofing (policy/firewall-config.ts). */
  firewall?: FirewallConfig;
  /** ms since 1970, for rules with a schedule, which are off without it. Asked once a second. */
  wallClock?: () => number;
  /** Takes the lines of rules that log; default: nobody. */
  log?: (line: string) => void;
  /**
   * What makes room when the flow table is full: `fair` (default): who has most gives way to who has less (fair-shares.ts);
   * `unassured`: a flow that never became ASSURED, of the host that has most, whoever asks; `never`: nothing, the new flow is refused.
   */
  evict?: Evict;
  /**
   * What becomes of a SYN from outside that nothing expects: `silent` (default), or `unreachable`: ICMP 3/3 after six seconds,
   * unless a connection to where it came from has begun by then (RFC 5382 REQ-4).
   */
  unsolicited?: 'silent' | 'unreachable';
  timeouts?: Partial<Timeouts>;
  /** Whether the MSS of SYNs is lowered to the path's MTU (nat/mss.ts), default true. */
  clampMss?: boolean;
  /** Which flows helpers read; none when absent. */
  helpers?: readonly HelperConfig[];
  /** Where there are several workers: which one this is, and what they share (hub.ts). */
  seat?: WorkerSeat;
  /** Where events go (event-log.ts); default: nowhere. */
  events?: EventPlace;
  /** For dropped packets, captures and traces; without it nothing is written down. */
  tap?: TapPlace;
  /** Seed of port searches. */
  seed: number;
  /** ms, int32. */
  now: number;
}
