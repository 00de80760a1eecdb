import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { configJsonSchema } from '../../src/gateway/config/json-schema.ts';
import { examined, linesOf } from '../gateway/config/support.ts';
import { keysOf, schemaText, withReference } from './page.ts';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

test('docs/natgate.schema.json is what `natgate config schema` prints, and is packaged', () => {
  expect(read('docs/natgate.schema.json'), 'npm run docs:config').toBe(schemaText());
  expect(JSON.parse(read('package.json')).files).toContain('docs/natgate.schema.json');
});

test('it is a schema of draft 2020-12 in which every key is described and no other is allowed', () => {
  const schema = configJsonSchema();
  expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema');
  expect(schema['required']).toEqual(['private', 'public']);
  const keys = keysOf(schema, '');
  expect(keys.length).toBeGreaterThan(120);
  expect(keys.filter(({ node }) => !node.description).map(({ path }) => path)).toEqual([]);
  const open = JSON.stringify(schema).match(/"type":"object","properties":(?:(?!"additionalProperties").)*$/);
  expect(open).toBeNull();
});

test('docs/configuration.md lists every key', () => {
  const page = read('docs/configuration.md');
  expect(page, 'npm run docs:config').toBe(withReference(page));
  expect(page).toContain('| `firewall.rules[].limit.burst` |');
  expect(page).toContain('| `forwards[].to` |');
});

test('the examples of the page are configurations', () => {
  const examples = [...read('docs/configuration.md').matchAll(/```yaml\n([\s\S]*?)```/g)].map(
    (match) => match[1]!,
  );
  expect(examples.length).toBeGreaterThan(3);
  for (const example of examples) {
    const whole = example.includes('public:') ? example : `private: [eth1, eth2]\npublic: eth0\n${example}`;
    expect(linesOf(whole), example).toEqual([]);
  }
});

test('examples/natgate.yaml is usable, with nothing to say about it', () => {
  const text = read('examples/natgate.yaml');
  expect(linesOf(text)).toEqual([]);
  const { options } = examined(text);
  expect(options!.nat.forwards.map(({ name, protocol }) => [name, protocol])).toEqual([
    ['web', 6],
    ['tcp:1194=192.168.1.20', 6],
    ['udp:1194=192.168.1.20', 17],
  ]);
  expect(options!.firewall.rules).toHaveLength(5);
});
