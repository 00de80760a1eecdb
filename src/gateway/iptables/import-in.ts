/** nat PREROUTING as `forwards` and `one-to-one`. */
import type { Entry, Report } from './entries.ts';
import { argument, type FlatRule } from './flatten.ts';
import { coversTarget, type InwardSource } from './import-out.ts';
import {
  ALL_ADDRESSES,
  addressText,
  complement,
  normal,
  oneOrList,
  overlap,
  parseNetwork,
  parseSpan,
  portText,
  type Range,
  type Ranges,
  without,
} from './ranges.ts';
import type { Sides } from './sides.ts';
import { testsOn } from './tests.ts';
import { isNamed } from './walk.ts';

/** What may come in, for whoever must know which flows from outside there are. */
export interface LetIn {
  protocol: number | null;
  to: Range;
  ports: Range | null;
}

export interface InPart {
  forwards: Entry[];
  pairs: Entry[];
  letIn: LetIn[];
}

/** A forward with more hosts than this is a mistake, or a pool that is better written by hand. */
const MOST_TARGETS = 64;
const MOST_SINGLE = 32;
/** Addresses beside the interface's own that a rule without one is written out for. */
const MOST_OTHERS = 16;

interface Taken {
  protocol: number;
  address: string;
  ports: Range;
  /** Null: all. */
  sources: Ranges | null;
}

/** Pairs of an inward and an outward rule that together are a 1:1 translation. */
export function findPairs(
  incoming: readonly FlatRule[],
  outgoing: readonly FlatRule[],
  own: readonly string[],
): Map<FlatRule, FlatRule> {
  const pairs = new Map<FlatRule, FlatRule>();
  for (const dnat of incoming) {
    const inward = wholeAddress(dnat, 'to', 'DNAT', 'to-destination');
    if (inward === null || own.includes(addressText(inward.outer))) continue;
    const snat = outgoing.find((candidate) => {
      const outward = wholeAddress(candidate, 'from', 'SNAT', 'to-source');
      return outward !== null && same(outward.outer, inward.inner) && same(outward.inner, inward.outer);
    });
    if (snat === undefined || [...pairs.values()].includes(snat)) continue;
    // natgate's one-to-one comes before whatever translates.
    const isPreceded = outgoing
      .slice(0, outgoing.indexOf(snat))
      .some(({ target, tests }) => target !== 'ACCEPT' && mayBeFrom(tests, inward.inner));
    if (!isPreceded) pairs.set(dnat, snat);
  }
  return pairs;
}

function mayBeFrom(tests: FlatRule['tests'], host: Range): boolean {
  return testsOn(tests, 'from').every(({ ranges, not }) =>
    not ? without([host], ranges).length > 0 : overlap([host], ranges),
  );
}

function same(a: Range, b: Range): boolean {
  return a.first === b.first && a.last === b.last;
}

/** An address or prefix that is translated as a whole. */
function wholeAddress(
  flat: FlatRule,
  on: 'from' | 'to',
  target: string,
  option: string,
): { outer: Range; inner: Range } | null {
  const { tests, lost, never } = flat;
  if (lost !== null || never !== null || tests.some((test) => !['in', 'out', on].includes(test.on)))
    return null;
  const addresses = testsOn(tests, on)[0];
  if (addresses === undefined || addresses.not || addresses.ranges.length !== 1) return null;
  const outer = addresses.ranges[0]!;
  const text =
    flat.target === target
      ? argument(flat, option)
      : flat.target === 'NETMAP'
        ? argument(flat, 'to')
        : undefined;
  const inner = text === undefined ? null : parseNetwork(text);
  if (inner === null || inner.last - inner.first !== outer.last - outer.first) return null;
  return flat.target === 'NETMAP' || outer.first === outer.last ? { outer, inner } : null;
}

/**
 * Addresses of the gateway beside the public interface's own: those that rules name. What comes in by the interface without a `-d` is about
 * them as well.
 */
