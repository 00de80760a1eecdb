/**
 * `--forward`: a port, or a range of ports, of an external address that leads to internal hosts.
 *
 *     PROTO:[ADDR:]PORT[-PORT]=HOST[:PORT][,HOST[:PORT]…][,from=PREFIX…][,affinity=SECONDS][,twice]
 *
 *     tcp:8080=192.168.1.10:80                   one port to another
 *     tcp+udp:203.0.113.9:5000-5099=192.168.1.10 a range of a dedicated address, the same ports inside
 *     tcp:443=192.168.1.10,192.168.1.11,affinity=600,from=198.51.100.0/24
 */
import type { Forward, ForwardTarget, Prefix } from '../nat/config.ts';
import { overlaps } from '../nat/dedicated.ts';
import { formatAddress, formatPrefix } from '../wire/address.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/ipv4.ts';
import { hostAddress, OptionText, port, portRange, prefix, quoted, splitOnce } from './nat-syntax.ts';

const TCP = ['tcp', PROTO_TCP] as const;
const UDP = ['udp', PROTO_UDP] as const;
export const FORWARD_PROTOCOLS = new Map([
  ['tcp', [TCP]],
  ['udp', [UDP]],
  ['tcp+udp', [TCP, UDP]],
]);
/** How it is said right. */
export const FORWARD_EXAMPLE = 'tcp:8080=192.168.1.10:80';
/** Longer than any session that must find its server again. */
const MAX_AFFINITY_SECONDS = 86_400;

/** One forward per protocol. `name` is the text with that protocol. */
export function parseForward(
  text: string,
  from = new OptionText('forward', text, FORWARD_EXAMPLE),
): Forward[] {
  const halves = splitOnce(text, '=');
  if (halves === null) throw from.refuse('there is no `=` between the external port and the internal host');
  const [outside, inside] = halves;
  const head = splitOnce(outside, ':');
  const protocols = FORWARD_PROTOCOLS.get(head?.[0] ?? outside);
  if (head === null || protocols === undefined) {
    throw from.refuse(`it must begin with tcp:, udp: or tcp+udp:, not with ${quoted(head?.[0] ?? outside)}`);
  }
  const [addressText, portText] = splitOnce(head[1], ':') ?? ['', head[1]];
  const ports = portRange(from, portText);
  const address = addressText === '' ? 0 : hostAddress(from, addressText);
  const options = insideOptions(from, inside, ports);
  const rest = text.slice(head[0].length);
  return protocols.map(([name, protocol]) => ({
    name: `${name}${rest}`,
    protocol,
    address,
    ports,
    ...options,
  }));
}

type Inside = Pick<Forward, 'targets' | 'sources' | 'affinitySeconds' | 'twice'>;

function insideOptions(from: OptionText, text: string, ports: Forward['ports']): Inside {
  const targets: ForwardTarget[] = [];
  const sources: Prefix[] = [];
  let affinitySeconds: number | undefined;
  let twice = false;
  for (const word of text.split(',')) {
    const named = splitOnce(word, '=');
    if (word === 'twice') {
      if (twice) throw from.refuse('`twice` is given more than once');
      twice = true;
    } else if (named === null) {
      targets.push(forwardTarget(from, word, ports, targets));
    } else if (word.startsWith('from=')) {
      sources.push(source(from, named[1], sources));
    } else if (named[0] === 'affinity') {
      if (affinitySeconds !== undefined) throw from.refuse('`affinity` is given more than once');
      affinitySeconds = affinity(from, named[1]);
    } else {
      throw from.refuse(`${named[0]}= is no option of a forward; there are from=, affinity= and twice`);
    }
  }
  if (targets.length === 0) throw from.refuse('no internal host is named');
  if (affinitySeconds !== undefined) refuseLoneAffinity(from, targets);
  return { targets, sources, affinitySeconds: affinitySeconds ?? 0, twice };
}

export function refuseLoneAffinity(from: OptionText, targets: readonly ForwardTarget[]): void {
  if (targets.length > 1) return;
  throw from.refuse(
    'affinity chooses among several hosts, and there is one',
    'name more hosts (=192.168.1.10,192.168.1.11,affinity=600), or leave affinity out',
  );
}

/** `HOST` or `HOST:PORT`; `others`: those before it. */
export function forwardTarget(
  from: OptionText,
  text: string,
  ports: Forward['ports'],
  others: readonly ForwardTarget[],
): ForwardTarget {
  const [addressText, portText] = splitOnce(text, ':') ?? [text, null];
  const address = hostAddress(from, addressText);
  const first = portText === null ? ports.first : port(from, portText);
  const last = first + ports.last - ports.first;
  if (last > 65_535) {
    throw from.refuse(
      `the range would end at port ${last} of ${addressText}`,
      `the internal port is that of the first external one: ${65_535 - (ports.last - ports.first)} at most here`,
    );
  }
  if (others.some((other) => other.address === address && other.port === first)) {
    throw from.refuse(`${formatAddress(address)}:${first} is named twice`, 'name every host once');
  }
  return { address, port: first };
}

function source(from: OptionText, text: string, others: readonly Prefix[]): Prefix {
  const network = prefix(from, text);
  const other = others.find((candidate) => overlaps(candidate, network));
  if (other !== undefined) {
    throw from.refuse(
      `from=${formatPrefix(network)} and from=${formatPrefix(other)} overlap`,
      'keep the wider one',
    );
  }
  return network;
}

function affinity(from: OptionText, text: string): number {
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || seconds < 1 || seconds > MAX_AFFINITY_SECONDS) {
    throw from.refuse(
      `affinity=${text} is no number of seconds from 1 to ${MAX_AFFINITY_SECONDS}`,
      'e.g. affinity=600; without affinity every connection is a new turn',
    );
  }
  return seconds;
}
