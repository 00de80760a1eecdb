/**
 * An intruder on the internet side, who knows the private network's addresses and the way there, against a private
 * host that leaves its doors open. The gateway must not let one packet through.
 */
import { NatgateError } from '../../core/errors.ts';
import type { Lab } from './context.ts';
import { uninvitedDrops } from './flows.ts';
import type { Intrusion } from './intruder.ts';
import { node, script } from './scripts.ts';
import { GATEWAY_PUBLIC, HTTP_PORT, INTERNET_HOST, PRIVATE_HOST, PRIVATE_NET } from './topology.ts';

/** The private host's open services; on the gateway itself nothing listens there. */
const SERVICE_PORT = 7777;
/** Where the private host's flows come from, and so their external port as well. */
const FLOW_PORT = 40_000;
/** Of the other ports that natgate owns, every so many is tried. */
const STEP = 1311;
const PINGS = 3;

export async function breakIn(lab: Lab): Promise<void> {
  const { topology, children, signal, tell } = lab;
  const words = [String(SERVICE_PORT), INTERNET_HOST, String(HTTP_PORT), String(FLOW_PORT)];
  const witness = children.start(
    'witness',
    topology.inside(topology.private, node(script('witness'), ...words)),
  );
  await witness.shows(/^open$/, signal);

  await children.run(
    'intruder',
    topology.inside(topology.internet, ['ip', 'route', 'add', PRIVATE_NET, 'via', GATEWAY_PUBLIC]),
  );
  const targets = [
    `${PRIVATE_HOST}:${SERVICE_PORT}`,
    `${GATEWAY_PUBLIC}:${SERVICE_PORT}`,
    `${GATEWAY_PUBLIC}:${FLOW_PORT}`,
  ];
  for (let port = 32_768; port < 65_536; port += STEP) targets.push(`${GATEWAY_PUBLIC}:${port}`);
  const intruder = await children.run(
    'intruder',
    topology.inside(topology.internet, node(script('intruder'), ...targets)),
  );
  const intrusion = JSON.parse(intruder.stdout) as Intrusion;
  const ping = topology.inside(topology.internet, `ping -c ${PINGS} -i 0.2 -W 1 ${PRIVATE_HOST}`.split(' '));
  const { stdout: pinged } = await children.run('intruder', ping, true);

  const visits = [...witness.output.filter((line) => line.startsWith('visit ')), ...intrusion.connected];
  if (!pinged.includes(' 0 received')) visits.push('an answered ping');
  if (visits.length > 0) {
    throw new NatgateError('lab_failed', 'uninvited packets reached the private host', visits.join('; '));
  }
  const attempts = `${intrusion.attempts + PINGS} attempts by TCP, UDP and ping from outside`;
  tell(
    'break-in',
    `${attempts}; none reached the private host (${await uninvitedDrops(lab)} dropped as no_flow)`,
  );
}