export function otherAddresses(
  incoming: readonly FlatRule[],
  outgoing: readonly FlatRule[],
  own: readonly string[],
): string[] {
  const named = [
    ...incoming
      .filter(({ target }) => target === 'DNAT' || target === 'NETMAP')
      .flatMap(({ tests }) =>
        testsOn(tests, 'to').flatMap(({ ranges, not, set }) => (not || set !== undefined ? [] : ranges)),
      ),
    ...outgoing.flatMap((one) => {
      const text = one.target === 'SNAT' ? argument(one, 'to-source') : undefined;
      const span = text === undefined || one.lost !== null ? null : parseSpan(text.split(':')[0]!);
      return span === null ? [] : [span];
    }),
  ];
  const single = normal(named).flatMap(({ first, last }) =>
    Array.from({ length: Math.min(last - first, MOST_SINGLE) + 1 }, (_, i) =>
      addressText({ first: first + i, last: first + i }),
    ),
  );
  return single.filter((address) => !own.includes(address));
}

export function importIn(
  flat: readonly FlatRule[],
  sides: Sides,
  own: readonly string[],
  others: readonly string[],
  pairs: ReadonlyMap<FlatRule, FlatRule>,
  inward: readonly InwardSource[],
  report: Report,
): InPart {
  const part: InPart = { forwards: [], pairs: [], letIn: [] };
  const taken: Taken[] = [];
  const whole: Range[] = [];
  for (const one of flat) {
    const { rule, target } = one;
    const comment = (comments: string[]) => part.forwards.push({ comments });
    const snat = pairs.get(one);
    if (snat !== undefined) {
      const { outer, inner } = wholeAddress(one, 'to', 'DNAT', 'to-destination')!;
      part.pairs.push({
        comments: [...report.carried(rule), ...report.carried(snat.rule)],
        value: { external: addressText(outer), internal: addressText(inner) },
      });
      part.letIn.push({ protocol: null, to: inner, ports: null });
      whole.push(outer);
      continue;
    }
    if (one.never !== null) comment(report.needless(rule, one.never));
    else if (target === 'REDIRECT') redirect(one, sides, report, comment);
    else if (target === 'ACCEPT') {
      const later = flat.slice(flat.indexOf(one) + 1).some((other) => other.target !== 'ACCEPT');
      comment(
        later
          ? report.lost(
              rule,
              'natgate has no exceptions from forwards: leave those addresses out of the rules below',
            )
          : report.needless(rule, 'nothing comes after it'),
      );
    } else if (target === 'DNAT') {
      const made = forwardsOf(one, sides, own, others, taken, whole);
      if (typeof made === 'string') comment(report.lost(rule, made));
      else if (made.forwards.length === 0)
        comment(report.needless(rule, 'rules before it have all of its ports'));
      else add(part, made, one, inward, report);
    } else if (target === 'NETMAP')
      comment(
        report.lost(
          rule,
          'a NETMAP of one direction: natgate’s one-to-one is both ways, add the NETMAP of POSTROUTING',
        ),
      );
    else if (target === 'LOG')
      comment(report.lost(rule, 'natgate logs what its firewall is asked about', false));
    else comment(report.lost(rule, `natgate has no target ${target}`));
  }
  return part;
}

function redirect(
  { rule, tests }: FlatRule,
  sides: Sides,
  report: Report,
  comment: (comments: string[]) => void,
): void {
  if (mayComeFrom(tests, sides.private)) {
    comment(
      report.lost(
        rule,
        'a process of the gateway itself would answer for other hosts; natgate sends private hosts on to who they ask for',
      ),
    );
    return;
  }
  report.host();
  comment([
    `${rule.text}`,
    '   the host’s own: leave it in iptables, which sees the ports that are not natgate’s',
  ]);
}

function mayComeFrom(tests: FlatRule['tests'], names: readonly string[]): boolean {
  return names.some((name) =>
    tests.every(
      (test) => test.on !== 'in' || test.names.some((pattern) => isNamed(name, pattern)) !== test.not,
    ),
  );
}

