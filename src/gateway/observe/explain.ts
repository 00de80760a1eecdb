/**
 * What became of a packet and why, decision by decision, out of a tap's records: of the packet that came and of what left because of it.
 * The same for a live gateway and for a capture that is gone through offline; as an object (JSON) or as text (explain-text.ts).
 */
import * as reasons from '../../core/reasons.ts';
import {
  MAP_KEPT,
  MAP_OVERLOADED,
  MAP_SOURCE,
  TAP_FROM_WORKER,
  TAP_HELD,
  TAP_MADE,
  TAP_NEW,
  TAP_RELATED,
  TAP_TO_HOST,
  TAP_TO_WORKER,
  type TapRecord,
  WHY_BLOCK,
  WHY_CHOICE,
  WHY_FORWARD,
  WHY_HOST,
  WHY_PRESERVED,
  WHY_RANGE,
  WHY_RELEASED,
  WHY_SHIFT,
  WHY_TAKEN,
  WHY_WAITING,
} from '../../engine/tap-record.ts';
import { helperKinds } from '../../nat/alg/registry.ts';
import { ANNOUNCED, DIRECT, FORWARD, MAPPED, PREFIX, RESOLVER } from '../../nat/decide.ts';
import { formatAddress } from '../../wire/address.ts';
import { protocolName } from '../../wire/protocols.ts';
import { isoTime } from './iso-time.ts';
import { changesOf } from './packet-changes.ts';
import { packetLine } from './packet-line.ts';
import { REMEDIES } from './remedies.ts';
import { resourceText } from './resource-text.ts';
import {
  clientText,
  endText,
  firewallRuleName,
  flowIdOf,
  interfaceName,
  meaningOf,
  ruleName,
  sideOf,
  stateText,
  type TapNames,
  translationText,
} from './tap-names.ts';

export interface Step {
  step: 'check' | 'lookup' | 'tracker' | 'firewall' | 'nat' | 'helper' | 'route';
  says: string;
}

export interface Explained {
  /** ISO 8601. */
  time: string;
  worker: number;
  interface: string;
  side: 'private' | 'public';
  packet: string;
  flow: string | null;
  client: string | null;
  steps: Step[];
  verdict: 'left' | 'dropped' | 'host' | 'worker' | 'held' | 'nothing';
  /** Of a drop. */
  reason: string | null;
  meaning: string | null;
  resource: string | null;
  remedy: string | null;
  left: { interface: string; side: 'private' | 'public'; packet: string; made: boolean; changes: string[] }[];
}

/** `came`: KIND_IN, or KIND_DROP; `left`: the records of what it caused. */
export function explain(came: TapRecord, left: readonly TapRecord[], names: TapNames): Explained {
  const { reason, flags } = came;
  const isDropped = reason !== reasons.OK;
  let verdict: Explained['verdict'] = left.length > 0 ? 'left' : 'nothing';
  if (isDropped) verdict = 'dropped';
  else if ((flags & TAP_TO_HOST) !== 0) verdict = 'host';
  else if ((flags & TAP_TO_WORKER) !== 0) verdict = 'worker';
  else if ((flags & TAP_HELD) !== 0) verdict = 'held';
  return {
    time: isoTime(came.time),
    worker: came.worker,
    interface: interfaceName(names, came.device),
    side: sideOf(flags),
    packet: packetLine(came.packet, came.length),
    flow: flowIdOf(came),
    client: came.client === 0 ? null : clientText(names, came.client),
    steps: stepsOf(came, names),
    verdict,
    reason: isDropped ? came.reasonName : null,
    meaning: isDropped ? meaningOf(came) : null,
    resource: isDropped ? resourceText(came, names) : null,
    remedy: isDropped ? (REMEDIES[came.reasonName] ?? null) : null,
    left: left.map((record) => {
      const isMade = (record.flags & TAP_MADE) !== 0;
      return {
        interface: interfaceName(names, record.device),
        side: sideOf(record.flags),
        packet: packetLine(record.packet, record.length),
        made: isMade,
        changes: isMade ? [] : changesOf(came, record),
      };
    }),
  };
}

