/** The findings of `natgate doctor` for people: a line each; what is wrong also with why and how to mend it. */
import { styleText } from 'node:util';
import type { Check } from '../host/checks/check.ts';

const SIGNS = { ok: ['green', 'ok  '], warn: ['yellow', 'warn'], fail: ['red', 'FAIL'] } as const;

/** What the verdict is about: the gateway's own host, or a private one. */
export type Verdicts = { good: string; bad: string };

export const RUN_VERDICTS: Verdicts = {
  good: '`natgate run` would start',
  bad: '`natgate run` would not start',
};

export const CLIENT_VERDICTS: Verdicts = {
  good: 'this host is served by its gateway',
  bad: 'this host is not served as it should be',
};

export function checksText(checks: readonly Check[], verdicts = RUN_VERDICTS): string {
  const width = Math.max(...checks.map((check) => check.name.length));
  const lines = checks.flatMap(({ status, name, what, why, remedy }) => {
    const [colour, sign] = SIGNS[status];
    const head = `${styleText(colour, sign, { stream: process.stdout })}  ${name.padEnd(width)}  ${what}`;
    return [head, ...[why, remedy].filter((line) => line !== '').map((line) => `      ${line}`)];
  });
  const failures = checks.filter((check) => check.status === 'fail').length;
  const verdict =
    failures === 0 ? verdicts.good : `${verdicts.bad}: ${failures} of ${checks.length} checks failed`;
  return `${[...lines, '', verdict].join('\n')}\n`;
}
