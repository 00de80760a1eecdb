import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Page, replaceSection } from '../../bench/page.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'natgate-page-'));
  mkdirSync(join(root, 'docs'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('keeps what stands around the section, however often it is written', () => {
  const first = replaceSection('# Benchmarks\n\nBefore.\n', 'bench:net', 'old');
  const page = `${first}\nAfter.\n`;
  const twice = replaceSection(replaceSection(page, 'bench:net', 'one'), 'bench:net', 'two');
  expect(twice).toBe(
    '# Benchmarks\n\nBefore.\n\n<!-- bench:net -->\n\ntwo\n\n<!-- /bench:net -->\n\nAfter.\n',
  );
});

it('gives each command its own section', () => {
  const page = new Page(root);
  page.writeSection('bench:net', 'net');
  page.writeSection('bench:engine', 'engine');
  page.writeSection('bench:net', 'net again');
  expect(page.read()).toBe(
    '# Benchmarks\n\n<!-- bench:net -->\n\nnet again\n\n<!-- /bench:net -->\n\n<!-- bench:engine -->\n\nengine\n\n<!-- /bench:engine -->\n',
  );
});

it('puts files beside the page', () => {
  const page = new Page(root);
  expect(page.readBeside('a.json')).toBeUndefined();
  page.writeBeside('a.json', '{}');
  expect(page.readBeside('a.json')).toBe('{}');
});
