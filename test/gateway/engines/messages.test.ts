import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { causeOfDeath, EngineVoice, readable } from '../../../src/gateway/engines/engine-voice.ts';
import { DELETED_AT_ONCE, type FromEngine, isFromEngine } from '../../../src/gateway/engines/messages.ts';

const SOUND: readonly FromEngine[] = [
  { type: 'ready' },
  { type: 'failed', message: 'why' },
  { type: 'failed', message: '', errno: 19 },
  { type: 'log', line: 'a line' },
  { type: 'reconfigured', id: 1, result: { ended: [], kept: 0 } },
  {
    type: 'reconfigured',
    id: 2,
    result: { ended: [{ kind: 'forward', name: 'web', count: 3 }], kept: 4 },
  } as FromEngine,
  { type: 'deletedFlows', id: 7, count: DELETED_AT_ONCE },
  { type: 'tapped', id: 1 },
];

/** Anything a structured clone can hold. */
const anything = fc.oneof(
  fc.anything({ withMap: true, withSet: true, withTypedArray: true, withDate: true, withBigInt: true }),
  fc.constantFrom<unknown>(
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -1,
    0.5,
    2 ** 60,
    new Error('x'),
    /x/,
    new ArrayBuffer(8),
    Array.from({ length: 3 }),
    new Array(2 ** 32 - 1),
    'x'.repeat(70_000),
  ),
);

describe('messages of the engine', () => {
  test.each(SOUND)('%o is one', (message) => {
    expect(isFromEngine(message)).toBe(true);
    expect(isFromEngine(structuredClone(message))).toBe(true);
  });

  test.each([
    [{ type: 'failed' }],
    [{ type: 'failed', message: 'x'.repeat(65_537) }],
    [{ type: 'failed', message: 'x', errno: -19 }],
    [{ type: 'failed', message: 'x', errno: 4096 }],
    [{ type: 'failed', message: 'x', errno: null }],
    [{ type: 'log', line: ['a'] }],
    [{ type: 'log', line: { toString: 1 } }],
    [{ type: 'reconfigured', id: 1 }],
    [{ type: 'reconfigured', id: 1, result: { ended: new Array(2 ** 32 - 1), kept: 0 } }],
    [{ type: 'reconfigured', id: 1, result: { ended: new Array(3), kept: 0 } }],
    [{ type: 'reconfigured', id: 1, result: { ended: [{ kind: 'a', name: 'b', count: -1 }], kept: 0 } }],
    [{ type: 'reconfigured', id: 1, result: { ended: [], kept: Number.POSITIVE_INFINITY } }],
    [{ type: 'reconfigured', id: 0, result: { ended: [], kept: 0 } }],
    [{ type: 'deletedFlows', id: 7, count: DELETED_AT_ONCE + 1 }],
    [{ type: 'deletedFlows', id: Number.NaN, count: 1 }],
    [{ type: 'tapped' }],
    [{ type: 'toString' }],
    [{ type: '__proto__' }],
    [{ type: 'stop' }],
    [new Map([['type', 'ready']])],
    [['ready']],
    [null],
    ['ready'],
  ])('%# is none', (message) => {
    expect(isFromEngine(message)).toBe(false);
  });

  test('whatever is in the place of a field, it does not throw, and only the right type passes', () => {
    const fields = SOUND.flatMap((message) =>
      Object.keys(message)
        .filter((field) => field !== 'type')
        .map((field) => ({ message, field })),
    );
    fc.assert(
      fc.property(fc.constantFrom(...fields), anything, ({ message, field }, value) => {
        const changed = { ...message, [field]: value };
        const right = (message as unknown as Record<string, unknown>)[field];
        const passes = isFromEngine(changed);
        const mayBeLeftOut = field === 'errno' && value === undefined;
        if (typeof value !== typeof right && !mayBeLeftOut) expect(passes).toBe(false);
        if (typeof value === 'number' && passes) expect(Number.isSafeInteger(value)).toBe(true);
        if (typeof value === 'string' && passes) expect(value.length).toBeLessThanOrEqual(65_536);
      }),
      { numRuns: 3000 },
    );
  });

  test('nothing else throws, or is one by accident', () => {
    fc.assert(
      fc.property(anything, (value) => {
        expect(isFromEngine(value)).toBe(false);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('the voice of the engine', () => {
  const heard = (lines: number, secondsBetween = 0) => {
    const log: string[] = [];
    let now = 0;
    const voice = new EngineVoice(
      (line) => log.push(line),
      () => now,
    );
    for (let i = 0; i < lines; i++) {
      voice.line(`line ${i}`);
      now += secondsBetween * 1000;
    }
    return {
      log,
      voice,
      wait: (seconds: number) => {
        now += seconds * 1000;
      },
    };
  };

  test('is one line, without control characters, of bounded length', () => {
    expect(readable('a\nb\u001b[31m\u0007\u009b\u202e')).toBe('a\\u000ab\\u001b[31m\\u0007\\u009b\\u202e');
    expect(readable('x'.repeat(10_000))).toBe(`${'x'.repeat(512)}…`);
  });

  test('is heard whole as long as it is calm', () => {
    expect(heard(1000, 0.02).log).toHaveLength(1000);
  });

  test('a flood is counted, not written', () => {
    const { log, voice, wait } = heard(100_000);
    expect(log).toHaveLength(200);
    wait(1);
    voice.line('after');
    expect(log.slice(200)).toEqual(['99800 lines of the packet engine were left out', 'after']);
  });

  test('nonsense is said once and counted', () => {
    const { log, voice } = heard(0);
    for (let i = 0; i < 1000; i++) voice.sentNonsense();
    expect(log).toEqual(['the packet engine sent a message that is none; such messages are ignored']);
    expect(voice.malformed).toBe(1000);
  });

  test('a death by the sandbox is called that', () => {
    expect(causeOfDeath(null, 'SIGSYS')).toMatch(/sandbox/);
    expect(causeOfDeath(null, 'SIGKILL')).toBe('killed by SIGKILL');
    expect(causeOfDeath(3, null)).toBe('exit code 3');
  });
});
