/** What an engine is told when it starts, and when another configuration comes into force. */
import type { Reconfiguration } from '../engine/reconfigure.ts';
import { privateNetworks } from '../host/interfaces.ts';
import { OWNED_BYTES } from '../nat/owned.ts';
import type { HostFollower, HostView } from './host-follower.ts';
import type { StartMessage } from './messages.ts';
import { forPrivateNetworks } from './nat-options.ts';
import type { RunOptions } from './options.ts';
import type { Credentials } from './user.ts';

/** Of the configuration in force. */
export function reconfigurationOf(options: RunOptions, { interfaces }: HostView): Reconfiguration {
  const { nat, firewall, timeouts, helpers, clampMss, evict, unsolicited } = options;
  const numbered = forPrivateNetworks(nat, privateNetworks(interfaces));
  return { nat: numbered, firewall, timeouts, helpers, clampMss, evict, unsolicited };
}

/** `names`: of the served interfaces by device. `memory`: what it must know of the files that it gets. */
export function startMessage(
  options: RunOptions,
  { view, held }: Pick<HostFollower, 'view' | 'held'>,
  names: readonly string[],
  memory: Pick<StartMessage, 'flows' | 'stateBytes' | 'stateSeed' | 'tapBytes' | 'eventBytes'>,
  now: Pick<StartMessage, 'dns' | 'taps'>,
  credentials: Credentials,
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
    workers: options.workers,
    ...now,
    ...memory,
    ownedBytes: OWNED_BYTES,
    credentials,
  };
}
