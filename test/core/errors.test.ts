import { openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isSystemError, NatgateError } from '../../src/core/errors.ts';

test('a NatgateError says what, how to mend it, and why', () => {
  const cause = new Error('below');
  const error = new NatgateError('no_such_interface', 'no interface eth9', 'see `ip link`', { cause });
  expect(error).toBeInstanceOf(Error);
  expect(String(error)).toBe('NatgateError: no interface eth9');
  expect({ ...error }).toMatchObject({ code: 'no_such_interface', hint: 'see `ip link`' });
  expect(error.cause).toBe(cause);
  expect(new NatgateError('x', 'y').hint).toBe('');
});

test('system errors are told by shape, and by code when one is given', () => {
  let missing: unknown;
  try {
    openSync('/nonexistent/file', 'r');
  } catch (error) {
    missing = error;
  }
  expect(isSystemError(missing)).toBe(true);
  expect(isSystemError(missing, 'ENOENT')).toBe(true);
  expect(isSystemError(missing, 'EPERM')).toBe(false);
  for (const other of [
    new Error('x'),
    new NatgateError('ENOENT', 'x'),
    { code: 'ENOENT', syscall: 'open' },
    null,
  ]) {
    expect(isSystemError(other)).toBe(false);
  }
});
