/**
 * From a file and flags to RunOptions, or to everything that is wrong with them.
 *
 *     file ─▶ text ─▶ values with places ─┐
 *                                          ├─▶ laid over each other ─▶ shape, defaults ─▶ compile
 *     flags ─▶ values with their flags ────┘
 *
 * All paths lead through here: `run` with a file and without one, `check`, `config show`, `reload`.
 */
import { NatgateError } from '../../core/errors.ts';
import type { RunOptions } from '../options.ts';
import { compile, type Identity } from './compile.ts';
import { flagsByPath, flagValues, laidOver, type RunArguments } from './flags.ts';
import { ConfigError, type Path, type Problem, problemLine, sorted } from './problems.ts';
import { readConfigFile } from './read-file.ts';
import { Reader } from './reader.ts';
import type { ConfigDocument } from './schema.ts';
import { shapeOf } from './shape.ts';
import { type YamlValues, yamlValues } from './yaml-values.ts';

export interface Request {
  name: string;
  stateRoot: string;
  flags: RunArguments;
  /** Null: there are only flags. */
  file: { path: string; text: string } | null;
}

export interface Examined {
  /** Null where there is an error. */
  options: RunOptions | null;
  /** With defaults; null where too little of it is right. */
  document: ConfigDocument | null;
  /** Errors and warnings, in the order of the file. */
  problems: Problem[];
  /** Place of a value in the file, for what is found wrong later; null: it is no part of the file. */
  placeOf(path: Path): Problem['place'];
}

/** Never throws about what the file says; NatgateError `usage` about a flag that is wrong in itself. */
export function examine({ name, stateRoot, flags, file }: Request): Examined {
  const given = flagValues(flags);
  const flagAt = flagsByPath(given);
  const yaml = file === null ? null : yamlValues(file.text);
  const isUsable = yaml === null || (yaml.value !== undefined && isMap(yaml.value));
  if (yaml !== null && !isUsable) {
    const problems = yaml.problems.length > 0 ? yaml.problems : [noMap(yaml)];
    return { options: null, document: null, problems: sorted(problems), placeOf: () => null };
  }
  const shape = shapeOf(laidOver(yaml?.value, given));
  const locate = (path: Path, at: 'key' | 'value') =>
    yaml?.locate(shape.original(path), at) ?? { line: 1, column: 1 };
  const reader = new Reader({ flagAt, locate });
  const identity: Identity = { name, stateRoot, configPath: file?.path ?? null };
  const options = shape.document === null ? null : compile(shape.document, identity, reader);
  // What yaml-values.ts could not give a value has been said.
  const valueless = yaml?.problems ?? [];
  const shapeProblems = shape.problems.filter(
    ({ path }) => !valueless.some((other) => isWithin(path, other.path)),
  );
  const misshapen = shapeProblems.map(({ path, what, remedy, at }): Problem => {
    const flag = flagAt(path);
    const place = yaml === null || flag !== null ? null : yaml.locate(path, at);
    return { severity: 'error', path, what: flag === null ? what : `--${flag}: ${what}`, remedy, place };
  });
  const compiled = reader.problems
    .map((problem) => ({ ...problem, path: shape.original(problem.path) }))
    .filter((problem) => !isConsequence(problem, misshapen));
  const problems = sorted([...(yaml?.problems ?? []), ...misshapen, ...compiled]);
  const isWrong = problems.some(({ severity }) => severity === 'error');
  return {
    options: isWrong ? null : options,
    document: isWrong ? null : shape.document,
    problems,
    placeOf: (path) => (yaml === null || flagAt(path) !== null ? null : yaml.locate(path)),
  };
}

export interface Loaded {
  options: RunOptions;
  document: ConfigDocument;
  /** One line each. */
  warnings: string[];
}

/**
 * Reads the file, where there is one. Throws ConfigError with all that is wrong in it, NatgateError `config_unreadable` or,
 * about flags, `usage`.
 */
export function loadConfig(request: Omit<Request, 'file'> & { path: string | null }): Loaded {
  const { path } = request;
  const file = path === null ? null : { path, text: readConfigFile(path) };
  const examined = examine({ ...request, file });
  const { options, document, problems } = examined;
  if (options === null || document === null) throw failure(path, problems);
  return { options, document, warnings: warningLines(path, problems) };
}

export function warningLines(path: string | null, problems: readonly Problem[]): string[] {
  return problems.map((problem) => problemLine(path ?? '', problem, false));
}

/** What is wrong with a flag is said as such, and first. */
export function failure(path: string | null, problems: readonly Problem[]): NatgateError {
  const flag = problems.find(({ severity, place }) => severity === 'error' && place === null);
  if (flag !== undefined) return new NatgateError('usage', flag.what, flag.remedy);
  return new ConfigError(path ?? '', problems);
}

/**
 * What follows from values that were left out because of their shape: what is said about what they are part of, and every
 * warning, for a rule without them may be another rule.
 */
function isConsequence({ severity, path }: Problem, misshapen: readonly Problem[]): boolean {
  if (severity === 'warning') return misshapen.length > 0;
  return misshapen.some((other) => isWithin(other.path, path));
}

function isWithin(path: Path, outer: Path): boolean {
  return outer.length > 0 && outer.every((part, i) => path[i] === part);
}

function isMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function noMap({ value, locate }: YamlValues): Problem {
  const isEmpty = value === null || value === undefined;
  return {
    severity: 'error',
    path: [],
    what: isEmpty ? 'the file is empty' : 'it is no map of keys and values',
    remedy: 'give at least `private: eth1` and `public: eth0`',
    place: locate([]),
  };
}
