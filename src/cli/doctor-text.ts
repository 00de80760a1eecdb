/** The findings of `natgate doctor` for people: a line each; what is wrong also with why and how to mend it. */
import { styleText } from 'node:util';
import type { Check } from '../host/checks/check.ts';

const SIGNS = { ok: ['green', 'ok  '], warn: ['yellow', 'warn'], fail: ['red', 'FAIL'] } as const;

export function checksText(checks: readonly Check[]): string {
  const width = Math.max(...checks.map((check) => check.name.length));
  const lines = checks.flatMap(({ status, name, what, why, remedy }) => {
    const [colour, sign] = SIGNS[status];
    const head = `${styleText(colour, sign, { stream: process.stdout })}  ${name.padEnd(width)}  ${what}`;
    return [head, ...[why, remedy].filter((line) => line !== '').map((line) => `      ${line}`)];
  });
  const failures = checks.filter((check) => check.status === 'fail').length;
  const verdict =
    failures === 0
      ? '`natgate run` would start'
      : `\`natgate run\` would not start: ${failures} of ${checks.length} checks failed`;
  return `${[...lines, '', verdict].join('\n')}\n`;
}
