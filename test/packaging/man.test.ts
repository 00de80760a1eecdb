/** The manual page has what the command line has, and is roff. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseHelp } from '../../packaging/man/help.ts';
import { manualPage } from '../../packaging/man/page.ts';
import { toRoff } from '../../packaging/man/roff.ts';
import { buildProgram, type Program } from '../cli/program.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
let program: Program;
let page: string;

const help = (verb: string) =>
  spawnSync(process.execPath, [program.main, ...verb.split(' ').filter(Boolean), '--help'], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  }).stdout;

beforeAll(() => {
  program = buildProgram();
  page = manualPage([process.execPath, program.main]);
}, 400_000);
afterAll(() => program.remove());

it('has a section for every verb, and in it every flag of its help', () => {
  const names = [
    ...readFileSync(join(ROOT, 'src/cli/commands.ts'), 'utf8').matchAll(/^ {2}\.command\((\w+)\)$/gm),
  ].map((match) => match[1]!);
  expect(names).toContain('run');
  const sections = new Map(page.split('\n.SS ').map((text) => [text.split('\n')[0]!.split(' ')[1]!, text]));
  for (const name of names) {
    const section = sections.get(name) ?? '';
    const flags = [...help(name).matchAll(/^ +(?:-\w, )?(--[a-z][a-z-]*)/gm)].map((match) => match[1]!);
    expect(flags.length, name).toBeGreaterThan(2);
    for (const flag of flags) {
      const text = ['--help', '--version', '--debug'].includes(flag) ? page : section;
      expect(text, `${name} ${flag}`).toContain(flag.replaceAll('-', '\\-'));
    }
  }
}, 400_000);

it('has every line that begins with a dot as a request that man knows', () => {
  for (const line of page.split('\n').filter((text) => text.startsWith('.'))) {
    expect(line).toMatch(/^\.(TH|SH|SS|PP|TP|IP|RS|RE|nf|fi|nh|ad)\b/);
  }
  expect(page).not.toMatch(/[^\n -~]/);
  expect(page).not.toContain('{verbs}');
});

it('reads help as yargs writes it', () => {
  const text =
    'natgate x\n\nWhat: it does\n\nOptions:\n  -n, --name  Which one  [string] [default: "a"]\n  --all       Every\n';
  expect(parseHelp(text)).toEqual([
    {
      title: 'Options',
      entries: [
        { term: '-n, --name', text: 'Which one [string] [default: "a"]' },
        { term: '--all', text: 'Every' },
      ],
    },
  ]);
});

it('makes roff of the Markdown that the pages use', () => {
  const markdown =
    '# X(8)\n\n## A b\n\n.dot *it* **bo-ld** `co\\de`\n\n    run -x\n\n**t**\n: d\n\n- one\n- two…\n';
  expect(toRoff(markdown, 'x 1').split('\n')).toEqual([
    '.TH X 8 "" "x 1" "natgate"',
    '.nh',
    '.ad l',
    '.SH A B',
    '.PP',
    '\\&.dot \\fIit\\fR \\fBbo\\-ld\\fR \\fBco\\ede\\fR',
    '.PP',
    '.RS 4',
    '.nf',
    'run \\-x',
    '.fi',
    '.RE',
    '.TP',
    '\\fBt\\fR',
    'd',
    '.IP \\(bu 2',
    'one',
    '.IP \\(bu 2',
    'two\\[u2026]',
    '',
  ]);
});
