/** What is put right and what is not, by a clock that the tests move. */
import { expect, test } from 'vitest';
import { Repairs } from '../../../src/gateway/host/repairs.ts';

function bench() {
  const lines: string[] = [];
  const told: Record<string, number>[] = [];
  let now = 0;
  const repairs = new Repairs({
    log: (line, _, hint = '') => lines.push(hint === '' ? line : `${line} (${hint})`),
    onRepair: (_, counts) => told.push({ ...counts }),
    now: () => now,
  });
  const pass = (ms: number) => {
    now += ms;
  };
  return { repairs, lines, told, pass };
}

test('what was mended is said and counted by kind', () => {
  const { repairs, lines, told } = bench();
  let mended = 0;
  expect(repairs.mend('filter', 'g0', 'a filter is gone', () => mended++)).toBe(true);
  repairs.mend('link', 'g0', 'a link is down', () => mended++);
  expect(mended).toBe(2);
  expect(lines).toEqual(['a filter is gone: put right', 'a link is down: put right']);
  expect(told).toEqual([{ filter: 1 }, { filter: 1, link: 1 }]);
});

test('whoever undoes it again and again is not fought, but only there, and not for ever', () => {
  const { repairs, lines, pass } = bench();
  let mended = 0;
  const mend = () => repairs.mend('filter', 'g0', 'gone', () => mended++);
  for (let i = 0; i < 20; i++) {
    mend();
    pass(1000);
  }
  expect(mended).toBe(5);
  expect(lines.at(-1)).toMatch(
    /^gone, again; put right 5 times within a minute, now left alone for 60 s \(who does it may be .*Cilium/,
  );
  expect(repairs.mend('filter', 'g1', 'gone', () => {})).toBe(true);
  pass(60_000);
  expect(mend()).toBe(true);
  for (let i = 0; i < 5; i++) mend();
  expect(lines.at(-1)).toContain('left alone for 120 s');
  expect(mended).toBe(10);
});

test('a few times an hour is no fight', () => {
  const { repairs, lines, pass } = bench();
  for (let i = 0; i < 30; i++) {
    expect(repairs.mend('link', 'natgate-g0', 'down', () => {})).toBe(true);
    pass(20_000);
  }
  expect(lines).toHaveLength(30);
});

test('what cannot be mended is said once, until it could', () => {
  const { repairs, lines, told } = bench();
  const fail = () => {
    throw new Error('no');
  };
  for (let i = 0; i < 3; i++) expect(repairs.mend('file', 'x', 'full', fail)).toBe(false);
  expect(lines).toEqual(['full, and could not be put right: no (natgate tries again)']);
  expect(repairs.mend('file', 'x', 'full', () => {})).toBe(true);
  repairs.mend('file', 'x', 'full', fail);
  expect(lines).toHaveLength(3);
  expect(told).toEqual([{ file: 1 }]);
});

test('what went with its interface is not spoken of', () => {
  const { repairs, lines } = bench();
  const gone = Object.assign(new Error('no such device'), { code: 'ENODEV', errno: -19, syscall: 'netlink' });
  repairs.mend('filter', 'g0', 'gone', () => {
    throw gone;
  });
  expect(lines).toEqual([]);
});
