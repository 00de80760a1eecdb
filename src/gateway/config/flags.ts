/** The flags of `run`, as a document that is laid over the file's: whatever a flag says, it says instead of the file. */
import { behaviourKeys, type GivenNatArguments } from '../nat-options.ts';
import {
  parseFlows,
  parseHelpers,
  parseInterface,
  parseLinger,
  parsePortRange,
  parsePrivate,
  parseTxQueueLength,
} from '../options.ts';
import { parseTimeouts } from '../timeout-option.ts';
import { parseWorkers } from '../workers-option.ts';
import { type Path, pathText } from './problems.ts';

/** As the command line has them; undefined or an empty list: not given. */
export interface RunArguments extends GivenNatArguments {
  private?: readonly string[] | undefined;
  public?: string | undefined;
  ports?: string | undefined;
  timeout?: readonly string[] | undefined;
  flows?: number | undefined;
  workers?: number | undefined;
  helper?: readonly string[] | undefined;
  linger?: number | undefined;
  user?: string | undefined;
  txqueuelen?: number | undefined;
  standby?: boolean | undefined;
  clampMss?: boolean | undefined;
  evict?: string | undefined;
  unsolicited?: string | undefined;
  dns?: string | undefined;
}

const GIVEN: Readonly<Record<keyof RunArguments, true>> = {
  private: true,
  public: true,
  ports: true,
  timeout: true,
  flows: true,
  workers: true,
  helper: true,
  linger: true,
  user: true,
  txqueuelen: true,
  standby: true,
  clampMss: true,
  evict: true,
  unsolicited: true,
  dns: true,
  mapping: true,
  filtering: true,
  hairpin: true,
  portChoice: true,
  parity: true,
  portClass: true,
  pooling: true,
  overload: true,
  quarantine: true,
  portsPerHost: true,
  flowsPerHost: true,
  blockSize: true,
  deterministic: true,
  external: true,
  exempt: true,
  forward: true,
  oneToOne: true,
  netmap: true,
};

/** Those that are given, without what else a command line has. */
export function givenFlags(words: RunArguments): RunArguments {
  const given = Object.entries(words).filter(
    ([key, value]) =>
      Object.hasOwn(GIVEN, key) && value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  return Object.fromEntries(given);
}

export interface FlagValue {
  path: Path;
  value: unknown;
  /** Without dashes. */
  flag: string;
}

/** Those that are given, checked one by one. Throws NatgateError `usage`. */
export function flagValues(words: RunArguments): FlagValue[] {
  const values: FlagValue[] = [];
  const add = (flag: string, path: Path, value: unknown) => {
    if (value !== undefined) values.push({ path, value, flag });
  };
  const addList = (key: string, ...lists: [string, readonly string[] | undefined][]) => {
    const all = lists.flatMap(([flag, texts]) => (texts ?? []).map((text) => ({ flag, text })));
    if (all.length === 0) return;
    add(
      all[0]!.flag,
      [key],
      all.map(({ text }) => text),
    );
    for (const [i, { flag, text }] of all.entries()) add(flag, [key, i], text);
  };
  for (const text of words.private ?? []) parsePrivate(text);
  addList('private', ['private', words.private]);
  if (words.public !== undefined) add('public', ['public'], parseInterface('public', words.public));
  if (words.ports !== undefined) {
    parsePortRange(words.ports);
    add('ports', ['ports'], words.ports);
  }
  const { nat, limits } = behaviourKeys(words);
  for (const [key, value] of Object.entries(nat)) add(key, ['nat', key], value);
  for (const [key, value] of Object.entries(limits)) add(key, ['limits', key], value);
  addList('external', ['external', words.external]);
  addList('exempt', ['exempt', words.exempt]);
  addList('forwards', ['forward', words.forward]);
  addList('one-to-one', ['one-to-one', words.oneToOne], ['netmap', words.netmap]);
  for (const [name, seconds] of Object.entries(parseTimeouts(words.timeout ?? []))) {
    add('timeout', ['timeouts', name], seconds);
  }
  if (words.flows !== undefined) add('flows', ['limits', 'flows'], parseFlows(words.flows));
  if (words.workers !== undefined) add('workers', ['engine', 'workers'], parseWorkers(words.workers));
  parseHelpers(words.helper ?? []);
  addList('helpers', ['helper', words.helper]);
  if (words.linger !== undefined) add('linger', ['engine', 'linger'], parseLinger(words.linger));
  add('user', ['engine', 'user'], words.user);
  if (words.txqueuelen !== undefined) {
    add('txqueuelen', ['engine', 'txqueuelen'], parseTxQueueLength(words.txqueuelen));
  }
  add('standby', ['engine', 'standby'], words.standby);
  add('clamp-mss', ['clamp-mss'], words.clampMss);
  add('evict', ['evict'], words.evict);
  add('unsolicited', ['unsolicited'], words.unsolicited);
  if (words.dns !== undefined) addDns(words.dns, add);
  return values;
}

/** ADDR,ADDR or one of the words that stand alone. */
function addDns(text: string, add: (flag: string, path: Path, value: unknown) => void): void {
  add('dns', ['dns'], ['off', 'system'].includes(text) ? text : text.split(','));
}

/** The file's values with the flags' over them; lists are replaced as a whole. */
export function laidOver(file: unknown, flags: readonly FlagValue[]): unknown {
  const document = file === undefined ? {} : structuredClone(file);
  for (const { path, value } of flags) set(document, path, value);
  return document;
}

/** Where the file has something else than a map, that is its mistake, and stays. */
function set(document: unknown, path: Path, value: unknown): void {
  let at = document;
  for (const part of path.slice(0, -1)) {
    if (typeof at !== 'object' || at === null) return;
    const map = at as Record<string | number, unknown>;
    if (map[part] === undefined || map[part] === null) map[part] = {};
    at = map[part];
  }
  if (typeof at === 'object' && at !== null && !(Array.isArray(at) && typeof path.at(-1) !== 'number')) {
    (at as Record<string | number, unknown>)[path.at(-1)!] = value;
  }
}

/** The flag of each path, and of what is within it. */
export function flagsByPath(flags: readonly FlagValue[]): (path: Path) => string | null {
  const known = new Map(flags.map(({ path, flag }) => [pathText(path), flag]));
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const flag = known.get(pathText(path.slice(0, length)));
      if (flag !== undefined) return flag;
    }
    return null;
  };
}