interface Made {
  forwards: { value: Record<string, unknown>; protocol: number; to: Range[]; ports: Range }[];
  note: string | null;
}

function forwardsOf(
  flat: FlatRule,
  sides: Sides,
  own: readonly string[],
  others: readonly string[],
  taken: Taken[],
  whole: readonly Range[],
): Made | string {
  const { tests, lost } = flat;
  if (lost !== null) return lost;
  const [outside] = [sides.public];
  if (!mayComeFrom(tests, [outside]))
    return 'what private hosts send elsewhere is not turned round: natgate’s forwards are for external addresses';
  let protocols: readonly number[] = [];
  let ports: Ranges = [{ first: 1, last: 65_535 }];
  let addresses: string[] = [''];
  let sources: Ranges | null = null;
  let isLocal = false;
  for (const test of tests) {
    if (test.on === 'protocol' && !test.not) protocols = test.values;
    else if (test.on === 'dport')
      ports = test.not ? complement(test.ranges, [{ first: 1, last: 65_535 }]) : test.ranges;
    else if (test.on === 'to' && test.set?.startsWith('type ')) isLocal = true;
    else if (test.on === 'to') {
      if (test.not) return 'the external address of a forward is one, not all but some';
      const listed = test.ranges.flatMap(({ first, last }) =>
        Array.from({ length: Math.min(last - first, MOST_SINGLE) + 1 }, (_, i) =>
          addressText({ first: first + i, last: first + i }),
        ),
      );
      if (listed.length > MOST_SINGLE)
        return 'a forward has one external address; a whole prefix is a one-to-one';
      addresses = listed;
    } else if (test.on === 'from') sources = test.not ? complement(test.ranges, ALL_ADDRESSES) : test.ranges;
    else if (test.on === 'state') {
      if (test.states.includes('NEW') === test.not) return 'natgate’s forwards do not ask for states';
    } else if (test.on !== 'in')
      return `natgate’s forwards do not ask for ${test.on === 'chance' ? 'limits and times' : test.on}`;
  }
  if (protocols.length === 0)
    return 'a forward is of TCP or UDP; a whole address is a one-to-one, with an SNAT of the same two addresses in POSTROUTING';
  if (protocols.some((number) => number !== 6 && number !== 17)) return 'a forward is of TCP or UDP';
  const isShared = (address: string) => address === '' || own.includes(address);
  const hasPorts = tests.some((test) => test.on === 'dport');
  if (!hasPorts && addresses.some(isShared))
    return 'all ports of the public interface’s address would leave none to the host: name ports';
  const targets = destination(argument(flat, 'to-destination') ?? '');
  if (typeof targets === 'string') return targets;
  const isVague = addresses[0] === '' && !isLocal && mayComeFrom(tests, sides.private);
  const isAnyAddress = addresses[0] === '';
  const isTooMany = isAnyAddress && others.length > MOST_OTHERS;
  if (isAnyAddress && !isTooMany) addresses = ['', ...others];
  const made: Made = {
    forwards: [],
    note: isTooMany
      ? `without -d it is about the gateway’s other addresses as well: name them, there are ${others.length}`
      : isVague
        ? 'without -i and -d it also turns round what private hosts send to such ports elsewhere; natgate does not'
        : null,
  };
  for (const protocol of protocols) {
    for (const address of addresses) {
      const known = isShared(address) ? '' : address;
      if (known !== '' && overlap(whole, [parseNetwork(known)!])) continue;
      const free = freePorts(taken, protocol, known, ports, sources);
      for (const range of free) {
        for (const [external, internal] of mapped(range, targets)) {
          if (internal === null)
            return 'netfilter takes any port of the range; a natgate forward has one for each external port';
          const to = targets.addresses.map((text) =>
            internal === external.first ? text : `${text}:${internal}`,
          );
          made.forwards.push({
            value: {
              protocol: protocol === 6 ? 'tcp' : 'udp',
              port: portText(external),
              ...(known !== '' && { address: known }),
              to: oneOrList(to),
              ...(sources && { from: oneOrList(sources.map(addressText)) }),
            },
            protocol,
            to: targets.ranges,
            ports: { first: internal, last: internal + external.last - external.first },
          });
          taken.push({ protocol, address: known, ports: external, sources });
        }
      }
    }
  }
  if (made.forwards.length > MOST_SINGLE)
    return `that is ${made.forwards.length} forwards of one port each: write them by hand if they are meant`;
  return made;
}

