/** A value on the command line as the file has it: `{…}` and `[…]` are YAML, a text stays one. */
import { parse } from 'yaml';
import { NatgateError } from '../core/errors.ts';

/** Throws NatgateError `usage`. */
export function flowValue(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return parse(text, { schema: 'core', version: '1.2' });
  } catch (error) {
    const why = (error as Error).message.split('\n')[0];
    throw new NatgateError('usage', `${text} is no YAML: ${why}`, "quote it for the shell: '{name: web, …}'");
  }
}
