/** Names for the numbers in taps, as a run record has them: what another process knows of a running gateway. */
import { ClientNames } from '../../host/client-names.ts';
import type { RunRecord } from '../run/run-record.ts';
import type { TapNames } from './tap-names.ts';

export function tapNamesOf(
  record: RunRecord,
  clients: Pick<ClientNames, 'nameOf'> = new ClientNames(),
): TapNames {
  return {
    devices: [
      ...record.private.map((name) => ({ name, side: 'private' as const })),
      { name: record.public, side: 'public' as const },
    ],
    rules: record.rules,
    firewallRules: record.firewallRules ?? [],
    clients,
  };
}
