import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../processes.ts';
import { GCC, ROOT } from '../tools.ts';
import { SERVER_ADDRESS } from '../topology.ts';
import type { Contender } from '../types.ts';

const FORWARDER = fileURLToPath(new URL('./raw-socket-forwarder.ts', import.meta.url));

/** Why the npm package `raw-socket` is not the data path. */
export const rawSocket: Contender = {
  name: 'raw-socket',
  about:
    'A loop over the npm package `raw-socket`: receive a UDP datagram, set a fixed source address and port, ' +
    'recompute the checksum, send with IP_HDRINCL. No table, one direction, UDP only: the most such a data path ' +
    'could do. One callback and at least two system calls for each packet, no batches; and the host stack ' +
    'sees, and answers, every packet as well.',
  needs: [...GCC, { command: 'g++', package: 'g++' }, { command: 'make', package: 'make' }],
  workloads: ['udp-18'],
  limits: 'it knows UDP in one direction only',
  prepare: build,
  async start(topology) {
    const { gateway } = topology;
    // A raw socket gets only what the host takes for itself, so the server's address is local for packets of g0.
    await topology.ip(gateway, `route add local ${SERVER_ADDRESS} dev lo table 100`);
    await topology.ip(gateway, 'rule add iif g0 lookup 100');
    const args = ['--import', import.meta.resolve('tsx'), FORWARDER];
    const forwarder = topology.start(gateway, process.execPath, args, { cwd: ROOT });
    await forwarder.output(/^ready$/m, 15_000);
    return [forwarder];
  },
};

/** Builds the package's addon when an install without scripts left it out, against this node's own headers. */
async function build(): Promise<void> {
  const folder = dirname(createRequire(import.meta.url).resolve('raw-socket/package.json'));
  if (existsSync(join(folder, 'build/Release/raw.node'))) return;
  const prefix = join(dirname(process.execPath), '..');
  const headers = existsSync(join(prefix, 'include/node/node.h')) ? { npm_config_nodedir: prefix } : {};
  const env = { ...process.env, npm_config_ignore_scripts: 'false', ...headers };
  await run('npm', ['rebuild', 'raw-socket'], { cwd: ROOT, env, timeoutMs: 180_000 });
}
