/**
 * The words of which the file's schema is made. The schema says which keys there are and of what type: what a text means
 * (an address, a range of ports) is parsed by compile.ts, with the parsers that the flags of `run` have.
 *
 * `error` of each is what is allowed there, as the end of "…: give ". Of a map it is its keys.
 */
import { z } from 'zod';

/** Of an empty one its parser says what is wrong. */
export function text(allowed: string) {
  return z.string({ error: allowed });
}

/** A text that is taken as it is. */
export function label(allowed: string) {
  return z.string({ error: allowed }).min(1, { error: allowed });
}

export function whole(least: number, most: number) {
  return z
    .int({ error: wholeNumbers(least, most) })
    .min(least, { error: wholeNumbers(least, most) })
    .max(most, { error: wholeNumbers(least, most) });
}

function wholeNumbers(least: number, most: number): string {
  return `a whole number from ${least} to ${most}`;
}

export function flag() {
  return z.boolean({ error: 'true or false' });
}

/** `more`: what may stand there instead of a word. */
export function word<const T extends readonly [string, ...string[]]>(words: T, more = '') {
  return z.enum(words, { error: `${listed(words)}${more}` });
}

/** A map that has no other keys than these. */
export function map<T extends z.core.$ZodLooseShape>(shape: T) {
  const keys = Object.keys(shape).join(' ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? keys : `a map of keys and values`),
  });
}

export function list<T extends z.ZodType>(item: T) {
  return z.array(item, { error: 'a list' });
}

/** One, or a list of them. */
export function some<T extends z.ZodType>(item: T) {
  return z.union([item, list(item)]);
}

/** A map whose keys are names that people give. */
export function named<T extends z.ZodType>(value: T, allowed: string) {
  const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/, {
    error: 'a name of up to 32 letters, digits, dashes, underscores and dots',
  });
  return z.record(name, value, { error: allowed });
}

/** `a`, `a or b`, `a, b or c`. */
export function listed(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** One address, a prefix, a range, or a set. */
export const addresses = () =>
  some(text('addresses: 192.0.2.7, 198.51.100.0/24, 10.0.0.1-10.0.0.9 or "@SET", or a list of such'));

export const ports = () => some(z.union([whole(0, 65_535), text('ports: 80, 8000-8010, or a list of such')]));

export const protocols = () =>
  some(z.union([text('a protocol: tcp, udp, icmp, sctp, gre, esp, ah, or its number'), whole(0, 255)]));
