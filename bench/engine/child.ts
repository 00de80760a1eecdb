/** A process for one run: `node --expose-gc child.mjs JSON`; writes its result to stdout as JSON. */
import { type MemoryRun, memoryRun } from './memory.ts';
import { type PacketRun, packetRun } from './packet-run.ts';

export type Job = ({ kind: 'packets' } & PacketRun) | ({ kind: 'memory' } & MemoryRun);

const job = JSON.parse(process.argv[2]!) as Job;
const result = job.kind === 'packets' ? await packetRun(job) : memoryRun(job);
process.stdout.write(JSON.stringify(result));