/** Where a packet may be dropped, in this order; which reasons are of which. */
const CHECKED: readonly number[] = Array.from({ length: reasons.BAD_SCTP }, (_, i) => i + 1);
const AT_SOURCE = [
  reasons.MARTIAN_SOURCE,
  reasons.MARTIAN_DESTINATION,
  reasons.ICMP_TYPE,
  reasons.SPOOFED_SOURCE,
];
const AT_TRACKER = [
  reasons.INVALID_TCP,
  reasons.INVALID_WINDOW,
  reasons.INVALID_RST,
  reasons.INVALID_SCTP,
  reasons.NO_RELATED,
];
const AT_DESTINATION = [reasons.NO_FLOW, reasons.FILTERED, reasons.NO_HAIRPIN, reasons.NOT_PUBLIC];
const AT_ROUTE = [reasons.NO_ROUTE, reasons.TTL_EXCEEDED, reasons.TOO_BIG, reasons.NO_SLOT];

function stepsOf(came: TapRecord, names: TapNames): Step[] {
  const steps: Step[] = [];
  const { reason, flags } = came;
  const say = (step: Step['step'], says: string) => steps.push({ step, says });
  if (CHECKED.includes(reason) && came.before === 0 && came.handle < 0) {
    say('check', `fails: ${meaningOf(came)}`);
    return steps;
  }
  const given = (flags & TAP_FROM_WORKER) !== 0 ? '; another worker gave it to this one' : '';
  say('check', `header, lengths and addresses are sound${given}`);
  say('lookup', lookupText(came));
  if (AT_SOURCE.includes(reason)) {
    steps[0] = { step: 'check', says: `fails: ${meaningOf(came)}` };
    if (reason !== reasons.SPOOFED_SOURCE) steps.pop();
    return steps;
  }
  if (AT_DESTINATION.includes(reason)) {
    say('nat', destinationRefusal(came));
    return steps;
  }
  if (came.foundBy >= 0) say('nat', foundText(came));
  if (AT_ROUTE.includes(reason)) {
    say('route', meaningOf(came));
    return steps;
  }
  const tracker = trackerText(came);
  if (tracker !== '') say('tracker', tracker);
  if (AT_TRACKER.includes(reason)) return steps;
  if (came.firewall >= 0) {
    const isRefused = reason === reasons.FIREWALL_DROP || reason === reasons.FIREWALL_REJECT;
    const way = reason === reasons.FIREWALL_REJECT ? 'rejected' : isRefused ? 'dropped' : 'accepted';
    say('firewall', `${way} by ${firewallText(firewallRuleName(names, came.firewall))}`);
    if (isRefused) return steps;
  }
  const nat = natText(came, names);
  if (nat !== '') say('nat', nat);
  if (came.helper >= 0) say('helper', `${Object.keys(helperKinds)[came.helper] ?? '?'} reads this flow`);
  if (reason === reasons.HELPER_FAILED) say('helper', meaningOf(came));
  if (came.mtu > 0 && reason === reasons.OK) {
    const hop = came.gateway === 0 ? 'directly' : `by ${formatAddress(came.gateway)}`;
    say('route', `${hop}, MTU ${came.mtu}`);
  }
  return steps;
}

function lookupText(came: TapRecord): string {
  const { before, handle, flags } = came;
  if ((flags & TAP_RELATED) !== 0) {
    if (handle < 0) return 'an ICMP error; no flow has the packet that it quotes';
    const flow = came.after & 0xff;
    return `RELATED to flow ${flowIdOf(came)} (${protocolName(flow) ?? flow}, ${stateText(came.after)}), whose packet it quotes`;
  }
  if (before === 0 && ((flags & TAP_NEW) !== 0 || handle < 0)) return 'no flow has this tuple';
  const direction = (handle & 1) === 0 ? 'original' : 'reply';
  return `flow ${flowIdOf(came)}, ${direction} direction, ${stateText(before === 0 ? came.after : before)}`;
}

