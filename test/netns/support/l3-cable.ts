/** A point-to-point link between two namespaces whose packets have no Ethernet header. */
import { fileURLToPath } from 'node:url';
import { Background } from './process.ts';
import { ip } from './topology.ts';
import type { CableEnd } from './wiring.ts';

/** Both ends need an address, without prefix length. The cable ends with the returned process. */
export async function layL3Cable(a: CableEnd, b: CableEnd): Promise<Background> {
  const script = fileURLToPath(new URL('./l3-cable.py', import.meta.url));
  const cable = new Background(['python3', script, a.ns.name, a.device, b.ns.name, b.device]);
  await cable.shows(/^ready$/m);
  for (const [own, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    await ip(own.ns, `addr add ${own.address} peer ${peer.address} dev ${own.device}`);
    await ip(own.ns, `link set ${own.device} up mtu 1400`);
  }
  return cable;
}
