/** A process for one run: `node --expose-gc child.mjs JSON`; writes its result to stdout as JSON. */
import { type AdoptionRun, adoptionRun } from './adoption.ts';
import { type MemoryRun, memoryRun } from './memory.ts';
import { type PacketRun, packetRun } from './packet-run.ts';
import { type RulesRun, rulesRun } from './rules-run.ts';

export type Job =
  | ({ kind: 'packets' } & PacketRun)
  | ({ kind: 'rules' } & RulesRun)
  | ({ kind: 'memory' } & MemoryRun)
  | ({ kind: 'adoption' } & AdoptionRun);

const job = JSON.parse(process.argv[2]!) as Job;
process.stdout.write(JSON.stringify(await resultOf(job)));

function resultOf(job: Job) {
  switch (job.kind) {
    case 'packets':
      return packetRun(job);
    case 'rules':
      return rulesRun(job);
    case 'memory':
      return memoryRun(job);
    case 'adoption':
      return adoptionRun(job);
  }
}
