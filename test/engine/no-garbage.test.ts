/** The promise of the hot loop: nothing is allocated per packet, so at saturation nothing is collected. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

test('a million packets of every kind, flows beginning and ending, and not one garbage collection', () => {
  const program = fileURLToPath(new URL('saturation.ts', import.meta.url));
  const output = execFileSync(process.execPath, ['--expose-gc', '--import', 'tsx', program, '1000000'], {
    encoding: 'utf8',
  });
  const report = JSON.parse(output);
  // The observer works (the program asks for a collection itself), and flows did come and go.
  expect(report).toMatchObject({ packets: 1_000_000, collections: 0 });
  expect(report.observed).toBeGreaterThan(0);
  expect(report.changes).toBeGreaterThan(10_000);
});
