/**
 * Values for shell completion; names of verbs and options yargs completes itself. Loaded only when a shell asks.
 */
import { readdirSync } from 'node:fs';
import { reasonNames } from '../core/reasons.ts';
import { helperKinds } from '../nat/alg/registry.ts';
import { protocolNames } from '../wire/protocols.ts';
import { CONTENDERS, WORKLOADS } from './bench/options.ts';

/** A path follows: the shell completes it. */
const PATHS = () => [];

const VALUES: Readonly<Record<string, (before: readonly string[]) => readonly string[]>> = {
  private: interfaces,
  public: interfaces,
  helper: () => Object.keys(helperKinds),
  name: gateways,
  mapping: () => ['eim', 'adm', 'apdm'],
  filtering: () => ['eif', 'adf', 'apdf'],
  'port-choice': () => ['preserve', 'random', 'sequential'],
  pooling: () => ['paired', 'arbitrary'],
  overload: () => ['never', 'exhausted', 'always'],
  only: () => [...CONTENDERS, ...WORKLOADS],
  output: () => ['table', 'json', 'csv', 'conntrack'],
  protocol: () => protocolNames,
  workers: () => ['1', '2', '4', '8', '16'],
  reason: () => reasonNames.slice(1),
  side: () => ['private', 'public', 'both'],
  write: PATHS,
  packet: PATHS,
  'state-root': PATHS,
  root: PATHS,
  config: PATHS,
};

/** After `flows`; a filter may stand there as well. */
const FLOW_VERBS = ['list', 'count', 'watch', 'delete', 'flush', 'save', 'restore'];

/**
 * What may stand where the last of `words` is being typed, as far as it is the value of an option; null: it is none, or of one
 * that yargs knows about. `words` are those of the line; bash makes three of `--name=value`.
 */
export function valuesAt(words: readonly string[]): string[] | null {
  const current = words.at(-1) ?? '';
  // Options are yargs's.
  if (words.length === 2 && words[0] === 'flows' && !current.startsWith('-')) {
    return FLOW_VERBS.filter((verb) => verb.startsWith(current));
  }
  const before = words.slice(0, -1);
  if (before.at(-1) === '=') before.pop();
  const joined = /^--([a-z-]+)=/.exec(current)?.[1];
  const option =
    joined ?? /^--([a-z-]+)=?$/.exec(current === '=' ? before.at(-1)! : (before.at(-1) ?? ''))?.[1];
  const values = option === undefined || !Object.hasOwn(VALUES, option) ? undefined : VALUES[option];
  if (values === undefined) return null;
  const prefix = joined === undefined ? '' : `--${joined}=`;
  const typed = current === '=' ? '' : current.slice(prefix.length);
  return values(before)
    .filter((value) => value.startsWith(typed))
    .map((value) => prefix + value);
}

/** Those that packets can be served on: neither the loopback nor natgate's own. */
function interfaces(): string[] {
  return list('/sys/class/net').filter((name) => name !== 'lo' && !name.startsWith('natgate-'));
}

/** Of the state root that the line names, or of the usual one. */
function gateways(before: readonly string[]): string[] {
  const at = before.indexOf('--state-root');
  const root =
    (at === -1 ? undefined : before[at + 1]) ?? process.env['NATGATE_STATE_ROOT'] ?? '/run/natgate';
  return list(root).filter((name) => !name.startsWith('.'));
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
