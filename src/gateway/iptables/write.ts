/** YAML with the comments where they belong: a line for each element, after the rules that it comes from. */
import { Document, isCollection } from 'yaml';
import type { Entry } from './entries.ts';

/** One value on one line. */
export function inline(value: unknown): string {
  const document = new Document(value, { version: '1.2' });
  if (isCollection(document.contents)) document.contents.flow = true;
  return document.toString({ lineWidth: 0, flowCollectionPadding: false, minContentWidth: 0 }).trimEnd();
}

/** `key:` and its elements. Where none has a value, the comments alone. */
export function listLines(key: string, entries: readonly Entry[], indent = ''): string[] {
  const isEmpty = entries.every(({ value }) => value === undefined);
  if (isEmpty) return entries.flatMap(({ comments }) => commented(comments, indent));
  return [
    `${indent}${key}:`,
    ...entries.flatMap(({ comments, value }) => [
      ...commented(comments, `${indent}  `),
      ...(value === undefined ? [] : [`${indent}  - ${inline(value)}`]),
    ]),
  ];
}

export function commented(comments: readonly string[], indent = ''): string[] {
  return comments.map((comment) => `${indent}# ${comment.replace(/[\n\r]/g, ' ')}`.trimEnd());
}
