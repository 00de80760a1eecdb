/** Forwards of the document: texts in the flag's own syntax, and maps. */
import type { Forward, ForwardTarget } from '../../nat/config.ts';
import {
  FORWARD_EXAMPLE,
  FORWARD_PROTOCOLS,
  forwardTarget,
  parseForward,
  refuseLoneAffinity,
} from '../forward-option.ts';
import { hostAddress, portRange } from '../nat-syntax.ts';
import { addressPrefixes, type Sets } from './addresses.ts';
import { elements } from './lists.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';
import type { ConfigDocument } from './schema.ts';

type ForwardMap = Exclude<ConfigDocument['forwards'][number], string>;

/** Each with the path of what it comes from; a forward of both protocols is two. */
export function compileForwards(
  document: ConfigDocument,
  sets: Sets,
  reader: Reader,
): { path: Path; forward: Forward }[] {
  const change = document.nat['on-address-change'];
  const names = new Set<string>();
  return elements(['forwards'], document.forwards).flatMap(({ path, value }) => {
    const forwards =
      typeof value === 'string'
        ? reader.attempt(path, () =>
            parseForward(value, reader.text(path, 'forward', value, FORWARD_EXAMPLE)),
          )
        : forwardOf(reader, path, value, sets);
    const own = typeof value === 'string' ? undefined : value['on-address-change'];
    const onAddressChange = own ?? change;
    if (typeof value !== 'string' && value.name !== undefined) {
      if (names.has(value.name)) {
        reader.error([...path, 'name'], `another forward has the name ${value.name}`, 'give each its own');
      }
      names.add(value.name);
    }
    return (forwards ?? []).map((forward) => ({
      path,
      forward: onAddressChange === 'end' ? forward : { ...forward, onAddressChange },
    }));
  });
}

function forwardOf(reader: Reader, path: Path, map: ForwardMap, sets: Sets): Forward[] | undefined {
  const text = (key: string, value: string, example: string) =>
    reader.text([...path, key], 'forward', value, example);
  const word = String(map.port);
  const ports = reader.attempt([...path, 'port'], () => portRange(text('port', word, '8080'), word));
  const address =
    map.address === undefined
      ? 0
      : reader.attempt([...path, 'address'], () =>
          hostAddress(text('address', map.address!, '203.0.113.9'), map.address!),
        );
  const sources = map.from === undefined ? [] : addressPrefixes(reader, [...path, 'from'], map.from, sets);
  const targets = ports === undefined ? undefined : targetsOf(reader, [...path, 'to'], map.to, ports);
  if (targets !== undefined && map.affinity > 0) {
    reader.attempt([...path, 'affinity'], () =>
      refuseLoneAffinity(text('affinity', String(map.affinity), '600'), targets),
    );
  }
  if (ports === undefined || address === undefined || !sources || targets === undefined) return undefined;
  if (map.from !== undefined && sources.length === 0) {
    reader.warning(
      [...path, 'from'],
      'the list is empty: nobody may use the forward',
      'list who may, or leave `from` out to let everybody',
    );
    return undefined;
  }
  const outside = map.address === undefined ? word : `${map.address}:${word}`;
  const described = `${outside}=${[map.to].flat().join(',')}`;
  return FORWARD_PROTOCOLS.get(map.protocol)!.map(([name, protocol]) => ({
    name: map.name ?? `${name}:${described}`,
    protocol,
    address,
    ports,
    targets,
    sources,
    affinitySeconds: map.affinity,
    twice: map.twice,
  }));
}

function targetsOf(
  reader: Reader,
  path: Path,
  to: string | readonly string[],
  ports: Forward['ports'],
): ForwardTarget[] | undefined {
  const targets: ForwardTarget[] = [];
  const words = elements<string>(path, to);
  for (const { path: at, value } of words) {
    const target = reader.attempt(at, () =>
      forwardTarget(reader.text(at, 'forward', value, '192.168.1.10:80'), value, ports, targets),
    );
    if (target !== undefined) targets.push(target);
  }
  if (words.length === 0) reader.error(path, 'no private host is named', 'give one, e.g. 192.168.1.10:80');
  return words.length > 0 && targets.length === words.length ? targets : undefined;
}
