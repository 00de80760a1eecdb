/**
 * A change of a running gateway, and with `--save` of its file too.
 *
 *     file == what runs? ─▶ the file's new text, checked ─▶ gateway ─▶ file
 *
 * The file is written by who asks, not by the gateway: who may write the file may save, and the supervisor, which is root, writes nothing
 * for others.
 */
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { NatgateError } from '../core/errors.ts';
import type { Change } from '../gateway/config/change.ts';
import { ask, type Which } from './client.ts';

interface Running {
  file: string | null;
  flags: Record<string, unknown>;
  config: Record<string, unknown>;
}

export interface Outcome {
  flowsEnded: number | null;
  notes: string[];
  /** Null: the file was left as it is. */
  saved: string | null;
}

export const SAVE_OPTIONS = {
  save: { type: 'boolean', default: false, describe: 'Write it into the configuration file as well' },
  force: {
    type: 'boolean',
    default: false,
    describe: 'With --save: also where the file says something else than what runs',
  },
  json: { type: 'boolean', default: false, describe: 'Print JSON, for programs' },
} as const;

export async function makeChange(
  which: Which,
  change: Change,
  { save, force }: { save: boolean; force: boolean },
): Promise<Outcome> {
  const write = save ? await prepareSave(which, change, force) : null;
  const applied = await ask<Omit<Outcome, 'saved'>>(which, ...requestOf(change));
  return { ...applied, saved: write === null ? null : write() };
}

export function outcomeText(what: string, { flowsEnded, notes, saved }: Outcome): string {
  const flows = flowsEnded === null || flowsEnded === 0 ? '' : `, ${flowsEnded} flows ended`;
  const kept = saved === null ? 'until the next reload or restart (--save keeps it)' : `saved in ${saved}`;
  return [`${what}${flows}; ${kept}`, ...notes].join('\n');
}

function requestOf(change: Change): [method: string, path: string, body?: unknown] {
  switch (change.kind) {
    case 'add-forward':
      return ['POST', '/v1/forwards', { forward: change.forward }];
    case 'remove-forward':
      return ['DELETE', `/v1/forwards/${encodeURIComponent(change.name)}`];
    case 'add-rule':
      return ['POST', '/v1/rules', { rule: change.rule, chain: change.chain, ...change.place }];
    case 'remove-rule': {
      const chain = encodeURIComponent(change.chain ?? '-');
      return ['DELETE', `/v1/rules/${chain}/${encodeURIComponent(change.name)}`];
    }
  }
}

/** What writes the file. Throws NatgateError where it could not be, before anything has changed. */
async function prepareSave(which: Which, change: Change, force: boolean): Promise<() => string> {
  const { file, flags, config } = await ask<Running>(which, 'GET', '/v1/config');
  if (file === null) {
    throw new NatgateError(
      'no_file',
      'the gateway was started without a configuration file',
      'leave --save out, or start it with --config FILE',
    );
  }
  const { readConfigFile } = await import('../gateway/config/read-file.ts');
  const { examine, failure } = await import('../gateway/config/load.ts');
  const { editText, replaceFile } = await import('../gateway/config/edit.ts');
  const { applyEdit, editOf } = await import('../gateway/config/change.ts');
  const { yamlValues } = await import('../gateway/config/yaml-values.ts');
  const meaning = (text: string) => {
    const { document, problems } = examine({ ...which, flags, file: { path: file, text } });
    if (document === null) throw failure(file, problems);
    return JSON.parse(JSON.stringify(document));
  };
  const text = readConfigFile(file);
  if (!force && !isDeepStrictEqual(meaning(text), config)) {
    throw new NatgateError(
      'file_differs',
      `${file} says something else than what the gateway runs`,
      '`natgate plan` shows what; --force makes the change in the file nevertheless',
    );
  }
  const edited = editText(text, editOf(yamlValues(text).value as object, change));
  const wanted = JSON.parse(JSON.stringify(applyEdit(meaning(text), editOf(meaning(text), change))));
  const { document } = examine({ ...which, flags, file: { path: file, text: edited } });
  if (document !== null && count(document, change) !== count(wanted, change)) {
    throw new NatgateError(
      'flag_stronger',
      'a flag of `natgate run` says this part of the configuration: the file’s has no effect',
      'leave --save out, or start the gateway without that flag',
    );
  }
  requireWritable(file);
  return () => {
    replaceFile(file, edited);
    return file;
  };
}

/** How many elements the list of the change has. */
function count(document: object, change: Change): number {
  const { forwards, firewall } = document as {
    forwards: unknown[];
    firewall: { rules: unknown[]; chains: Record<string, unknown[]> };
  };
  if (!('chain' in change)) return forwards.length;
  return (change.chain === null ? firewall.rules : (firewall.chains[change.chain] ?? [])).length;
}

function requireWritable(file: string): void {
  try {
    accessSync(file, constants.W_OK);
    accessSync(dirname(file), constants.W_OK);
  } catch (cause) {
    throw new NatgateError(
      'not_permitted',
      `you may not write ${file}: nothing was changed`,
      'try with sudo',
      {
        cause,
      },
    );
  }
}
