/** Lists of the document, where one may stand for a list of one: each element with its path. */
import type { PortRange } from '../../nat/config.ts';
import { portRange } from '../nat-syntax.ts';
import type { Path } from './problems.ts';
import type { Reader } from './reader.ts';
import { protocol } from './words.ts';

/** With the path of each element. */
export function elements<T>(path: Path, value: T | readonly T[]): { path: Path; value: T }[] {
  if (!Array.isArray(value)) return [{ path, value: value as T }];
  return value.map((element: T, i) => ({ path: [...path, i], value: element }));
}

export function protocolList(
  reader: Reader,
  path: Path,
  value: string | number | readonly (string | number)[],
): number[] | undefined {
  return listOf(reader, path, value, (at, word) =>
    protocol(reader.text(at, 'protocol', String(word), 'tcp'), word),
  );
}

/** `least`: the lowest port there is. */
export function portList(
  reader: Reader,
  path: Path,
  value: string | number | readonly (string | number)[],
  least: number,
): PortRange[] | undefined {
  return listOf(reader, path, value, (at, word) =>
    portRange(reader.text(at, 'ports', String(word), '8000-8010'), String(word), least),
  );
}

/** Undefined when one of the elements is wrong. */
export function listOf<T, R>(
  reader: Reader,
  path: Path,
  value: T | readonly T[],
  parse: (path: Path, value: T) => R,
): R[] | undefined {
  const parsed = elements<T>(path, value).map((element) =>
    reader.attempt(element.path, () => ({ value: parse(element.path, element.value) })),
  );
  return parsed.every((one) => one !== undefined) ? parsed.map((one) => one.value) : undefined;
}
