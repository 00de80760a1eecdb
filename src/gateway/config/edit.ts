/**
 * Changes of the configuration file that keep its comments and its layout: only the lines of what comes or goes are touched.
 *
 *     text ─▶ yaml's document (comments, positions) ─▶ the edit ─▶ text ─▶ a new file, renamed into place
 *
 * The yaml library writes the whole document anew, which may change the spacing of comments and quotes elsewhere; so lines
 * are cut out or put in by hand wherever that gives the same values, and the library writes only the new element.
 */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { isMap, isSeq, type Node, parseDocument, stringify, YAMLSeq } from 'yaml';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { applyEdit, type Edit } from './change.ts';

const OPTIONS = { schema: 'core', version: '1.2', stringKeys: true, resolveKnownTags: false } as const;

/** The text with the edit made. Throws NatgateError `edit_impossible` where the list is written by an alias. */
export function editText(text: string, edit: Edit): string {
  const wanted = applyEdit(valuesOf(text) ?? {}, edit);
  for (const way of [editLines, editValue, appendKey]) {
    const edited = way(text, edit);
    if (edited !== null && isDeepStrictEqual(valuesOf(edited), wanted)) return edited;
  }
  const document = parseDocument(text, OPTIONS);
  const { list, index, value } = edit;
  const found = document.getIn(list) as unknown;
  if (found !== undefined && found !== null && !isSeq(found)) {
    throw new NatgateError(
      'edit_impossible',
      `the list ${list.join('.')} is not written out in the file`,
      'change the file by hand',
    );
  }
  if (value === undefined) document.deleteIn([...list, index]);
  else if (isSeq(found)) found.items.splice(index, 0, document.createNode(value));
  else {
    const sequence = new YAMLSeq();
    sequence.items.push(document.createNode(value));
    document.setIn(list, sequence);
  }
  const edited = document.toString({ lineWidth: 0 });
  if (isDeepStrictEqual(valuesOf(edited), wanted)) return edited;
  throw new NatgateError(
    'edit_impossible',
    'the change cannot be written into the file, which repeats this part by an alias',
    'change the file by hand',
  );
}

/** Null where the list has no lines of its own: in braces, empty, or not there. */
function editLines(text: string, { list, index, value }: Edit): string | null {
  const sequence = parseDocument(text, OPTIONS).getIn(list, true);
  if (!isSeq(sequence) || sequence.flow === true || sequence.items.length === 0) return null;
  const starts = sequence.items.map((item) => dashOf(text, item as Node));
  if (starts.some((start) => start === null)) return null;
  const lines = starts.map((start) => text.lastIndexOf('\n', start!) + 1);
  const indent = text.slice(lines[0], starts[0]!);
  if (!/^ *$/.test(indent)) return null;
  const ends = sequence.items.map((item) => lineAfter(text, item as Node));
  if (value === undefined) {
    // An empty list may not be written as lines.
    if (sequence.items.length === 1) return null;
    return text.slice(0, lines[index]) + text.slice(ends[index]);
  }
  const added = stringify([value], { ...OPTIONS, lineWidth: 0 })
    .trimEnd()
    .split('\n')
    .map((line) => `${indent}${line}\n`)
    .join('');
  const at = index < lines.length ? lines[index]! : ends.at(-1)!;
  const before = text.slice(0, at);
  return `${before}${before.endsWith('\n') ? '' : '\n'}${added}${text.slice(at)}`;
}

/** A list in brackets, or one that loses its last element, is written anew; what is around it stays. */
function editValue(text: string, { list, index, value }: Edit): string | null {
  const sequence = parseDocument(text, OPTIONS).getIn(list, true);
  if (!isSeq(sequence) || !sequence.range) return null;
  const elements = sequence.toJSON() as unknown[];
  if (sequence.flow !== true && elements.length > 1) return null;
  if (value === undefined) elements.splice(index, 1);
  else elements.splice(index, 0, value);
  const [start, end] = sequence.range;
  const flow = stringify(elements, { ...OPTIONS, lineWidth: 0, collectionStyle: 'flow' }).trim();
  // A list of lines ends with the last of them.
  const rest = text.slice(0, end).endsWith('\n') ? '\n' : '';
  return `${text.slice(0, start)}${flow}${rest}${text.slice(end)}`;
}

/** The first key of the list is not in the file: it comes at the end. */
function appendKey(text: string, edit: Edit): string | null {
  const [key] = edit.list;
  if (edit.value === undefined || parseDocument(text, OPTIONS).has(key)) return null;
  const added = stringify(applyEdit({}, edit), { ...OPTIONS, lineWidth: 0 });
  return `${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${added}`;
}

/** Offset of the dash of a list's element; null where it is not before it on its line. */
function dashOf(text: string, { range }: Node): number | null {
  if (range === null || range === undefined) return null;
  const line = text.lastIndexOf('\n', range[0] - 1) + 1;
  const match = /^( *)- +(?:&\S+ +)?$/.exec(text.slice(line, range[0]));
  return match === null ? null : line + match[1]!.length;
}

/** Offset of the line after the element, whose own comment may follow on its last line. */
function lineAfter(text: string, node: Node): number {
  const last = lastValue(node);
  const end = text.indexOf('\n', Math.max(0, (last.range?.[1] ?? 0) - 1));
  return end < 0 ? text.length : end + 1;
}

function lastValue(node: Node): Node {
  if (isMap(node) && node.flow !== true && node.items.length > 0) {
    const { key, value } = node.items.at(-1)!;
    return lastValue((value ?? key) as Node);
  }
  if (isSeq(node) && node.flow !== true && node.items.length > 0) return lastValue(node.items.at(-1) as Node);
  return node;
}

function valuesOf(text: string): unknown {
  const document = parseDocument(text, OPTIONS);
  return document.errors.length > 0 ? null : document.toJS();
}

/**
 * Replaces a file as one act, keeping its mode and owner; what is linked to is replaced, not the link. Throws NatgateError
 * `config_not_written`.
 */
export function replaceFile(path: string, text: string): void {
  let made: string | undefined;
  try {
    const target = realpathSync(path);
    const { mode, uid, gid } = statSync(target);
    made = `${target}.${randomUUID()}`;
    const fd = openSync(made, 'wx', 0o600);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    chownSync(made, uid, gid);
    chmodSync(made, mode & 0o7777);
    renameSync(made, target);
  } catch (error) {
    if (made !== undefined) rmSync(made, { force: true });
    if (!isSystemError(error)) throw error;
    throw new NatgateError(
      'config_not_written',
      `${path} cannot be written: ${error.message}`,
      'who saves must be allowed to write it: try with sudo',
      { cause: error },
    );
  }
}
