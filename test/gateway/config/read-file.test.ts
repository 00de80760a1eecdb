import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NatgateError } from '../../../src/core/errors.ts';
import { loadConfig } from '../../../src/gateway/config/load.ts';
import { MAX_FILE_BYTES, readConfigFile } from '../../../src/gateway/config/read-file.ts';
import { TWO } from './support.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: string | Uint8Array): string {
  const path = join(folder, 'natgate.yaml');
  writeFileSync(path, content);
  return path;
}

function refusal(path: string): { code: string; message: string; hint: string } {
  try {
    readConfigFile(path);
  } catch (error) {
    if (error instanceof NatgateError) return error;
    throw error;
  }
  throw new Error('read');
}

test('a byte order mark and CRLF are nothing', () => {
  const path = file(`\ufeff${TWO.replaceAll('\n', '\r\n')}`);
  const { options } = loadConfig({ name: 'default', stateRoot: '/run/natgate', flags: {}, path });
  expect(options).toMatchObject({ public: 'eth0', configPath: path });
});

test('what cannot be read is said, with a remedy', () => {
  const missing = join(folder, 'none.yaml');
  expect(refusal(missing)).toMatchObject({
    code: 'config_unreadable',
    message: `${missing} cannot be read: there is no such file`,
    hint: 'give the path of a configuration with --config',
  });
  mkdirSync(join(folder, 'directory'));
  expect(refusal(join(folder, 'directory'))).toMatchObject({
    code: 'config_unreadable',
    message: `${join(folder, 'directory')} cannot be read: it is a directory`,
  });
  expect(refusal(join(file(TWO), 'x')).code).toBe('config_unreadable');
});

test('a file as large as allowed is read, a larger one is not', () => {
  const comment = `${TWO}#`.padEnd(MAX_FILE_BYTES, '.');
  expect(readConfigFile(file(comment))).toHaveLength(MAX_FILE_BYTES);
  expect(refusal(file(`${comment}.`)).message).toContain(`it has more than ${MAX_FILE_BYTES} bytes`);
  expect(refusal('/dev/zero').message).toContain('it has more than');
});

test.each<[string, number[], string]>([
  ['a Latin-1 letter', [0x61, 0x0a, 0x62, 0x3a, 0x20, 0xe9, 0x0a], '2:4: the byte 0xe9 is not UTF-8'],
  ['the beginning of UTF-16', [0xff, 0xfe, 0x61, 0], '1:1: the byte 0xff is not UTF-8'],
  ['a character that is cut off', [0x61, 0xc3, 0xa9, 0xe2, 0x82], '1:3: the byte 0xe2 is not UTF-8'],
  ['an overlong form', [0x61, 0xc0, 0x80], '1:2: the byte 0xc0 is not UTF-8'],
  ['a surrogate', [0x61, 0x0a, 0xed, 0xa0, 0x80, 0x61], '2:1: the byte 0xed is not UTF-8'],
])('%s is no UTF-8', (_, bytes, line) => {
  const path = file(Uint8Array.from(bytes));
  expect(refusal(path)).toMatchObject({
    code: 'config_invalid',
    message: `${path}:${line}; save the file as UTF-8`,
  });
});
