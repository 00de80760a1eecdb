/** IP headers and flows, for all generators. */
import type { Dice } from '../dice.ts';
import type { FlowSpec, IpSpec } from '../step.ts';

/** Mostly an ordinary header. Options that routers write into are left out. */
export function anyIp(dice: Dice): IpSpec {
  return {
    ttl: dice.chance(1) ? dice.int(1, 3) : dice.pick([64, 64, 128, 255, 57]),
    tos: dice.chance(10) ? dice.int(0, 255) : 0,
    id: dice.int(1, 65535),
    df: !dice.chance(20),
    options: dice.chance(2) ? [1, 1, 1, 0] : [],
  };
}

/** An ephemeral port of a client; now and then a privileged one, which NATs treat apart. */
export function clientPort(dice: Dice): number {
  return dice.chance(5) ? dice.int(2, 1023) : dice.int(1024, 30_000);
}

/** `count` flows of a protocol over a few ends: some share the client's port, some only its number. */
export function someFlows(dice: Dice, protocol: number, count: number, serverPort: number): FlowSpec[] {
  const flows: FlowSpec[] = [];
  while (flows.length < count) {
    const last = flows.at(-1);
    const flow = {
      protocol,
      client: dice.int(0, 2),
      server: dice.int(0, 2),
      clientPort: last !== undefined && dice.chance(40) ? last.clientPort : clientPort(dice),
      serverPort: last !== undefined && dice.chance(20) ? serverPort + 1 : serverPort,
    };
    const known = flows.some(
      (other) =>
        other.client === flow.client &&
        other.server === flow.server &&
        other.clientPort === flow.clientPort &&
        other.serverPort === flow.serverPort,
    );
    if (!known) flows.push(flow);
  }
  return flows;
}
