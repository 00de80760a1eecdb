/** The file's JSON Schema, for editors. A copy is packaged as docs/natgate.schema.json. */
import { z } from 'zod';
import { configSchema } from './schema.ts';

/** Draft 2020-12, of what a person writes: defaults may be left out. */
export function configJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(configSchema, { io: 'input', target: 'draft-2020-12' });
  return { $schema, $id: 'natgate.schema.json', ...rest };
}
