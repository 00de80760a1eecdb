/**
 * The run directory's `run.json`: what a running gateway says about itself to `status` and `down`, which are other
 * processes. Written whole and renamed into place, so a reader never sees half of it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Timeouts } from '../../conntrack/timeouts.ts';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import type { ProcessIdentity } from '../../host/process-identity.ts';
import { replaceFile } from '../../host/replace-file.ts';
import type { EngineHealth } from '../engines/engine-health.ts';
import type { Standby } from '../engines/standby.ts';
import type { Flood } from '../host/flood-watch.ts';
import type { PortRange } from '../options.ts';

export interface RunRecord {
  /** Layout of this record. */
  version: 1;
  /** Version of natgate that wrote it. */
  natgate: string;
  name: string;
  process: ProcessIdentity;
  private: string[];
  public: string;
  /** The public interface's address as text; null while it has none. */
  external: string | null;
  ports: PortRange;
  /** Names of the NAT rules, by number. */
  rules: string[];
  /** What the counters of the firewall are about, in their order. */
  firewallRules?: string[];
  /** The file that the configuration came from; null: from the command line alone. */
  config?: string | null;
  /** Seconds of silence, where they differ from the defaults. */
  timeouts: Partial<Timeouts>;
  /** State of the first worker; those of the others lie beside it (state-file.ts). */
  statePath: string;
  /** One, where it says nothing. */
  workers?: number;
  /** Whether the private addresses answer DNS. */
  dns?: boolean;
  /** The control socket; null: there is none. Earlier versions say nothing. */
  control?: string | null;
  /** How its engines have fared; nothing where none has died. */
  engine?: EngineHealth;
  /** Whether another engine stands by; nothing where none is wanted. */
  standby?: Standby;
  /** When the gateway started, ISO 8601. */
  started: string;
  /** Interfaces that are gone, and whose return the gateway waits for. */
  waiting?: string[];
  /** What others have changed of natgate's on the host, and how often natgate has put it right (repairs.ts). */
  repairs?: Record<string, number>;
  /** Private hosts that send more than the engine gets done; nothing where there was none. */
  flood?: Flood;
  /** ISO 8601. Set by a gateway that stopped with `--linger`: until then devices, filters and state stay. */
  lingersUntil?: string;
}

export function runDirectory(stateRoot: string, name: string): string {
  return join(stateRoot, name);
}

export function recordPath(directory: string): string {
  return join(directory, 'run.json');
}

export function writeRunRecord(directory: string, record: RunRecord): void {
  replaceFile(recordPath(directory), `${JSON.stringify(record, null, 2)}\n`);
}

/** Returns null when there is none. Throws NatgateError `record_broken` when it is not natgate's. */
export function readRunRecord(directory: string): RunRecord | null {
  const path = recordPath(directory);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return null;
    throw error;
  }
  try {
    const record = JSON.parse(text) as RunRecord;
    // An earlier version, whose gateway may still run, had one name here.
    if (record.version === 1) return { ...record, private: [record.private].flat() };
  } catch {
    // Said below.
  }
  throw new NatgateError(
    'record_broken',
    `${path} is not a run record of this version`,
    'try `natgate down`',
  );
}
