/**
 * Parsers of text and of netlink messages, with mutants of what they read in earnest. A parser of text answers null or throws
 * NatgateError; one of messages passes over what it cannot read. None does anything else.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSize } from '../../src/cli/lab.ts';
import { NatgateError } from '../../src/core/errors.ts';
import { parseInterface, parseName, parsePortRange } from '../../src/gateway/options.ts';
import { decodeAddress } from '../../src/host/netlink/addresses.ts';
import { decodeLink } from '../../src/host/netlink/links.ts';
import { Attributes, type Message, readMessages } from '../../src/host/netlink/message.ts';
import { decodeNeighbour } from '../../src/host/netlink/neighbours.ts';
import { decodeNatChain } from '../../src/host/netlink/nf-tables.ts';
import { decodeRoute, decodeRule } from '../../src/host/netlink/routes.ts';
import { decodeSocket } from '../../src/host/netlink/sock-diag.ts';
import { decodeFilter, decodeIngressQdisc } from '../../src/host/netlink/tc.ts';
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from '../../src/wire/address.ts';
import { Dice } from './dice.ts';
import { dumps } from './dumps.ts';

const decoders: Record<string, (message: Message) => unknown[]> = {
  decodeAddress,
  decodeLink,
  decodeNeighbour,
  decodeNatChain,
  decodeRoute,
  decodeRule,
  decodeSocket,
  decodeFilter: (message) => decodeFilter(message, 'ingress'),
  decodeIngressQdisc: (message) => decodeIngressQdisc(message, 3),
};
/** Message types that some decoder reads. */
const TYPES = [16, 20, 24, 28, 29, 32, 36, 44, 0x0a03];
const MESSAGES = 50_000;

describe('netlink', () => {
  test.each([1, Math.floor(Math.random() * 2 ** 32)])(
    `${MESSAGES} mutants of real messages, seed %i`,
    (seed) => {
      const dice = new Dice(seed);
      let read = 0;
      for (let n = 0; n < MESSAGES; n++) {
        const parts = Array.from({ length: 1 + dice.below(3) }, () => Buffer.from(dice.one(dumps)));
        let bytes = Buffer.concat(parts);
        for (let i = dice.below(6); i > 0; i--) {
          const at = dice.below(bytes.length);
          const kind = dice.below(3);
          if (kind === 0) bytes[at] = dice.one([0, 1, 2, 3, 4, 5, 7, 8, 16, 0x7f, 0x80, 0xff]);
          else if (kind === 1) bytes[at] = bytes[at]! ^ (1 << dice.below(8));
          else bytes[dice.below(64) % bytes.length] = dice.below(256);
        }
        if (dice.chance(60)) bytes = bytes.subarray(0, dice.below(bytes.length + 1));
        if (dice.chance(100) && bytes.length > 6) bytes.writeUInt16LE(dice.one(TYPES), 4);
        for (const message of readMessages(bytes)) {
          for (const decode of Object.values(decoders)) {
            const found = decode(message);
            // `expect` costs more than the decoder, 900 thousand times.
            if (!Array.isArray(found)) expect.fail(`no list: ${found}`);
            // Whatever was read can be said.
            if (found.length > 0 && JSON.stringify(found).length > 2) read++;
          }
        }
      }
      expect(read).toBeGreaterThan(MESSAGES / 4);
    },
  );

  test('any bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(...TYPES), (body, type) => {
        const message = { type, flags: 0, body: Buffer.from(body) };
        for (const decode of Object.values(decoders)) decode(message);
        readMessages(body);
        new Attributes(body).nest(1).text(1);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('text', () => {
  const near = (examples: string[]) =>
    fc.oneof(
      fc.string({ maxLength: 40 }),
      fc
        .tuple(fc.constantFrom(...examples), fc.nat(20), fc.nat(3), fc.string({ maxLength: 3 }))
        .map(([text, at, gone, more]) => text.slice(0, at) + more + text.slice(at + gone)),
    );

  test('addresses and prefixes: null, or what says the same when written', () => {
    fc.assert(
      fc.property(near(['10.77.0.1', '255.255.255.255', '0.0.0.0/0', '192.168.0.0/16']), (text) => {
        const address = parseAddress(text);
        if (address !== null) expect(formatAddress(address)).toBe(text);
        const prefix = parsePrefix(text);
        if (prefix === null) return;
        expect(parsePrefix(formatPrefix(prefix))).toEqual(prefix);
        expect(prefix.length).toBe(text.includes('/') ? Number(text.split('/')[1]) : 32);
      }),
      { numRuns: 5000 },
    );
  });

  test.each<[string, (text: string) => unknown, string[]]>([
    ['port range', parsePortRange, ['32768-65535', '1024-1087']],
    ['name', parseName, ['default', 'a.b-c_d']],
    ['interface', (text) => parseInterface('private', text), ['eth0', 'wlan0.5']],
    ['size', parseSize, ['100M', '1G', '65536', '1.5k']],
  ])('%s: a value or a NatgateError', (_, parse, examples) => {
    fc.assert(
      fc.property(near(examples), (text) => {
        try {
          expect(parse(text)).toBeDefined();
        } catch (error) {
          if (!(error instanceof NatgateError)) throw error;
          expect(error.code).toBe('usage');
          expect(error.hint).not.toBe('');
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('a port range that is accepted can be used', () => {
    fc.assert(
      fc.property(fc.nat(99_999), fc.nat(99_999), (first, last) => {
        const usable = first >= 1024 && last <= 65_535 && last - first >= 63;
        if (usable) expect(parsePortRange(`${first}-${last}`)).toEqual({ first, last });
        else expect(() => parsePortRange(`${first}-${last}`)).toThrow(NatgateError);
      }),
    );
  });
});
