import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { NatgateError } from '../../../src/core/errors.ts';
import { ROOT } from '../tools.ts';
import type { Contender } from '../types.ts';

const MAIN = join(ROOT, 'dist/cli/main.js');

/** This project, as built in dist/. */
export const natgate: Contender = {
  name: 'natgate',
  about: 'Translates packets in user space; `ip_forward` stays 0 and netfilter has no rule.',
  needs: [],
  async prepare() {
    if (!existsSync(MAIN)) throw new NatgateError('BENCH_NOT_BUILT', `${MAIN} missing: npm run build`);
  },
  async start(topology) {
    const place = ['--name', topology.name, '--state-root', topology.stateRoot];
    const args = [MAIN, 'run', '--private', 'g0', '--public', 'g1', ...place];
    const gateway = topology.start(topology.gateway, process.execPath, args);
    await gateway.output(/^natgate: ready /m, 15_000);
    return [gateway];
  },
};
