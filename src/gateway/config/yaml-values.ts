/**
 * YAML text as plain values, with the place of each.
 *
 *     text ─▶ yaml's document (syntax errors, repeated keys) ─▶ values
 *                    └──────────── locate(path) ◀── whoever finds something wrong with one
 *
 * Allowed is what a configuration needs: one document, maps with text keys, lists, scalars, anchors and their aliases. What
 * aliases add is bounded (a few lines can stand for billions of values), and so is the depth.
 */
import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from 'yaml';
import type { Path, Place, Problem } from './problems.ts';

/** Values that aliases may add. */
const MAX_ALIASED = 20_000;
const MAX_DEPTH = 32;
/** Where the syntax is broken, most of what follows is broken by that. */
const MAX_ERRORS = 20;

export interface YamlValues {
  /** Undefined where there is none that could be looked at. Maps have no prototype. */
  value: unknown;
  problems: Problem[];
  /** Of the value at a path, or of its key; of what is around it where there is none. */
  locate(path: Path, what?: 'value' | 'key'): Place;
}

export function yamlValues(text: string): YamlValues {
  const counter = new LineCounter();
  const document = parse(text, counter);
  if (document === null) {
    const place = { line: 1, column: 1 };
    return {
      value: undefined,
      problems: [problem(place, 'it is nested too deeply', 'a configuration has a few levels')],
      locate: () => place,
    };
  }
  const walk = new Walk(document, counter);
  const problems = syntaxProblems(document, counter);
  const isBroken = problems.some(({ path }) => path.length === 0);
  const value = isBroken ? undefined : walk.start();
  return {
    value,
    problems: [...problems, ...walk.problems],
    locate: (path, what = 'value') => walk.locate(path, what),
  };
}

/** Null: the parser's stack did not suffice. */
function parse(text: string, lineCounter: LineCounter): Document | null {
  try {
    return parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      stringKeys: true,
      schema: 'core',
      version: '1.2',
      resolveKnownTags: false,
      logLevel: 'error',
    });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** What yaml says in its own words, and what helps. */
const REMEDIES: Record<string, [string | null, string]> = {
  MULTIPLE_DOCS: ['a second document begins here', 'a configuration is one: take out the line `---`'],
  TAB_AS_INDENT: ['a tab indents this line', 'indent with spaces'],
  BAD_SCALAR_START: [null, 'put the text in quotes; a set is "@name"'],
  BAD_ALIAS: [null, 'an alias names an anchor (&name) that stands before it'],
  NON_STRING_KEY: ['this key is no text', 'a key is a word'],
  BAD_INDENT: [null, 'the entries of a map or list begin in one column'],
  TAG_RESOLVE_FAILED: [null, 'a configuration needs no tags: leave it out'],
};

function syntaxProblems(document: Document, counter: LineCounter): Problem[] {
  const errors = [...document.errors, ...document.warnings];
  const tooDeep = errors.find(({ message }) => message.includes('call stack'));
  if (tooDeep !== undefined) {
    const { line, col } = counter.linePos(tooDeep.pos[0]);
    return [problem({ line, column: col }, 'it is nested too deeply', 'a configuration has a few levels')];
  }
  return errors.slice(0, MAX_ERRORS).map(({ code, pos, message }) => {
    const { line, col } = counter.linePos(pos[0]);
    const place = { line, column: col };
    if (code === 'DUPLICATE_KEY') {
      const key = keyAt(document, pos[0]);
      return {
        ...problem(place, 'the key is given twice', 'keep one of them'),
        path: [key],
      };
    }
    const [what, remedy] = REMEDIES[code] ?? [null, 'this is no YAML'];
    return problem(place, what ?? message.replace(/\s+/g, ' ').trim(), remedy);
  });
}

function problem(place: Place, what: string, remedy: string): Problem {
  return { severity: 'error', path: [], what, remedy, place };
}

