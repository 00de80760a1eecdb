import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { engineCredentials } from '../../src/gateway/user.ts';

let folder: string;
let plain: string;
let withOwnUser: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'natgate-user-'));
  plain = join(folder, 'plain');
  withOwnUser = join(folder, 'own');
  writeFileSync(plain, 'root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:www:/:/bin/false\n');
  writeFileSync(withOwnUser, 'root:x:0:0:root:/root:/bin/sh\nnatgate:x:999:998::/:/bin/false\n');
});

afterAll(() => rmSync(folder, { recursive: true }));

test('the account natgate where it exists, else nobody', () => {
  expect(engineCredentials(undefined, withOwnUser)).toEqual({ uid: 999, gid: 998 });
  expect(engineCredentials(undefined, plain)).toEqual({ uid: 65534, gid: 65534 });
});

test('an account by name or by numbers', () => {
  expect(engineCredentials('www', plain)).toEqual({ uid: 33, gid: 34 });
  expect(engineCredentials('1234:1235', plain)).toEqual({ uid: 1234, gid: 1235 });
});

test('an unknown account and root are refused', () => {
  expect(() => engineCredentials('nemo', plain)).toThrow('no such account');
  expect(() => engineCredentials('root', plain)).toThrow('does not run as root');
  expect(() => engineCredentials('0:1', plain)).toThrow('does not run as root');
  expect(() => engineCredentials('1:0', plain)).toThrow('does not run as root');
});
