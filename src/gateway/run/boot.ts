/** Which boot of which machine this is: the clock of flows, and what a state file says, hold for one boot only. */
import { readFileSync } from 'node:fs';
import { crc32 } from '../../core/crc32.ts';

/** A number for this boot (int32), another one on every machine. */
export function bootNumber(): number {
  return crc32(readFileSync('/proc/sys/kernel/random/boot_id')) | 0;
}
