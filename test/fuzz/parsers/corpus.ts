/**
 * Inputs of a parser that are kept, a line each: a JSON string, or hex where it reads bytes.
 *
 *     test/corpus/parsers/NAME.txt        what adds to the coverage; written by `npm run fuzz -- --parsers`
 *     test/corpus/parsers/kept/NAME.txt   what broke something once; never taken away
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Target } from './target.ts';

/** Where the tree is: the program that runs this is a bundle in a folder of its own. */
const FOLDER = `${process.env['NATGATE_FUZZ_CORPUS'] ?? 'test/corpus/parsers'}/`;

export const MOST_FILES = 64;
export const MOST_BYTES = 2048;

export function readCorpus(target: Target, which: 'found' | 'kept'): Uint8Array[] {
  const path = pathOf(target, which);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => fromLine(target, line));
}

export function writeCorpus(target: Target, inputs: readonly Uint8Array[]): void {
  const lines = inputs.map((input) => toLine(target, input)).sort();
  writeFileSync(pathOf(target, 'found'), lines.map((line) => `${line}\n`).join(''));
}

/** Adds what broke the target; returns the file. */
export function keep(target: Target, input: Uint8Array): string {
  const path = pathOf(target, 'kept');
  mkdirSync(`${FOLDER}kept`, { recursive: true });
  appendFileSync(path, `${toLine(target, input)}\n`);
  return path;
}

export function toBytes(target: Target, input: string | Uint8Array): Uint8Array {
  return typeof input === 'string' ? Buffer.from(input, encodingOf(target)) : input;
}

export function toText(target: Target, input: Uint8Array): string {
  return target.form === 'bytes' ? '' : Buffer.from(input).toString(encodingOf(target));
}

function toLine(target: Target, input: Uint8Array): string {
  if (target.form === 'bytes') return Buffer.from(input).toString('hex');
  return JSON.stringify(toText(target, input));
}

function fromLine(target: Target, line: string): Uint8Array {
  return target.form === 'bytes' ? Buffer.from(line, 'hex') : toBytes(target, JSON.parse(line) as string);
}

function encodingOf({ form }: Target): 'latin1' | 'utf8' {
  return form === 'latin1' ? 'latin1' : 'utf8';
}

function pathOf({ name }: Target, which: 'found' | 'kept'): string {
  return `${FOLDER}${which === 'kept' ? 'kept/' : ''}${name}.txt`;
}
