/**
 * The text of the systemd units, from packaging/natgate.service, and of the file that makes the packet engine's account.
 */
import { readFileSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';
import { DEFAULT_NAME } from '../options.ts';
import { configOf, type Unit } from './layout.ts';

const TEMPLATE = new URL('../../../packaging/natgate.service', import.meta.url);

/** sysusers.d(5): an account without home, shell or password. */
export const ACCOUNT = 'u natgate - "packet engine of natgate"\n';

/** `command`: the words that start natgate, absolute. Throws NatgateError `not_for_a_service` where a service could not reach it. */
export function unitText(unit: Unit, command: readonly string[]): string {
  const isTemplate = unit === 'natgate@.service';
  const config = isTemplate ? '/etc/natgate/%i.yaml' : configOf(DEFAULT_NAME);
  const values: Record<string, string> = {
    UNIT: isTemplate ? 'natgate@NAME' : 'natgate',
    DESCRIPTION: `NAT gateway in user space${isTemplate ? ' (%i)' : ''}`,
    CONFIG: config,
    COMMAND: command.map(quote).join(' '),
    ARGUMENTS: `${isTemplate ? '--name %i ' : ''}--config ${config}`,
    PROTECT_HOME: homeProtection(command),
  };
  return readFileSync(TEMPLATE, 'utf8').replace(/@([A-Z_]+)@/g, (_, key: string) => values[key]!);
}

/** One word of ExecStart: `%` and `$` would be replaced, a blank would end it. */
function quote(word: string): string {
  const text = word.replaceAll('%', '%%').replaceAll('$', () => '$$');
  return /[\s"'\\;]/.test(text) ? `"${text.replace(/["\\]/g, '\\$&')}"` : text;
}

/** Home directories are hidden from the service, unless natgate or its node lies in one. */
function homeProtection(command: readonly string[]): 'yes' | 'read-only' {
  const hidden = command.find((word) => /^\/(tmp|var\/tmp)\//.test(word));
  if (hidden !== undefined) {
    throw new NatgateError(
      'not_for_a_service',
      `${hidden}: a service has a /tmp of its own and does not see this one`,
      'install natgate elsewhere, below /usr/local or /opt say',
    );
  }
  return command.some((word) => /^\/(home|root|run\/user)\//.test(word)) ? 'read-only' : 'yes';
}
