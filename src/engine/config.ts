/** What an engine is made from. */
import type { Timeouts } from '../conntrack/timeouts.ts';
import type { HeldPorts } from '../nat/mappings.ts';

export interface DeviceConfig {
  side: 'private' | 'public';
  /** Own address on the interface, wire order; 0 when it has none. */
  address: number;
  /** Bytes of an IPv4 packet. */
  mtu: number;
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
  timeouts?: Partial<Timeouts>;
  /** Whether the MSS of SYNs is lowered to the path's MTU (nat/mss.ts), default true. */
  clampMss?: boolean;
  /** Seed of port searches. */
  seed: number;
  /** ms, int32. */
  now: number;
}
