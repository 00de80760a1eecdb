/** `config show`: every default, and a file again. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ConfigInput, configSchema } from '../../../src/gateway/config/schema.ts';
import { showConfig } from '../../../src/gateway/config/show.ts';
import { examined, FILE, optionsOf, TWO } from './support.ts';

test('of two lines it shows every key that has a default', () => {
  const shown = showConfig(examined(TWO).document!);
  const keys = [...shown.matchAll(/^([a-z-]+):/gm)].map((match) => match[1]);
  expect(keys).toEqual(Object.keys(configSchema.shape));
  expect(shown).toContain('  tcpEstablished: 432000\n');
  expect(optionsOf(shown)).toEqual(optionsOf(TWO));
});

const octet = fc.integer({ min: 1, max: 254 });
const address = fc.tuple(octet, octet).map(([a, b]) => `198.51.${a}.${b}`);
const host = fc.tuple(octet, octet).map(([a, b]) => `192.168.${a}.${b}`);
const someAddresses = fc.oneof(
  address,
  fc.constant('10.0.0.0/8'),
  fc.constant('@office'),
  fc.array(
    fc.oneof(
      address,
      fc.constant('198.51.100.0/24'),
      fc.constant('10.0.0.1-10.0.0.9'),
      fc.constant('@office'),
    ),
    {
      minLength: 1,
      maxLength: 3,
    },
  ),
);
const portList = fc.oneof(
  fc.integer({ min: 1, max: 65_535 }),
  fc.constant('8000-8010'),
  fc.array(fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.constant('100-200')), {
    minLength: 1,
    maxLength: 3,
  }),
);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const text = fc.constantFrom(
  'plain',
  '"quoted"',
  "it's: #1",
  ' spaces ',
  'true',
  '0660',
  '- x',
  '@x',
  'naïve ☃',
  'a\\nb',
);

const behaviour = {
  mapping: maybe(fc.constantFrom('eim', 'adm', 'address-and-port-dependent')),
  filtering: maybe(fc.constantFrom('eif', 'adf', 'address-and-port-dependent')),
  hairpin: maybe(fc.boolean()),
  parity: maybe(fc.boolean()),
  overload: maybe(fc.constantFrom('never', 'exhausted', 'always')),
  quarantine: maybe(fc.integer({ min: 0, max: 86_400 })),
  'on-address-change': maybe(fc.constantFrom('end', 'keep', 'remap')),
};

const natRule = fc.record({
  from: maybe(someAddresses),
  to: maybe(someAddresses),
  protocol: maybe(fc.oneof(fc.constantFrom('tcp', 'udp'), fc.constant([6, 'udp']))),
  translate: maybe(
    fc.oneof(fc.constantFrom('masquerade', 'none'), fc.constant(['203.0.113.40', '203.0.113.41'])),
  ),
  ...behaviour,
});

const rule = fc.record({
  action: fc.constantFrom('accept', 'drop', 'reject', 'log', 'count', 'return'),
  log: maybe(text),
  direction: maybe(fc.constantFrom('inbound', ['outbound', 'between'])),
  from: maybe(someAddresses),
  'not-to': maybe(someAddresses),
  ports: maybe(portList),
  state: maybe(fc.constantFrom('new', ['related', 'dnat'])),
  limit: maybe(
    fc.oneof(
      fc.constant('10/second'),
      fc.record({ rate: fc.constant('5/minute'), burst: fc.integer({ min: 1, max: 9 }) }),
    ),
  ),
  connections: maybe(fc.record({ count: fc.integer({ min: 0, max: 99 }), above: maybe(fc.boolean()) })),
  time: maybe(
    fc.record({
      days: maybe(fc.constantFrom('mon', ['sat', 'sun'])),
      from: fc.constant('09:00'),
      to: fc.constant('17:00'),
    }),
  ),
});

const document = fc.record({
  private: fc.constantFrom('eth1', ['eth1', 'eth2'], { interface: 'eth1', networks: '10.1.0.0/16' }),
  public: fc.constant('eth0'),
  ports: maybe(fc.constantFrom('32768-65535', '40000-50000')),
  external: maybe(fc.constantFrom('203.0.113.8', ['203.0.113.8/30', '203.0.113.20-203.0.113.21'])),
  nat: maybe(fc.record(behaviour)),
  'nat-rules': maybe(fc.array(natRule, { maxLength: 3 })),
  exempt: maybe(fc.constantFrom(['10.8.0.0/16'], [{ to: '10.9.0.0/16', from: '192.168.1.0/24' }])),
  forwards: maybe(
    fc.uniqueArray(
      fc.record({
        protocol: fc.constantFrom('tcp', 'udp', 'tcp+udp'),
        port: fc.integer({ min: 1, max: 30_000 }),
        to: fc.oneof(
          host,
          host.map((one) => `${one}:80`),
        ),
        from: maybe(someAddresses),
        twice: maybe(fc.boolean()),
      }),
      { maxLength: 3, selector: ({ port }) => port },
    ),
  ),
  sets: fc.constant({ office: ['10.0.0.0/24', '10.0.2.1-10.0.2.7'] }),
  firewall: maybe(
    fc.record({
      default: maybe(fc.oneof(fc.constantFrom('accept', 'drop', 'reject'), fc.constant({ inbound: 'drop' }))),
      rules: fc.array(rule, { maxLength: 4 }),
      chains: maybe(fc.record({ later: fc.array(rule, { maxLength: 2 }) })),
    }),
  ),
  limits: maybe(
    fc.record({ flows: fc.integer({ min: 1024, max: 9999 }), 'flows-per-host': maybe(fc.nat(99)) }),
  ),
  timeouts: maybe(
    fc.record({ udp: fc.integer({ min: 1, max: 999 }), tcpClose: maybe(fc.integer({ min: 1, max: 99 })) }),
  ),
  helpers: maybe(fc.constantFrom(['ftp'], ['tftp=6969', { name: 'irc', port: 6668 }], [])),
  dns: maybe(fc.constantFrom('off', 'system', ['192.0.2.53'], { upstream: '192.0.2.53' })),
  log: maybe(fc.record({ level: maybe(fc.constantFrom('error', 'info')) })),
  metrics: maybe(fc.constantFrom('off', '127.0.0.1:9469')),
  events: maybe(fc.constantFrom('off', { stdout: true }, [{ syslog: '192.0.2.9:514', kinds: ['flow'] }])),
});

/** Without the keys that are undefined, as a file has it. */
const written = (value: unknown) => JSON.stringify(value);

test('what is shown means the same, and is shown the same', () => {
  const seed = Number(process.env['NATGATE_SEED'] ?? Date.now() % 2 ** 31);
  let usable = 0;
  fc.assert(
    fc.property(document, (input) => {
      // JSON is YAML.
      const source = written(input as unknown as ConfigInput);
      const { document: full, options, problems } = examined(source);
      if (options === null || full === null) {
        // The generators know of no contradiction but this one.
        const others = problems.filter(
          ({ severity, what }) => severity === 'error' && !what.includes('says so already'),
        );
        expect(others).toEqual([]);
        return;
      }
      usable++;
      const shown = showConfig(full);
      expect(examined(shown).problems.filter(({ severity }) => severity === 'error')).toEqual([]);
      expect(optionsOf(shown)).toEqual(options);
      expect(showConfig(examined(shown).document!)).toBe(shown);
    }),
    { seed, numRuns: 300 },
  );
  expect(usable, `seed ${seed}`).toBeGreaterThan(250);
  expect(FILE).toBe('natgate.yaml');
});
