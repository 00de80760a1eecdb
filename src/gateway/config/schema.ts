/**
 * The configuration file, as zod sees it: keys, types, defaults, and a description of each key, from which the JSON
 * Schema for editors and the reference are made. Parsing fills the defaults in; what the texts mean is compile.ts's.
 */
import { z } from 'zod';
import { rfcTimeouts, type Timeouts } from '../../conntrack/timeouts.ts';
import { DEFAULT_FLOWS, DEFAULT_PORTS, DEFAULT_TX_QUEUE_LENGTH, LOG_LEVELS } from '../options.ts';
import { events } from './schema-events.ts';
import { firewall } from './schema-firewall.ts';
import { exemptions, external, forward, natDefaults, natLimits, natRule, pair } from './schema-nat.ts';
import { flag, label, list, listed, map, named, some, text, whole, word } from './schema-values.ts';
import { TIMEOUT_DESCRIPTIONS } from './timeout-descriptions.ts';

const MAX_TIMEOUT = 2_000_000;

const privateInterface = z.union([
  text('an interface name, e.g. eth1, a map of interface and networks, or a list of such'),
  map({
    interface: text('an interface name, e.g. eth1').meta({ description: 'Its name' }),
    networks: some(text('a prefix, e.g. 10.1.0.0/16, or a list of such')).default([]).meta({
      description: 'Networks behind further routers there; without it, those of the routing table',
    }),
  }),
]);

const timeouts = map(
  Object.fromEntries(
    Object.entries(rfcTimeouts).map(([name, seconds]) => [
      name,
      whole(name === 'udpDns' ? 0 : 1, MAX_TIMEOUT)
        .default(seconds)
        .meta({ description: TIMEOUT_DESCRIPTIONS[name as keyof Timeouts] }),
    ]),
  ) as Record<keyof Timeouts, z.ZodDefault<z.ZodInt>>,
);

const helper = z.union([
  text('a helper: ftp, tftp, irc, pptp, sip, or NAME=PORT'),
  map({
    name: text('ftp, tftp, irc, pptp or sip').meta({ description: 'ftp, tftp, irc, pptp or sip' }),
    port: whole(1, 65_535).optional().meta({ description: 'Without it, the protocol’s own' }),
  }),
]);

const addressText = () => text('an address, e.g. 192.0.2.53, or "system"');

