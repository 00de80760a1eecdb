/**
 * Whether a document has the shape of a configuration: zod's issues as problems, and what is left of the document without
 * the values at fault, so that everything else can be looked at in the same go.
 *
 * Where a list loses an element the others move up; `original` gives the path that they have in the document.
 */
import type { z } from 'zod';
import { nearestName } from '../../core/nearest.ts';
import { type Path, pathText, shown } from './problems.ts';
import { type ConfigDocument, configSchema } from './schema.ts';
import { listed } from './schema-values.ts';

export interface ShapeProblem {
  path: Path;
  what: string;
  remedy: string;
  /** Whether the key is at fault, not its value. */
  at: 'key' | 'value';
}

export interface Shape {
  /** With defaults; null when too little is left. */
  document: ConfigDocument | null;
  problems: ShapeProblem[];
  /** The path, in the document as it was, of what has this path in `document`. */
  original(path: Path): Path;
}

type Issue = z.core.$ZodIssue;

/** Each time something else may come to light: a value within a union that was of no type at all. */
const MAX_ROUNDS = 4;

export function shapeOf(value: unknown): Shape {
  const problems: ShapeProblem[] = [];
  const remains = new Remains(value);
  // What was taken out is missing in the next round, and no news.
  const known = new Set<string>();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = configSchema.safeParse(remains.value);
    const original = (path: Path) => remains.original(path);
    if (result.success) return { document: result.data, problems, original };
    const found = result.error.issues.flatMap((issue) => problemsOf(issue, [], remains.value));
    for (const problem of found) {
      const path = original(problem.path);
      const key = pathText(path);
      if (known.has(key)) continue;
      known.add(key);
      problems.push({ ...problem, path });
    }
    remains.remove(found);
  }
  return { document: null, problems, original: (path) => path };
}

/** `within`: path of what the issue's path begins at. */
export function problemsOf(issue: Issue, within: Path, root: unknown): ShapeProblem[] {
  const path = [...within, ...(issue.path as (string | number)[])];
  const value = valueAt(root, path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => unknownKey([...path, key], key, issue.message.split(' ')));
  }
  if (issue.code === 'invalid_key') {
    const allowed = issue.issues[0]?.message ?? issue.message;
    return [{ path, what: `${shown(path.at(-1))} is no name`, remedy: `give ${allowed}`, at: 'key' }];
  }
  if (issue.code === 'invalid_union') {
    const branch = issue.errors.find((issues) => issues.length > 0 && !issues.some(isOfOtherType));
    if (branch !== undefined) return branch.flatMap((inner) => problemsOf(inner, path, root));
  }
  const allowed = allowedBy(issue);
  if (value === undefined) {
    return [{ path, what: 'it is missing', remedy: `give ${allowed}`, at: 'value' }];
  }
  if (value === null) {
    return [{ path, what: 'it has no value', remedy: `give ${allowed}, or leave the key out`, at: 'value' }];
  }
  const words = wordsOf(issue);
  const nearest = typeof value === 'string' && words.length > 1 ? nearestName(value, words) : null;
  const meant = nearest === null ? '' : `did you mean ${nearest}? `;
  const what = `${shown(value)} is not allowed here`;
  return [{ path, what, remedy: `${meant}${meant === '' ? 'give' : 'There is'} ${allowed}`, at: 'value' }];
}

function unknownKey(path: Path, key: string, known: readonly string[]): ShapeProblem {
  const nearest = nearestName(key, known);
  const remedy =
    known.length > 8 ? `did you mean ${nearest}?` : `did you mean ${nearest}? There is ${listed(known)}`;
  return { path, what: `there is no key ${shown(key)} here`, remedy, at: 'key' };
}

/** Whether a branch of a union is not the one that was meant: the value is no list where one is wanted, and so on. */
function isOfOtherType(issue: Issue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_union') return issue.errors.every((branch) => branch.some(isOfOtherType));
  return issue.code === 'invalid_type' || issue.code === 'invalid_value';
}

/** What may stand there, of a union all that may. */
function allowedBy(issue: Issue): string {
  if (issue.code !== 'invalid_union') return issue.message;
  const all = issue.errors.flatMap((branch) => branch.filter(({ path }) => path.length === 0).map(allowedBy));
  const exact = [...new Set(all)];
  const named = exact.filter((text) => !text.startsWith('a list') && !text.startsWith('a map of keys'));
  const texts = named.length > 0 ? named : exact;
  return texts.join(', or ');
}

/** Words that may stand there, of a union those of its branches. */
function wordsOf(issue: Issue): string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  if (issue.code !== 'invalid_union') return [];
  return issue.errors.flat().flatMap((inner) => (inner.path.length === 0 ? wordsOf(inner) : []));
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

/** A document from which values are taken out. */
class Remains {
  value: unknown;
  /** Of the lists that lost elements: the numbers that those which are left had. */
  readonly #numbers = new Map<unknown, number[]>();

  constructor(value: unknown) {
    this.value = structuredClone(value);
  }

  /** What is missing cannot be taken out: what it is missing from goes, or, at the top, a stand-in comes. */
  remove(problems: readonly ShapeProblem[]): void {
    const paths = problems.map(({ path }) => this.#removable(path));
    // The last element of a list first, so that the numbers of the others hold.
    const unique = [...new Map(paths.map((path) => [JSON.stringify(path), path])).values()];
    for (const path of unique.sort(byLastFirst)) this.#removeOne(path);
  }

  #removable(path: Path): Path {
    let at = path;
    while (at.length > 1 && valueAt(this.value, at) === undefined) at = at.slice(0, -1);
    return at;
  }

  #removeOne(path: Path): void {
    const parent = valueAt(this.value, path.slice(0, -1));
    const last = path.at(-1);
    if (Array.isArray(parent) && typeof last === 'number') {
      const numbers = this.#numbers.get(parent) ?? parent.map((_, i) => i);
      this.#numbers.set(parent, numbers.toSpliced(last, 1));
      parent.splice(last, 1);
    } else if (typeof parent === 'object' && parent !== null && last !== undefined) {
      const map = parent as Record<string, unknown>;
      if (path.length === 1 && (last === 'private' || last === 'public')) map[last] = `no-${last}`;
      else delete map[last];
    } else this.value = { private: 'no-private', public: 'no-public' };
  }

  original(path: Path): Path {
    const result: (string | number)[] = [];
    for (const [i, part] of path.entries()) {
      const numbers = this.#numbers.get(valueAt(this.value, path.slice(0, i)));
      result.push(typeof part === 'number' ? (numbers?.[part] ?? part) : part);
    }
    return result;
  }
}

/** Descending, by the numbers of lists. */
function byLastFirst(a: Path, b: Path): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [left, right] = [a[i]!, b[i]!];
    if (left === right) continue;
    if (typeof left === 'number' && typeof right === 'number') return right - left;
    return String(left) < String(right) ? 1 : -1;
  }
  return b.length - a.length;
}