/** Ports that no rule before it has for all of its sources. Of those that one has for some, the first that fits decides, here as there. */
function freePorts(
  taken: readonly Taken[],
  protocol: number,
  address: string,
  ports: Ranges,
  sources: Ranges | null,
): Range[] {
  let free = [...ports];
  for (const other of taken) {
    if (other.protocol !== protocol || other.address !== address || !overlap(free, [other.ports])) continue;
    if (without(sources ?? ALL_ADDRESSES, other.sources ?? ALL_ADDRESSES).length > 0) continue;
    free = without(free, [other.ports]);
  }
  return free;
}

interface Destination {
  addresses: string[];
  ranges: Range[];
  /** Null: as they come. */
  ports: Range | null;
  /** External port that the first internal one is for. */
  base: number | null;
}

/** `ADDR[-ADDR][:PORT[-PORT[/BASE]]]`. */
function destination(text: string): Destination | string {
  const match = /^([\d.-]*)(?::(\d+)(?:-(\d+))?(?:\/(\d+))?)?$/.exec(text);
  if (match === null) return `${text} is no destination`;
  const range = parseSpan(match[1]!);
  if (range === null)
    return match[1] === ''
      ? 'no private host is named: a port of the gateway itself is the host’s'
      : `${match[1]} is no address`;
  const count = range.last - range.first + 1;
  if (count > MOST_TARGETS) return `${match[1]}: a forward has ${MOST_TARGETS} hosts at most here`;
  const ranges = Array.from({ length: count }, (_, i) => ({ first: range.first + i, last: range.first + i }));
  const first = match[2] === undefined ? null : Number(match[2]);
  return {
    addresses: ranges.map(addressText),
    ranges,
    ports: first === null ? null : { first, last: Number(match[3] ?? first) },
    base: match[4] === undefined ? null : Number(match[4]),
  };
}

/** External ranges, each with the internal port of its first; null where that is netfilter's choice. */
function mapped(external: Range, { ports, base }: Destination): [Range, number | null][] {
  if (ports === null) return [[external, external.first]];
  if (base !== null) return [[external, ports.first + external.first - base]];
  if (external.first === external.last && ports.first === ports.last) return [[external, ports.first]];
  if (external.first >= ports.first && external.last <= ports.last) return [[external, external.first]];
  if (ports.first !== ports.last) return [[external, null]];
  if (external.last - external.first >= MOST_SINGLE) return [[external, null]];
  return Array.from({ length: external.last - external.first + 1 }, (_, i) => [
    { first: external.first + i, last: external.first + i },
    ports.first,
  ]);
}

function add(part: InPart, made: Made, one: FlatRule, inward: readonly InwardSource[], report: Report): void {
  const comments = made.note === null ? report.carried(one.rule) : report.partly(one.rule, made.note);
  made.forwards.forEach((forward, i) => {
    const twice = inward.find(({ flat }) =>
      forward.to.every((to) => coversTarget(flat, to, forward.protocol, [forward.ports]) === 'all'),
    );
    const more = twice === undefined || twice.used ? [] : report.carried(twice.flat.rule);
    if (twice !== undefined) twice.used = true;
    part.forwards.push({
      comments: [...(i === 0 ? comments : []), ...more],
      value: { ...forward.value, ...(twice !== undefined && { twice: true }) },
    });
    for (const to of forward.to) part.letIn.push({ protocol: forward.protocol, to, ports: forward.ports });
  });
}
