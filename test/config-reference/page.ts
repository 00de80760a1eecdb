/** docs/natgate.schema.json, and the reference in docs/configuration.md: every key of the schema, in its order. */
import { configJsonSchema } from '../../src/gateway/config/json-schema.ts';

interface Node {
  type?: string;
  description?: string;
  default?: unknown;
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  items?: Node;
  anyOf?: Node[];
  enum?: unknown[];
  required?: string[];
  minimum?: number;
  maximum?: number;
}

export function schemaText(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
}

export const BEGIN = '<!-- reference: written by `npm run docs:config` -->';
export const END = '<!-- end of reference -->';

/** The page with its reference as it should be. */
export function withReference(page: string): string {
  const [before, rest = ''] = page.split(BEGIN);
  const after = rest.split(END)[1] ?? '';
  const rows = keysOf(configJsonSchema() as Node, '');
  const table = ['| key | is | default | means |', '|---|---|---|---|', ...rows.map(row)];
  return `${before}${BEGIN}\n\n${table.join('\n')}\n\n${END}${after}`;
}

export interface Key {
  path: string;
  node: Node;
  isRequired: boolean;
}

/** `[]`: of each element; `NAME`: of what has a name that people give. */
export function keysOf(node: Node, within: string): Key[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, value]) => {
    const path = `${within}${name}`;
    return [{ path, node: value, isRequired: node.required?.includes(name) ?? false }, ...inner(value, path)];
  });
}

function inner(node: Node, path: string): Key[] {
  const branches = [node, ...(node.anyOf ?? [])];
  for (const branch of branches) {
    if (branch.properties !== undefined) return keysOf(branch, `${path}.`);
    if (typeof branch.additionalProperties === 'object')
      return inner(branch.additionalProperties, `${path}.NAME`);
    if (branch.items !== undefined) {
      const found = inner(branch.items, `${path}[]`);
      if (found.length > 0) return found;
    }
    const found = branch === node || branch.anyOf === undefined ? [] : inner(branch, path);
    if (found.length > 0) return found;
  }
  return [];
}

function row(key: Key): string {
  const { path, node } = key;
  return `| \`${path}\` | ${kind(node)} | ${byDefault(key)} | ${(node.description ?? '').replaceAll('|', '\\|')} |`;
}

/** In Markdown; empty when there is none. */
export function byDefault({ node, isRequired }: Key): string {
  return node.default === undefined ? (isRequired ? '*required*' : '') : code(node.default);
}

/** A whole section has defaults of its own. */
function code(value: unknown): string {
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) {
    return Array.isArray(value) ? '`[]`' : '';
  }
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** What a value is, in Markdown. */
export function kind(node: Node): string {
  if (node.enum !== undefined) return node.enum.map((word) => `\`${word}\``).join(', ');
  if (node.anyOf !== undefined) return [...new Set(node.anyOf.map(kind))].join(' or ');
  if (node.type === 'array') return `list of ${kind(node.items!)}`;
  if (node.type === 'integer') return `${node.minimum}-${node.maximum}`;
  if (node.type === 'boolean') return '`true`, `false`';
  return node.type === 'object' ? 'map' : 'text';
}
