/**
 * What a reload would change, from another process and without disturbing the gateway: the configuration in force is in its run
 * directory, its flows in the state that it goes on writing. The flows are judged by what the engine judges them by
 * (engine/flow-judge.ts).
 *
 * Limits: a flow that begins or ends meanwhile may be missing; a hairpin is judged by its source's rule only.
 */
import { isDeepStrictEqual } from 'node:util';
import { type FlowInfo, readFlow } from '../../conntrack/flow-info.ts';
import { C_MAPPING, COLD, type FlowTable, HOT, TUPLE } from '../../conntrack/flow-table.ts';
import { rfcTimeouts, TimeoutTable } from '../../conntrack/timeouts.ts';
import { NatgateError } from '../../core/errors.ts';
import { describeFlow } from '../../engine/first-packet.ts';
import { type EndCause, type FirewallOfFlows, FlowJudge, UNKNOWN_RULE } from '../../engine/flow-judge.ts';
import { flowTableOf, S_NOW, type State } from '../../engine/state.ts';
import { lookUp } from '../../host/checks/nat-facts.ts';
import { readInterfaces } from '../../host/interfaces.ts';
import { answeredAddresses } from '../../host/plan/address.ts';
import { readServedRoutes } from '../../host/routes.ts';
import { PUBLIC } from '../../policy/admission.ts';
import { Bogons } from '../../policy/firewall/bogons.ts';
import { Firewall } from '../../policy/firewall/firewall.ts';
import { isSameFirewall } from '../../policy/firewall-config.ts';
import { formatAddress } from '../../wire/address.ts';
import { loadConfig } from '../config/load.ts';
import { steeringNeeds } from '../host/steering.ts';
import type { RunOptions } from '../options.ts';
import { runDirectory } from '../run/run-record.ts';
import { statesOf } from '../run/state-reader.ts';
import { recordOf } from '../status.ts';
import type { WhichGateway } from '../teardown.ts';
import { readApplied } from './applied.ts';
import { type Difference, difference } from './difference.ts';
import { requireReloadable } from './host-change.ts';
import { numberRules } from './rule-numbers.ts';

export interface EndingFlow {
  cause: EndCause;
  flow: FlowInfo;
}

/** What another configuration would do to a running gateway. */
export interface Foreseen {
  changes: Difference;
  /** Why a reload would be refused, and how to mend it; null: it would not. */
  refused: { what: string; remedy: string } | null;
  /** What would be done to the host. */
  host: string[];
  ending: EndingFlow[];
  kept: number;
}

export interface Plan extends Foreseen {
  /** The file. */
  file: string;
  warnings: string[];
}

/** `file`: another one than that of the gateway. Throws what loadConfig() throws, and NatgateError `not_running`. */
export function readPlan(which: WhichGateway, file: string | null): Plan {
  const record = recordOf(which);
  const applied = readApplied(runDirectory(which.stateRoot, which.name));
  if (applied === null) {
    throw new NatgateError(
      'not_running',
      `the gateway ${which.name} is of another version: what is in force there is not known`,
      'restart it with this version',
    );
  }
  const path = file ?? applied.options.configPath;
  if (path === null) {
    throw new NatgateError(
      'no_config_file',
      `the gateway ${which.name} was started without a file`,
      'name the file whose effect shall be shown',
    );
  }
  const { options, warnings } = loadConfig({ ...which, flags: applied.flags, path });
  return { file: path, warnings, ...foresee(applied.options, options, statesOf(record, true)) };
}

/** `before`: in force, with the numbers of its rules; `states`: of its workers, with their flows. */
export function foresee(before: RunOptions, asked: RunOptions, states: readonly State[]): Foreseen {
  const next = { ...asked, nat: numberRules(before.nat.rules, asked.nat) };
  const changes = difference(before, next);
  const refused = refusal(changes, next);
  return { changes, refused, host: hostLines(before, next), ...judged(before, next, states) };
}

function refusal(changes: Difference, next: RunOptions): Plan['refused'] {
  try {
    requireReloadable(changes, next, namesOf(next));
    return null;
  } catch (error) {
    if (!(error instanceof NatgateError)) throw error;
    return { what: error.message, remedy: error.hint };
  }
}

function hostLines(before: RunOptions, next: RunOptions): string[] {
  const had = answeredAddresses(before.nat);
  const has = answeredAddresses(next.nat);
  const added = has.filter((address) => !had.includes(address)).map(formatAddress);
  const removed = had.filter((address) => !has.includes(address)).map(formatAddress);
  return [
    ...added.map((text) => `+ ip address add ${text}/32 dev ${next.public} scope link, announced by ARP`),
    ...removed.map((text) => `- ip address del ${text}/32 dev ${next.public}`),
    ...(isDeepStrictEqual(steeringNeeds(before.nat), steeringNeeds(next.nat))
      ? []
      : ['the steering programs are replaced']),
  ];
}

function judged(before: RunOptions, next: RunOptions, states: readonly State[]) {
  const ending: EndingFlow[] = [];
  let kept = 0;
  const isOther = !isSameFirewall(before.firewall, next.firewall);
  const timeouts = new TimeoutTable({ ...rfcTimeouts, ...before.timeouts });
  for (const state of states) {
    const now = state.header[S_NOW]!;
    const table = flowTableOf(state);
    const firewall = isOther ? firewallOf(before, next, state, table) : null;
    const judge = new FlowJudge(before.nat, next.nat, firewall);
    for (let flow = 0; flow < table.capacity; flow++) {
      const info = readFlow(table.hot, flow, timeouts, now);
      if (info === null) continue;
      const cause = judge.judge(table.hot, flow, table.cold[flow * COLD + C_MAPPING]! >= 0, UNKNOWN_RULE);
      if (cause === null) kept++;
      else ending.push({ cause, flow: info });
    }
  }
  return { ending, kept };
}

/** The interfaces are those of the gateway that runs. */
function firewallOf(before: RunOptions, next: RunOptions, state: State, table: FlowTable): FirewallOfFlows {
  const networks = before.private.map((inside) => inside.networks);
  const served = readInterfaces(namesOf(before), networks);
  const routes = readServedRoutes(
    served.map(({ index }) => index),
    networks,
  );
  const now = state.header[S_NOW]!;
  const firewall = new Firewall(next.firewall, { devices: namesOf(before), seed: state.seed, now });
  firewall.look(Date.now());
  const bogons = new Bogons(next.firewall.trustedOutside);
  bogons.setExternal(served.at(-1)!.address);
  const { hot } = table;
  return (flow) => {
    const h = flow * HOT;
    const fromPublic = table.sideOf(flow << 1) === PUBLIC;
    const toPublic = table.sideOf((flow << 1) | 1) === PUBLIC;
    if (next.firewall.antiSpoofing && fromPublic && bogons.has(hot[h]!))
      return { kind: 'anti-spoofing', name: '' };
    const from = lookUp(routes, hot[h]!);
    const to = lookUp(routes, hot[h + TUPLE]!);
    describeFlow(firewall.packet, hot, flow, fromPublic, toPublic, from, to);
    const name = firewall.refusal(now);
    return name === null ? null : { kind: 'firewall', name };
  };
}

function namesOf(options: RunOptions): string[] {
  return [...options.private.map(({ name }) => name), options.public];
}
