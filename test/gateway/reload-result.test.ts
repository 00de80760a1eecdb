import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { RESULT } from '../../src/gateway/reload/files.ts';
import { type ReloadResult, readResult, writeResult } from '../../src/gateway/reload/result.ts';

it('leaves nothing beside the result of a reload where it cannot be written', () => {
  const directory = mkdtempSync(join(tmpdir(), 'natgate-result-'));
  const result = { error: 'none' } as unknown as ReloadResult;
  writeResult(directory, '7', result);
  expect(readResult(directory, '7')).toEqual(result);
  expect(readdirSync(directory)).toEqual([RESULT]);
  rmSync(join(directory, RESULT));
  // Nothing can be renamed over it.
  mkdirSync(join(directory, RESULT, 'in the way'), { recursive: true });
  expect(() => writeResult(directory, '8', result)).toThrow();
  expect(readdirSync(directory)).toEqual([RESULT]);
  rmSync(directory, { recursive: true });
});
