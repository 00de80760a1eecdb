/**
 * The command line: importing it runs it (main.ts). The files of the verbs are light: each loads what it needs when it is called, so that
 * `--help`, `status` and shell completion answer at once.
 */
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { NatgateError } from '../core/errors.ts';
import { packageVersion } from '../gateway/version.ts';
import * as bench from './bench.ts';
import * as capture from './capture.ts';
import * as check from './check.ts';
import * as clients from './clients.ts';
import * as config from './config.ts';
import * as doctor from './doctor.ts';
import * as down from './down.ts';
import * as drops from './drops.ts';
import * as events from './events.ts';
import { errorText, exitCodeOf } from './exit.ts';
import * as exportRules from './export.ts';
import * as flows from './flows.ts';
import * as forward from './forward.ts';
import * as importRules from './import.ts';
import * as install from './install.ts';
import * as lab from './lab.ts';
import { REPEATABLE } from './nat-options.ts';
import * as plan from './plan.ts';
import * as reload from './reload.ts';
import * as rule from './rule.ts';
import * as run from './run.ts';
import * as stats from './stats.ts';
import * as status from './status.ts';
import * as top from './top.ts';
import * as trace from './trace.ts';
import * as uninstall from './uninstall.ts';
import * as version from './version.ts';
import * as whoHad from './who-had.ts';

/** Words without an option's name. */
const WORDS: ReadonlySet<string> = new Set(['words', 'names']);

const words = hideBin(process.argv);
const cli = yargs(words)
  .scriptName('natgate')
  .usage('natgate <command>: a NAT gateway in user space, without netfilter')
  .command(run)
  .command(down)
  .command(status)
  .command(flows)
  .command(stats)
  .command(top)
  .command(drops)
  .command(trace)
  .command(capture)
  .command(events)
  .command(whoHad)
  .command(check)
  .command(plan)
  .command(reload)
  .command(config)
  .command(clients)
  .command(forward)
  .command(rule)
  .command(doctor)
  .command(importRules)
  .command(exportRules)
  .command(install)
  .command(uninstall)
  .command(lab)
  .command(bench)
  .command(version)
  .completion('completion', 'Print a script that completes natgate commands in bash or zsh')
  .option('debug', { type: 'boolean', default: false, describe: 'Show stack traces of failures' })
  .version(packageVersion())
  .middleware(lastWordCounts, true)
  .demandCommand(1, 'say what to do')
  .strict()
  .recommendCommands()
  .wrap(Number(process.env['COLUMNS']) || Math.min(110, process.stdout.columns ?? 110))
  .fail((message, error) => {
    // Failures of a handler come through here too; yargs' own are YErrors.
    if (error !== undefined && error.name !== 'YError') throw error;
    throw usageError(message ?? error?.message);
  });

try {
  if (!(await completesValue())) await cli.parseAsync();
} catch (error) {
  process.stderr.write(errorText(error, words.includes('--debug')));
  process.exitCode = exitCodeOf(error);
}

/** Prints the values that a shell may complete; false when it asks for names of verbs or options, or for nothing. */
async function completesValue(): Promise<boolean> {
  const asked = words.indexOf('--get-yargs-completions');
  if (asked === -1) return false;
  const { valuesAt } = await import('./completion.ts');
  const values = valuesAt(words.slice(asked + 2));
  if (values !== null) process.stdout.write(values.map((value) => `${value}\n`).join(''));
  return values !== null;
}

/** yargs collects an option that is given twice; only those that are lists from the start keep more than the last. */
function lastWordCounts(argv: Record<string, unknown>): void {
  const lists = [
    REPEATABLE,
    run.REPEATABLE,
    WORDS,
    ...((argv['_'] as unknown[])[0] === install.command ? [install.REPEATABLE] : []),
    ...((argv['_'] as unknown[])[0] === 'import' ? [importRules.REPEATABLE] : []),
    ...((argv['_'] as unknown[])[0] === 'trace' ? [trace.REPEATABLE] : []),
  ];
  for (const [name, value] of Object.entries(argv)) {
    if (name === '_' || !Array.isArray(value) || lists.some((names) => names.has(name))) continue;
    argv[name] = value.at(-1);
  }
}

function usageError(message: string): NatgateError {
  const text = message.replace(/\s+/g, ' ').trim();
  // yargs says what was meant but not what was typed.
  const what = text.startsWith('Did you mean') ? `${words[0]} is no command: ${text}` : text;
  return new NatgateError('usage', what, 'natgate --help, or natgate COMMAND --help');
}
