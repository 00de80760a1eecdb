/** The programs of the host that install and uninstall call. A test gives others. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { NatgateError } from '../../core/errors.ts';

export interface System {
  /** Whether systemd is the service manager of this host: what sd_booted(3) looks at. */
  isBooted(): boolean;
  /** Throws NatgateError `command_failed` with what it said. False: there is no such program. */
  run(program: string, args: readonly string[]): boolean;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export const thisSystem: System = {
  isBooted: () => existsSync('/run/systemd/system'),
  run(program, args) {
    const { status, stderr, error } = spawnSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH, LC_ALL: 'C', SYSTEMD_PAGER: '' },
    });
    if (error !== undefined && 'code' in error && error.code === 'ENOENT') return false;
    if (status === 0) return true;
    const said = `${stderr ?? ''}`.trim() || `${error?.message ?? `it ended with ${status}`}`;
    const line = [program, ...args].join(' ');
    throw new NatgateError(
      'command_failed',
      `\`${line}\`: ${said.replace(/\s*\n\s*/g, ' / ')}`,
      program === 'systemctl' && args.includes('--now')
        ? `see why: journalctl -u ${args.at(-1)}`
        : 'mend that and try again: what was done already is done no second time',
    );
  },
};
