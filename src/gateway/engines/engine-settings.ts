/** What an engine is told when it starts, and when another configuration comes into force. */
import type { Reconfiguration } from '../../engine/reconfigure.ts';
import { privateNetworks } from '../../host/interfaces.ts';
import type { DnsState } from '../../nat/dns.ts';
import { OWNED_BYTES } from '../../nat/owned.ts';
import type { Taps } from '../capture/taps.ts';
import type { HostFollower, HostView } from '../host/host-follower.ts';
import { forPrivateNetworks } from '../nat-options.ts';
import type { RunOptions } from '../options.ts';
import type { RunMemory } from '../run/run-memory.ts';
import type { Credentials } from '../user.ts';
import type { StartMessage } from './messages.ts';
import type { QuarantineStore } from './quarantine.ts';

/** Of the configuration in force. */
export function reconfigurationOf(options: RunOptions, { interfaces }: HostView): Reconfiguration {
  const { nat, firewall, timeouts, helpers, clampMss, evict, unsolicited } = options;
  const numbered = forPrivateNetworks(nat, privateNetworks(interfaces));
  return { nat: numbered, firewall, timeouts, helpers, clampMss, evict, unsolicited };
}

export interface EngineFacts {
  /** By device index. */
  names: readonly string[];
  credentials: Credentials;
  memory: Pick<RunMemory, 'sizes'>;
  taps: Pick<Taps, 'filters'>;
  quarantine: Pick<QuarantineStore, 'signatures'>;
}

/** Facts that stay, and those of the moment. */
export function startMessage(
  { names, credentials, memory, taps, quarantine }: EngineFacts,
  options: RunOptions,
  { view, held }: Pick<HostFollower, 'view' | 'held'>,
  dns: DnsState | null,
): StartMessage {
  return {
    type: 'start',
    ...reconfigurationOf(options, view),
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