function trackerText(came: TapRecord): string {
  const { before, after, reason, flags } = came;
  if (AT_TRACKER.includes(reason)) {
    const state = before === 0 ? '' : ` (the flow is ${stateText(before)})`;
    return `${meaningOf(came)}${state}`;
  }
  if ((flags & TAP_RELATED) !== 0 || after === 0) return '';
  if ((flags & TAP_NEW) !== 0) return `NEW: ${stateText(after)}`;
  const [was, is] = [stateText(before), stateText(after)];
  return before === 0 || was === is ? `fits: ${is}` : `fits: ${was} → ${is}`;
}

function firewallText(name: string): string {
  const [chain, rule] = name.split('/');
  return chain === 'default' ? `the default for ${rule}` : `rule ${name}`;
}

function destinationRefusal(came: TapRecord): string {
  if (came.reason === reasons.NO_FLOW) {
    return 'no mapping, forward or 1:1 address has anybody behind this endpoint';
  }
  return meaningOf(came);
}

const FOUND_BY: Record<number, string> = {
  [DIRECT]: '',
  [FORWARD]: 'a forward says where it goes',
  [PREFIX]: 'a 1:1 pair says where it goes',
  [MAPPED]: 'a mapping says where it goes',
  [RESOLVER]: 'a query to the gateway: its resolver is the destination',
  [ANNOUNCED]: 'another flow announced it to a helper: translated as that one',
};

function foundText(came: TapRecord): string {
  return FOUND_BY[came.foundBy] || 'the destination stays as it is';
}

function natText(came: TapRecord, names: TapNames): string {
  const { mapping, to, from, protocol, reason, flags } = came;
  const rule = ruleName(names, came.rule);
  if (reason !== reasons.OK) return rule === '' || came.foundBy < 0 ? '' : `rule ${rule}: ${meaningOf(came)}`;
  if (to === null) return '';
  if ((mapping & MAP_SOURCE) === 0) {
    if ((flags & TAP_RELATED) !== 0) return 'the error and its quote are translated as the flow';
    const text = translationText(from, to, protocol);
    const by = (flags & TAP_NEW) !== 0 && rule !== '' ? `rule ${rule}: ` : '';
    return text === '' ? `${by}nothing is translated` : `${by}${text}`;
  }
  const kept = (mapping & MAP_KEPT) !== 0 ? 'the mapping that there is' : 'a new mapping';
  const internal = endText(from.source, came.internalPort, protocol);
  const external = endText(came.external, came.externalPort, protocol);
  const shared = (mapping & MAP_OVERLOADED) !== 0 ? ', shared with another host (overloaded)' : '';
  const target =
    from.destination === to.destination && from.destinationPort === to.destinationPort
      ? ''
      : `; ${translationText({ ...from, source: to.source, sourcePort: to.sourcePort }, to, protocol)}`;
  return `rule ${rule}: ${kept}, ${internal} -> ${external}${portText(came)}${shared}${target}`;
}

/** Whether the port was kept, and why not. */
function portText(came: TapRecord): string {
  if (came.externalPort === 0) return '';
  const wanted = came.internalPort;
  switch (came.mapping >>> WHY_SHIFT) {
    case WHY_PRESERVED:
      return ', port preserved';
    case WHY_CHOICE:
      return ', port not preserved: the rule chooses ports itself';
    case WHY_RANGE:
      return `, port not preserved: ${wanted} is outside the range of the rule`;
    case WHY_HOST:
      return `, port not preserved: a socket of the gateway has ${wanted}`;
    case WHY_FORWARD:
      return `, port not preserved: a forward has ${wanted}`;
    case WHY_TAKEN:
      return `, port not preserved: ${formatAddress(came.holder)} has ${wanted}`;
    case WHY_WAITING:
      return `, port not preserved: ${wanted} was another host’s a moment ago, or is another worker’s`;
    case WHY_BLOCK:
      return `, port not preserved: ${wanted} is outside the host’s block`;
    case WHY_RELEASED:
      return `, port not preserved: ${wanted} was not free when the mapping was made`;
    default:
      return '';
  }
}