export const configSchema = map({
  private: some(privateInterface).meta({
    description:
      'Interfaces of the private networks: a name, a map of interface and networks, or a list of such. Their hosts use the address of the interface as their gateway',
  }),
  public: text('an interface name, e.g. eth0').meta({
    description: 'Interface towards the internet; its address is what the world sees',
  }),
  ports: text('a range of ports, e.g. 32768-65535').default(DEFAULT_PORTS).meta({
    description: 'Ports of the public interface’s address that natgate uses; the rest stay with the host',
  }),
  external: external.default([]).meta({
    description:
      'Translate to these addresses instead of that of the public interface: ADDR, ADDR-ADDR or ADDR/LEN, natgate’s alone',
  }),
  nat: natDefaults.prefault({}).meta({ description: 'Behaviour of every rule that says nothing else' }),
  'nat-rules': list(natRule).default([]).meta({
    description:
      'The first that matches decides; what none matches is translated to `external`, else masqueraded',
  }),
  exempt: exemptions.default([]).meta({ description: 'Between which prefixes nothing is translated' }),
  forwards: list(forward).default([]).meta({
    description: 'Ports that lead to private hosts: maps, or texts as `--forward` takes them',
  }),
  'one-to-one': list(pair).default([]).meta({
    description: 'External addresses, or prefixes, of private hosts, both ways',
  }),
  sets: named(
    some(text('addresses: 192.0.2.7, 198.51.100.0/24 or 10.0.0.1-10.0.0.9, or a list of such')),
    'a map of names and lists of addresses',
  )
    .default({})
    .meta({ description: 'Named lists of addresses: "@name" wherever addresses are listed' }),
  firewall: firewall.prefault({}).meta({ description: 'What may cross' }),
  limits: map({
    flows: whole(1024, 16_777_216).default(DEFAULT_FLOWS).meta({
      description: 'Connections tracked at the same time; the memory for them is taken at the start',
    }),
    'ports-per-host': natLimits['ports-per-host'].default(0).meta(natLimits['ports-per-host'].meta() ?? {}),
    'flows-per-host': natLimits['flows-per-host'].default(0).meta(natLimits['flows-per-host'].meta() ?? {}),
  })
    .prefault({})
    .meta({ description: 'Limits' }),
  timeouts: timeouts.prefault({}).meta({ description: 'Seconds that a flow may be silent' }),
  helpers: list(helper).default([]).meta({
    description: 'Protocols whose packets announce further connections, which then get through',
  }),
  'clamp-mss': flag().default(true).meta({
    description: 'Lower the MSS that TCP connections announce to what the MTUs of both sides can carry',
  }),
  evict: word(['fair', 'never', 'unassured']).default('fair').meta({
    description:
      'What makes room when the flow table is full: unanswered connections of who has most, for those who have less (fair), or for all (unassured); or nothing',
  }),
  unsolicited: word(['silent', 'unreachable']).default('silent').meta({
    description:
      'What a connection attempt from outside gets that nothing expects: no answer, or port unreachable after six seconds',
  }),
  dns: z
    .union([
      word(['off', 'system'], ', a list of addresses, or a map with upstream'),
      list(addressText()),
      map({ upstream: some(addressText()).meta({ description: 'Resolvers, in order of preference' }) }),
    ])
    .default('off')
    .meta({
      description:
        'Resolvers that answer what private hosts ask the gateway’s private address on port 53: addresses, or `system` for those of /etc/resolv.conf; off: natgate does nothing about DNS',
    }),
  log: map({
    level: word(LOG_LEVELS)
      .default('info')
      .meta({ description: listed(LOG_LEVELS) }),
    format: word(['text', 'json']).default('text').meta({ description: 'Lines for people or for programs' }),
  })
    .prefault({})
    .meta({ description: 'What natgate says on stderr' }),
  control: map({
    socket: text('auto, off, or a path').default('auto').meta({
      description:
        'Unix socket for `natgate forward`, `reload` and others: auto (in the run directory), off, or a path',
    }),
    group: label('the name of a group')
      .optional()
      .meta({ description: 'Group of the socket; without it, root’s' }),
    mode: text('permissions in quotes, e.g. "0660"').default('0660').meta({
      description: 'Permissions of the socket, octal, in quotes',
    }),
  })
    .prefault({})
    .meta({ description: 'Control socket' }),
  metrics: z
    .union([
      text('off, or ADDRESS:PORT, e.g. 127.0.0.1:9469'),
      map({
        listen: text('ADDRESS:PORT, e.g. 127.0.0.1:9469').meta({ description: 'ADDRESS:PORT' }),
        public: flag().default(false).meta({
          description: 'It may be an address of the public interface, or 0.0.0.0: the world may ask',
        }),
        page: flag().default(false).meta({ description: 'The web page is there as well' }),
        'token-file': label('a path').optional().meta({
          description: 'File with the token that the page needs to end flows; without it, it only reads',
        }),
      }),
    ])
    .default('off')
    .meta({ description: 'Where metrics are served (Prometheus): off, ADDRESS:PORT, or a map' }),
  events: events.default('off').meta({
    description:
      'Where events go: off, a map of file, stdout, syslog, ipfix (each a receiver) and kinds, or a list of such',
  }),
  engine: map({
    workers: whole(1, 16).default(1).meta({ description: 'Threads that forward: 1, 2, 4, 8 or 16' }),
    user: label('an account').optional().meta({
      description:
        'Account of the packet engine (a name or UID:GID); without it: natgate if it exists, else nobody',
    }),
    txqueuelen: whole(1, 100_000).default(DEFAULT_TX_QUEUE_LENGTH).meta({
      description: 'Packets that wait for the engine; more survive a burst, fewer wait less',
    }),
    standby: flag().default(true).meta({
      description:
        'A second engine stands by, loaded, for the moment in which the first one dies; it takes about 80 MB of memory',
    }),
    linger: whole(0, 86_400).default(0).meta({
      description:
        'Seconds that devices, filters and connections stay after SIGTERM, for a new `run` to take over',
    }),
  })
    .prefault({})
    .meta({ description: 'The packet engine and its process' }),
}).meta({
  title: 'natgate',
  description: 'Configuration of a natgate gateway, /etc/natgate/natgate.yaml',
});

/** As a person writes it. */
export type ConfigInput = z.input<typeof configSchema>;
/** With every default. */
export type ConfigDocument = z.output<typeof configSchema>;
