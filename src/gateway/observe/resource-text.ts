/** What a dropped packet would have needed: which limit of whom, the ports of which address. */
import {
  FIREWALL_DROP,
  FIREWALL_REJECT,
  HOST_FLOW_LIMIT,
  HOST_PORT_LIMIT,
  HOST_SHARE,
  NO_FREE_PORT,
  TABLE_FULL,
  TOO_BIG,
} from '../../core/reasons.ts';
import type { TapRecord } from '../../engine/tap-record.ts';
import { formatAddress } from '../../wire/address.ts';
import { clientText, firewallRuleName, ruleName, type TapNames } from './tap-names.ts';

/** null: it was not for want of anything that the record knows. */
export function resourceText(record: TapRecord, names: TapNames): string | null {
  const { reason, limit, client } = record;
  const rule = ruleName(names, record.rule);
  const byRule = rule === '' ? '' : ` (rule ${rule})`;
  switch (reason) {
    case NO_FREE_PORT: {
      const address = record.external === 0 ? 'the external addresses' : formatAddress(record.external);
      if (limit === 0) return `no port of ${address}${byRule}`;
      // The range is where other records have the ports of the mapping.
      return `all ${limit} ports ${record.externalPort}-${record.internalPort} of ${address} are taken${byRule}`;
    }
    case HOST_PORT_LIMIT:
      return `${clientText(names, client)} has ${limit} external ports, as many as it may have${byRule}`;
    case HOST_FLOW_LIMIT:
      return `${clientText(names, client)} has ${limit} flows, as many as it may have${byRule}`;
    case HOST_SHARE:
      return `${clientText(names, client)} has its share of ${limit} flows`;
    case TABLE_FULL:
      return `the flow table has room for ${limit} flows`;
    case FIREWALL_DROP:
    case FIREWALL_REJECT:
      return `firewall ${firewallRuleName(names, record.firewall)}`;
    case TOO_BIG:
      return record.mtu === 0 ? null : `${record.length} bytes, the way takes ${record.mtu}`;
    default:
      return null;
  }
}
