import { expect, test } from 'vitest';
import { type Log, logger } from '../../src/gateway/log.ts';
import type { LogOptions } from '../../src/gateway/options.ts';

function written(options: LogOptions, say: (log: Log) => void): string[] {
  const lines: string[] = [];
  say(
    logger(
      options,
      (text) => lines.push(text),
      () => new Date(0),
    ),
  );
  return lines;
}

const all = (log: Log) => {
  log('ready');
  log('eth0 is down', 'warning', 'ip link set dev eth0 up');
  log('gone', 'error');
};

test('as text, a warning says that it is one', () => {
  expect(written({ level: 'info', format: 'text' }, all)).toEqual([
    'natgate: ready\n',
    'natgate: warning: eth0 is down\n  ip link set dev eth0 up\n',
    'natgate: gone\n',
  ]);
});

test('as JSON, an object a line', () => {
  expect(written({ level: 'info', format: 'json' }, all).map((line) => JSON.parse(line))).toEqual([
    { time: '1970-01-01T00:00:00.000Z', level: 'info', message: 'ready' },
    {
      time: '1970-01-01T00:00:00.000Z',
      level: 'warning',
      message: 'eth0 is down',
      hint: 'ip link set dev eth0 up',
    },
    { time: '1970-01-01T00:00:00.000Z', level: 'error', message: 'gone' },
  ]);
});

test('from its level on', () => {
  expect(written({ level: 'warning', format: 'text' }, all)).toHaveLength(2);
  expect(written({ level: 'error', format: 'text' }, all)).toEqual(['natgate: gone\n']);
});
