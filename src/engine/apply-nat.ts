/**
 * Another NAT configuration on the state that there is: mappings, ports, quarantines and blocks stay where they are, since rules that
 * stay keep their numbers (nat/config.ts) and addresses keep theirs. Flows that the new one would not have are ended later, one by one
 * (reconfigure.ts); until then they go on.
 *
 * Cost: that of the configuration, not of the flows; only where counting begins (a first quota, address-dependent filtering) all
 * flows are counted once.
 */
import { C_MAPPING, COLD, H_DESTINATION, H_STATUS, HOT, ORIGINAL_SIDE } from '../conntrack/flow-table.ts';
import type { NatConfig } from '../nat/config.ts';
import { OTHER } from '../nat/external-addresses.ts';
import { NO_MAPPING } from '../nat/mappings.ts';
import { ADDRESS_DEPENDENT } from '../nat/rules.ts';
import { EVICT_FAIR, EVICT_NEVER, EVICT_UNASSURED, hostOf } from './fair-shares.ts';
import { dedicatedAddresses } from './flow-judge.ts';
import type { Sessions } from './sessions.ts';

export function applyNat(sessions: Sessions, before: NatConfig, after: NatConfig, evict: number): void {
  const { mappings, rules, prefixes, decider } = sessions;
  const { externals, shared } = mappings;
  const filtering = rules.rules.map((rule) => rule.filtering);
  rules.replace(after.rules, (address) => externals.add(address));
  shared.setForwards(before.forwards, after.forwards);
  externals.retain(dedicatedAddresses(after));
  decider.forwards.replace(after.forwards);
  prefixes.replace(after.prefixes);
  sessions.shares.mode = evict;
  sessions.hosts.isFair = evict === EVICT_FAIR;
  setCounting(sessions);
  const isOther = rules.rules.some(
    (rule, i) => filtering[i] !== undefined && filtering[i] !== rule.filtering,
  );
  if (isOther) recountContacts(sessions);
}

/** Whether hosts are counted. */
function setCounting(sessions: Sessions): void {
  const { hosts, mappings, table, rules, shares } = sessions;
  const quotas = rules.deciding.some((rule) => rule.portsPerHost > 0 || rule.flowsPerHost > 0);
  const isWanted = quotas || shares.mode !== EVICT_NEVER;
  const isShown = quotas || shares.mode === EVICT_UNASSURED;
  if (isWanted === hosts.isCounting && isShown === hosts.isShown) return;
  hosts.clear();
  shares.outside = 0;
  hosts.isCounting = isWanted;
  hosts.isShown = isShown;
  for (let flow = 0; flow < table.capacity; flow++) {
    if (!table.isLive(flow)) continue;
    const h = flow * HOT;
    shares.count(hostOf(table.hot, h), (table.hot[h + H_STATUS]! & ORIGINAL_SIDE) !== 0, 1);
  }
  if (!isWanted) return;
  mappings.table.each((mapping) => {
    const t = mappings.table.tableOf(mapping);
    if (t !== OTHER) hosts.add(mappings.table.internalAddress(mapping), t);
  });
}

/** Some rule filters in another way: whom its mappings' owners have sent to. */
function recountContacts({ decider, table, rules }: Sessions): void {
  decider.forgetContacts();
  if (rules.deciding.every((rule) => rule.filtering !== ADDRESS_DEPENDENT)) return;
  const { hot, cold } = table;
  for (let flow = 0; flow < table.capacity; flow++) {
    const h = flow * HOT;
    const mapping = cold[flow * COLD + C_MAPPING]!;
    if (!table.isLive(flow) || mapping === NO_MAPPING || (hot[h + H_STATUS]! & ORIGINAL_SIDE) !== 0) continue;
    decider.contact(mapping, hot[h + H_DESTINATION]!, 1);
  }
}
