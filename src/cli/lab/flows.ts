/** What the gateway knows of the lab's flows and drops, from `natgate status` as any user would ask it. */
import type { flowObject } from '../../gateway/flow-object.ts';
import { protocolName } from '../flow-line.ts';
import { formatBytes } from '../units.ts';
import type { Lab } from './context.ts';
import { node, script } from './scripts.ts';

type Flow = ReturnType<typeof flowObject>;

/** Of the many flows, these are shown: those that moved most. */
const SHOWN = 4;

export async function showFlows(lab: Lab): Promise<void> {
  const flows = JSON.parse(await status(lab, '--flows')) as Flow[];
  lab.tell('flows', `${flows.length} are known; these moved most (natgate status --flows lists all):`);
  const moved = (flow: Flow) => flow.originalBytes + flow.replyBytes;
  for (const flow of flows.sort((a, b) => moved(b) - moved(a)).slice(0, SHOWN)) lab.tell('', flowText(flow));
}

/** Uninvited packets that the engine has dropped so far. The steering drops the more obvious ones before that. */
export async function uninvitedDrops(lab: Lab): Promise<number> {
  const { drops } = JSON.parse(await status(lab)) as { drops: Record<string, number> };
  return drops['no_flow'] ?? 0;
}

async function status({ name, topology, children }: Lab, ...words: string[]): Promise<string> {
  const argv = node(script('../main'), 'status', '--json', '--name', name, ...words);
  return (await children.run('status', topology.inside(topology.gateway, argv))).stdout;
}

/** `tcp 10.77.0.2:40000 as 198.18.0.1:40000 to 198.18.0.2:80, 2.00 KiB out, 1.00 GiB in, ESTABLISHED`. */
function flowText({ protocol, state, original, reply, originalBytes, replyBytes }: Flow): string {
  const withPort = (address: string, port: number) =>
    original.icmpType === undefined && port ? `${address}:${port}` : address;
  const words = [
    protocolName(protocol).padEnd(4),
    withPort(original.src, original.sport),
    'as',
    withPort(reply.dst, reply.dport),
    'to',
    withPort(original.dst, original.dport),
  ];
  const traffic = `, ${formatBytes(originalBytes)} out, ${formatBytes(replyBytes)} in`;
  return `${words.join(' ')}${traffic}${state === '' ? '' : `, ${state}`}`;
}
