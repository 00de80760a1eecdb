/**
 * `--linger S`: a gateway that stops leaves devices, filters and state for S seconds, so that a new `run` (an upgrade,
 * a restart) goes on with every flow. Somebody has to undo it if no new run comes: a `natgate down` that waits, in a
 * session of its own. It knows the journal's owner; a run that takes over makes the journal its own.
 *
 * Under systemd the waiting process lives only with `KillMode=process`.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { WhichGateway } from './teardown.ts';

export function undoLater({ stateRoot, name }: WhichGateway, seconds: number, owner: string): void {
  const main = fileURLToPath(new URL('../cli/main.js', import.meta.url));
  const words = [
    'down',
    '--name',
    name,
    '--state-root',
    stateRoot,
    '--after',
    String(seconds),
    '--token',
    owner,
  ];
  spawn(process.execPath, [main, ...words], { detached: true, stdio: 'ignore', cwd: '/' }).unref();
}
