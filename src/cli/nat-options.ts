/**
 * The NAT options of `run`, which `doctor` takes as well: what they need of the host depends on them. None has a default here:
 * what is not given is the file's to say, and then the schema's (gateway/config/schema.ts).
 */
import type { Argv } from 'yargs';
import { TIMEOUT_NAMES } from '../gateway/timeout-option.ts';
import { defaultBehaviour } from '../nat/config.ts';

const ADDRESSES = 'Addresses and forwards:';
const BEHAVIOUR = 'NAT behaviour:';
const LIMITS = 'Limits of a private host:';

/** Options that may be given more than once, in both spellings that yargs knows them by. */
export const REPEATABLE: ReadonlySet<string> = new Set([
  'external',
  'forward',
  'one-to-one',
  'oneToOne',
  'netmap',
  'exempt',
  'timeout',
]);

export function natOptions<T>(argv: Argv<T>) {
  const list = { type: 'string', array: true, requiresArg: true, nargs: 1 } as const;
  const word = { type: 'string', requiresArg: true } as const;
  const number = { type: 'number', requiresArg: true } as const;
  return argv
    .option('external', {
      ...list,
      group: ADDRESSES,
      describe:
        'ADDR, ADDR-ADDR or ADDR/LEN: translate to these instead of the address of the public interface; they must be natgate’s alone. Repeatable',
    })
    .option('forward', {
      ...list,
      group: ADDRESSES,
      describe:
        'tcp|udp|tcp+udp:[ADDR:]PORT[-PORT]=HOST[:PORT][,HOST[:PORT]…][,from=PREFIX…][,affinity=SECONDS][,twice]: let in what comes to that port; several hosts take turns; `twice` shows them the gateway as the client. Repeatable',
    })
    .option('one-to-one', {
      ...list,
      group: ADDRESSES,
      describe: 'EXTERNAL=INTERNAL: an external address for one private host, both ways. Repeatable',
    })
    .option('netmap', {
      ...list,
      group: ADDRESSES,
      describe: 'EXTERNAL/LEN=INTERNAL/LEN: the same for a whole prefix, address by address. Repeatable',
    })
    .option('exempt', {
      ...list,
      group: ADDRESSES,
      describe: 'DESTINATION[,SOURCE]: prefixes between which nothing is translated. Repeatable',
    })
    .option('mapping', {
      ...word,
      group: BEHAVIOUR,
      defaultDescription: '"eim"',
      describe:
        'On what the external port of a private endpoint depends: eim (nothing), adm (the remote address), apdm (remote address and port), or the long names of RFC 4787',
    })
    .option('filtering', {
      ...word,
      group: BEHAVIOUR,
      defaultDescription: '"apdf"',
      describe:
        'Who may send to that port: eif (everybody), adf (addresses it was used towards), apdf (addresses and ports)',
    })
    .option('hairpin', {
      type: 'boolean',
      group: BEHAVIOUR,
      defaultDescription: String(defaultBehaviour.hairpin),
      describe: 'Private hosts reach each other by external addresses; --no-hairpin: they do not',
    })
    .option('port-choice', {
      ...word,
      group: BEHAVIOUR,
      defaultDescription: JSON.stringify(defaultBehaviour.ports),
      describe: 'preserve (the private port, where free), random (RFC 6056) or sequential',
    })
    .option('parity', {
      type: 'boolean',
      group: BEHAVIOUR,
      defaultDescription: String(defaultBehaviour.parity),
      describe: 'Even ports stay even; --no-parity: they need not',
    })
    .option('port-class', {
      type: 'boolean',
      group: BEHAVIOUR,
      defaultDescription: String(defaultBehaviour.portClass),
      describe: 'Ports below 1024 stay below where there are such; --no-port-class: they need not',
    })
    .option('pooling', {
      ...word,
      group: BEHAVIOUR,
      defaultDescription: '"paired"',
      describe: 'paired: a private host has one address of --external; arbitrary: any of them each time',
    })
    .option('overload', {
      ...word,
      group: BEHAVIOUR,
      defaultDescription: JSON.stringify(defaultBehaviour.overload),
      describe:
        'One external port for several private endpoints towards different remote ones: never, exhausted (when no port is free) or always',
    })
    .option('quarantine', {
      ...number,
      group: BEHAVIOUR,
      defaultDescription: String(defaultBehaviour.quarantineSeconds),
      describe: 'Seconds in which a port that came free is given to no other host',
    })
    .option('timeout', {
      ...list,
      group: BEHAVIOUR,
      describe: `NAME=SECONDS that a flow may be silent; names: ${TIMEOUT_NAMES.join(', ')}. Repeatable`,
    })
    .option('ports-per-host', {
      ...number,
      group: LIMITS,
      defaultDescription: String(defaultBehaviour.portsPerHost),
      describe: 'External ports of one protocol; 0: no limit',
    })
    .option('flows-per-host', {
      ...number,
      group: LIMITS,
      defaultDescription: String(defaultBehaviour.flowsPerHost),
      describe: 'Connections; 0: no limit',
    })
    .option('block-size', {
      ...number,
      group: LIMITS,
      defaultDescription: String(defaultBehaviour.blockSize),
      describe: 'Ports are given to private hosts in blocks of so many; 0: one by one',
    })
    .option('deterministic', {
      type: 'boolean',
      group: LIMITS,
      defaultDescription: String(defaultBehaviour.deterministic),
      describe:
        'The block of a private host follows from its address (RFC 7422): no log is needed to find it',
    });
}
