/** Asking a running gateway to reload, from another process: by SIGHUP, the answer in its run directory. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { NatgateError } from '../../core/errors.ts';
import { isAlive } from '../../host/process-identity.ts';
import { type RunRecord, runDirectory } from '../run/run-record.ts';
import { recordOf } from '../status.ts';
import type { WhichGateway } from '../teardown.ts';
import { type ReloadResult, readResult, writeRequest } from './result.ts';

const LOOK_EVERY_MS = 20;
/** A reload of a million flows takes a second; the engine may have been started anew meanwhile. */
const PATIENCE_MS = 60_000;

/** Throws NatgateError `not_running`, `no_config_file`, `reload_silent`. */
export async function reloadGateway(which: WhichGateway): Promise<ReloadResult> {
  const record = recordOf(which);
  requireFile(record);
  const directory = runDirectory(which.stateRoot, which.name);
  const request = randomUUID();
  writeRequest(directory, request);
  process.kill(record.process.pid, 'SIGHUP');
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const result = readResult(directory, request);
    if (result !== null) return result;
    if (!isAlive(record.process)) throw silent('the gateway ended');
    if (performance.now() > until) throw silent(`it has not answered in ${PATIENCE_MS / 1000} s`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** The signal would end a gateway that has no file. */
function requireFile({ config, lingersUntil, name }: RunRecord): void {
  if (lingersUntil !== undefined) {
    throw new NatgateError(
      'not_running',
      `the gateway ${name} has stopped, and only its devices linger`,
      'start it: `run` takes its flows over, with the file as it is now',
    );
  }
  if (typeof config === 'string') return;
  throw new NatgateError(
    'no_config_file',
    `the gateway ${name} was started without a file: there is nothing to read again`,
    'write one (`natgate config show` prints what flags mean), and start it with --config',
  );
}

function silent(what: string): NatgateError {
  return new NatgateError(
    'reload_silent',
    `no answer to the reload: ${what}`,
    'its log says what became of it',
  );
}
