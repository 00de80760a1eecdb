/** What an engine is told of all that is known at the moment. */
import type { Reconfiguration } from '../engine/reconfigure.ts';
import type { HeldPorts } from '../host/sockets.ts';
import type { DnsState } from '../nat/dns.ts';
import { OWNED_BYTES } from '../nat/owned.ts';
import type { Taps } from './capture/taps.ts';
import type { HostView } from './host-follower.ts';
import type { StartMessage } from './messages.ts';
import type { RunOptions } from './options.ts';
import type { QuarantineStore } from './quarantine.ts';
import type { RunMemory } from './run-memory.ts';
import type { Credentials } from './user.ts';

export interface EngineFacts {
  options: RunOptions;
  /** By device index. */
  names: readonly string[];
  credentials: Credentials;
  memory: RunMemory;
  taps: Taps;
  quarantine: Pick<QuarantineStore, 'signatures'>;
}

/** Facts that stay, and those of the moment. */
export function startMessage(
  { options, names, credentials, memory, taps, quarantine }: EngineFacts,
  settings: Reconfiguration,
  view: HostView,
  held: HeldPorts,
  dns: DnsState | null,
): StartMessage {
  return {
    type: 'start',
    ...settings,
    devices: view.devices.map((device, i) => ({
      ...device,
      name: names[i]!,
      networks: options.private[i]?.networks ?? [],
    })),
    routes: view.routes,
    held,
    ports: options.ports,
    dns,
    workers: options.workers,
    ...memory.sizes,
    taps: taps.filters,
    quarantined: quarantine.signatures,
    ownedBytes: OWNED_BYTES,
    credentials,
  };
}