/** Text of the key that begins at this offset. */
function keyAt(document: Document, offset: number): string {
  let found = '';
  const look = (node: unknown): void => {
    if (isPair(node)) {
      if (isScalar(node.key) && node.key.range?.[0] === offset) found = String(node.key.value);
      look(node.value);
    } else if (isMap(node) || isSeq(node)) node.items.forEach(look);
  };
  look(document.contents);
  return found;
}

class Walk {
  readonly problems: Problem[] = [];
  readonly #root: Node | null;
  readonly #counter: LineCounter;
  readonly #anchors = new Map<string, Node>();
  /** What each alias stands for. */
  readonly #targets = new Map<Node, Node>();
  /** Maps and lists that are being walked through. */
  readonly #open = new Set<Node>();
  /** Aliases that are being followed, and what they have added so far. */
  #following = 0;
  #aliased = 0;
  /** Path of the outermost alias that is being followed. */
  #outer: Path = [];

  constructor(document: Document, counter: LineCounter) {
    this.#root = document.contents as Node | null;
    this.#counter = counter;
  }

  start(): unknown {
    return this.#value(this.#root, []);
  }

  #value(node: Node | null, path: Path): unknown {
    if (node === null) return null;
    if (this.#following > 0 && ++this.#aliased > MAX_ALIASED) {
      if (this.#aliased === MAX_ALIASED + 1)
        this.#refuse(this.#outer, 'aliases stand for too many values', 'write them out');
      return null;
    }
    if (isAlias(node)) return this.#alias(node, node.source, path);
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    if (path.length >= MAX_DEPTH) {
      this.#refuse(path, 'it is nested too deeply', 'a configuration has a few levels');
      return null;
    }
    this.#open.add(node);
    const value = this.#collection(node, path);
    this.#open.delete(node);
    return value;
  }

  #collection(node: Node, path: Path): unknown {
    if (isSeq(node)) return node.items.map((item, i) => this.#value(item as Node | null, [...path, i]));
    const value: Record<string, unknown> = Object.create(null);
    if (!isMap(node)) return value;
    for (const pair of node.items) {
      const key = keyOf(pair);
      value[key] = this.#value(pair.value as Node | null, [...path, key]);
    }
    return value;
  }

  #alias(node: Node, name: string, path: Path): unknown {
    const target = this.#anchors.get(name);
    if (target === undefined) return null;
    this.#targets.set(node, target);
    if (this.#open.has(target)) {
      this.#refuse(path, `the alias *${name} is within what it stands for`, 'write it out');
      return null;
    }
    if (this.#following++ === 0) this.#outer = path;
    const value = this.#value(target, path);
    this.#following--;
    return value;
  }

  #refuse(path: Path, what: string, remedy: string): void {
    // Where aliases nest, thousands could be wrong in the same way.
    if (this.problems.length >= 20) return;
    this.problems.push({ ...problem(this.locate(path, 'value'), what, remedy), path });
  }

  locate(path: Path, what: 'value' | 'key'): Place {
    let node = this.#root;
    let offset = node?.range?.[0] ?? 0;
    for (const [depth, part] of path.entries()) {
      const target = this.#resolved(node);
      const isLast = depth === path.length - 1;
      if (isMap(target)) {
        const pair = target.items.findLast((candidate) => keyOf(candidate) === part);
        if (pair === undefined) break;
        const key = (pair.key as Node).range![0];
        node = pair.value as Node | null;
        const isEmpty = node === null || (isScalar(node) && node.value === null && !node.source);
        offset = (isLast && what === 'key') || isEmpty ? key : (node?.range?.[0] ?? key);
      } else if (isSeq(target) && typeof part === 'number' && part < target.items.length) {
        node = target.items[part] as Node;
        offset = node.range?.[0] ?? offset;
      } else break;
    }
    const { line, col } = this.#counter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  #resolved(node: Node | null): Node | null {
    let target = node;
    while (target !== null && isAlias(target)) target = this.#targets.get(target) ?? null;
    return target;
  }
}

function keyOf(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : '';
}
