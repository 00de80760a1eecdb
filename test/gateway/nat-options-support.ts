/** NAT options as `run` makes them of its flags, and their refusals. */
import { NatgateError } from '../../src/core/errors.ts';
import { examine, failure } from '../../src/gateway/config/load.ts';
import type { NatArguments } from '../../src/gateway/nat-options.ts';
import type { Prefix } from '../../src/nat/config.ts';
import { parseAddress, parsePrefix } from '../../src/wire/address.ts';

export const PORTS = { first: 32768, last: 65535 };
/** As `run` makes them of its flags. */
export function parse(words: Partial<NatArguments>, ports = PORTS) {
  const flags = { private: ['eth1'], public: 'eth0', ports: `${ports.first}-${ports.last}`, ...words };
  const { options, problems } = examine({ name: 'default', stateRoot: '/run/natgate', flags, file: null });
  if (options === null) throw failure(null, problems);
  return options.nat;
}
export const address = (text: string) => parseAddress(text) as number;
export const prefix = (text: string) => parsePrefix(text) as Prefix;
export const behaviour = (words: Partial<NatArguments>) => parse(words).rules.at(-1)!.behaviour;
export const forwards = (...forward: string[]) => parse({ forward }).forwards;

/** The refusal as the command line prints it; fails when there is none. */
export function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof NatgateError && error.code === 'usage' && error.hint !== '')
      return `${error.message}\n${error.hint}`;
    throw error;
  }
  throw new Error('accepted');
}
