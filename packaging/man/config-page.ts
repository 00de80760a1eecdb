/** natgate.yaml(5): the prose of natgate.yaml.5.md with every key of the schema, as docs/configuration.md has them. */
import { readFileSync } from 'node:fs';
import { configJsonSchema } from '../../src/gateway/config/json-schema.ts';
import { packageVersion } from '../../src/gateway/version.ts';
import { byDefault, type Key, keysOf, kind } from '../../test/config-reference/page.ts';
import { toRoff } from './roff.ts';

const SOURCE = new URL('../natgate.yaml.5.md', import.meta.url);

export function configPage(): string {
  const markdown = readFileSync(SOURCE, 'utf8').replace(/^\{keys\}$/m, () =>
    keysOf(configJsonSchema(), '').map(keyText).join('\n\n'),
  );
  return toRoff(markdown, `natgate ${packageVersion()}`);
}

/** A key of the file is a subsection; those within it are definitions there. */
function keyText(key: Key): string {
  const { path, node } = key;
  const value = byDefault(key);
  const about = [kind(node), ...(value === '' ? [] : [value === '*required*' ? value : `default ${value}`])];
  const text = `${about.join('; ')}. ${node.description ?? ''}.`;
  return path.includes('.') || path.includes('[') ? `**${path}**\n: ${text}` : `### ${path}\n\n${text}`;
}
