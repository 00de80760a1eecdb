/** What is different between two documents: values by their paths; of lists, elements that came and went. */
import { isDeepStrictEqual } from 'node:util';
import { type Path, pathText } from '../config/problems.ts';

export interface Difference {
  /** `forwards[2]`, `limits.flows`. An element that went has its number in the list that runs. */
  path: string;
  /** Undefined: it is not there. */
  running?: unknown;
  file?: unknown;
}

export function differences(running: unknown, file: unknown, path: Path = []): Difference[] {
  if (isDeepStrictEqual(running, file)) return [];
  if (Array.isArray(running) && Array.isArray(file)) return ofLists(running, file, path);
  if (isMap(running) && isMap(file)) {
    const keys = new Set([...Object.keys(running), ...Object.keys(file)]);
    return [...keys].flatMap((key) => differences(running[key], file[key], [...path, key]));
  }
  return [{ path: pathText(path), running, file }];
}

function ofLists(running: readonly unknown[], file: readonly unknown[], path: Path): Difference[] {
  const missing = (list: readonly unknown[], other: readonly unknown[]) => {
    const texts = new Set(other.map((element) => JSON.stringify(element)));
    return list.flatMap((value, i) => (texts.has(JSON.stringify(value)) ? [] : [{ i, value }]));
  };
  const at = (i: number) => pathText([...path, i]);
  const gone = missing(running, file).map(({ i, value }): Difference => ({ path: at(i), running: value }));
  const come = missing(file, running).map(({ i, value }): Difference => ({ path: at(i), file: value }));
  if (gone.length + come.length > 0) return [...gone, ...come];
  // The same elements in another order.
  return [{ path: pathText(path), running, file }];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
