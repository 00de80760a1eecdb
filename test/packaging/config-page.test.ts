/** natgate.yaml(5) has every key of the schema, and what it shows can be used. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { configPage } from '../../packaging/man/config-page.ts';
import { configJsonSchema } from '../../src/gateway/config/json-schema.ts';
import { keysOf } from '../config-reference/page.ts';
import { linesOf } from '../gateway/config/support.ts';

const page = configPage();

it('describes every key of the file once, and those of a map below it', () => {
  const lines = page.split('\n');
  let section = '';
  const found = lines.flatMap((line, at) => {
    const title = /^\.SS (.*)$/.exec(line)?.[1];
    if (title !== undefined) section = title;
    const path = title ?? (lines[at - 1] === '.TP' ? /^\\fB(.*)\\fR$/.exec(line)?.[1] : undefined);
    if (section === '' || path === undefined || path.startsWith('/')) return [];
    expect(path.split(/[.[]/)[0]).toBe(section);
    return [path.replaceAll('\\-', '-')];
  });
  expect(found).toEqual(keysOf(configJsonSchema(), '').map(({ path }) => path));
  expect(page).toContain(
    '.TP\n\\fBnat.quarantine\\fR\n0\\-86400; default \\fB120\\fR. Seconds in which a port that came free is given to no other host.\n',
  );
});

it('has every line that begins with a dot as a request that man knows', () => {
  for (const line of page.split('\n').filter((text) => text.startsWith('.'))) {
    expect(line).toMatch(/^\.(TH|SH|SS|PP|TP|IP|RS|RE|nf|fi|nh|ad)\b/);
  }
  expect(page).not.toMatch(/[^\n -~]/);
  expect(page).not.toMatch(/\{keys\}|undefined|\.\.$/m);
});

it('shows configurations', () => {
  const source = readFileSync(new URL('../../packaging/natgate.yaml.5.md', import.meta.url), 'utf8');
  const examples = source.match(/(^ {4}.*\n)+/gm) ?? [];
  expect(examples).toHaveLength(2);
  for (const example of examples) expect(linesOf(example.replace(/^ {4}/gm, '')), example).toEqual([]);
});
