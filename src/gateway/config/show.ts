/** A document with every default, as YAML that is a configuration again, and means the same. */
import { stringify } from 'yaml';
import type { ConfigDocument } from './schema.ts';

export function showConfig(document: ConfigDocument): string {
  return stringify(document, { lineWidth: 0, indentSeq: true, aliasDuplicateObjects: false, version: '1.2' });
}
