/** The part of the file that is about translation: behaviours, rules, forwards, 1:1, exemptions. */
import { z } from 'zod';
import { defaultBehaviour } from '../../nat/config.ts';
import {
  addresses,
  flag,
  label,
  list,
  map,
  ports,
  protocols,
  some,
  text,
  whole,
  word,
} from './schema-values.ts';

const MAPPINGS = [
  'eim',
  'adm',
  'apdm',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
] as const;
const FILTERINGS = [
  'eif',
  'adf',
  'apdf',
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
] as const;
const PORT_CHOICES = ['preserve', 'random', 'sequential'] as const;
const OVERLOADS = ['never', 'exhausted', 'always'] as const;
export const ON_ADDRESS_CHANGE = ['end', 'keep', 'remap'] as const;

/** Keys of `nat`, which every rule may have too. */
const behaviour = {
  mapping: word(MAPPINGS).meta({
    description:
      'On what, beside the private endpoint, its external port depends: eim (nothing), adm (the remote address), apdm (remote address and port). RFC 4787 4.1',
  }),
  filtering: word(FILTERINGS).meta({
    description:
      'Who may send to that port: eif (everybody), adf (addresses it was used towards), apdf (addresses and ports). RFC 4787 5',
  }),
  hairpin: flag().meta({ description: 'Private hosts reach each other by external addresses' }),
  'port-choice': word(PORT_CHOICES).meta({
    description: 'preserve (the private port, where free), random (RFC 6056) or sequential',
  }),
  parity: flag().meta({ description: 'Even ports stay even' }),
  'port-class': flag().meta({
    description: 'Ports below 1024 stay below 1024 where the range has such',
  }),
  pooling: word(['paired', 'arbitrary']).meta({
    description: 'Whether a private host has one address of `external`, or any of them each time',
  }),
  overload: word(OVERLOADS).meta({
    description:
      'One external port for several private endpoints towards different remote ones: never, when no port is free, or always',
  }),
  quarantine: whole(0, 86_400).meta({
    description: 'Seconds in which a port that came free is given to no other host',
  }),
  'block-size': whole(0, 32_768).meta({
    description: 'Ports are given to private hosts in blocks of so many; 0: one by one',
  }),
  deterministic: flag().meta({
    description: 'The block of a private host follows from its address (RFC 7422)',
  }),
  'on-address-change': word(ON_ADDRESS_CHANGE).meta({
    description:
      'What becomes of the flows when the public interface loses its address: they end, they are kept in case it comes back, or they go on from the new one',
  }),
};

/** `nat`: the behaviour of every rule that says nothing else. */
export const natDefaults = map({
  mapping: behaviour.mapping.default('eim'),
  filtering: behaviour.filtering.default('apdf'),
  hairpin: behaviour.hairpin.default(defaultBehaviour.hairpin),
  'port-choice': behaviour['port-choice'].default(defaultBehaviour.ports),
  parity: behaviour.parity.default(defaultBehaviour.parity),
  'port-class': behaviour['port-class'].default(defaultBehaviour.portClass),
  pooling: behaviour.pooling.default('paired'),
  overload: behaviour.overload.default(defaultBehaviour.overload),
  quarantine: behaviour.quarantine.default(defaultBehaviour.quarantineSeconds),
  'block-size': behaviour['block-size'].default(defaultBehaviour.blockSize),
  deterministic: behaviour.deterministic.default(defaultBehaviour.deterministic),
  'on-address-change': behaviour['on-address-change'].default('end'),
});

export const natLimits = {
  'ports-per-host': whole(0, 65_535).meta({
    description: 'External ports of one protocol that a private host may have; 0: no limit',
  }),
  'flows-per-host': whole(0, 16_777_216).meta({
    description: 'Connections that a private host may have; 0: no limit',
  }),
};

export const natRule = map({
  name: label('a name').optional().meta({ description: 'For people, and unique; `natgate status` names it' }),
  from: addresses().optional().meta({ description: 'Private addresses; without it, all' }),
  to: addresses().optional().meta({ description: 'Remote addresses; without it, all' }),
  protocol: protocols().optional().meta({ description: 'IP protocols; without it, all' }),
  ports: ports()
    .optional()
    .meta({ description: 'Remote ports; a rule that names some matches TCP and UDP only' }),
  translate: some(
    text('masquerade, none, or addresses: 203.0.113.8, 203.0.113.8-203.0.113.15, 203.0.113.8/29'),
  )
    .optional()
    .meta({
      description:
        'masquerade (to the address of the public interface), none, or external addresses that are natgate’s alone. Without it: what becomes of everything else',
    }),
  'external-ports': text('a range of ports, e.g. 40000-49999').optional().meta({
    description: 'External TCP and UDP ports, FIRST-LAST; of the public interface’s address, within `ports`',
  }),
  ...(Object.fromEntries(
    Object.entries({ ...behaviour, ...natLimits }).map(([key, value]) => [key, value.optional()]),
  ) as {
    [K in keyof (typeof behaviour & typeof natLimits)]: z.ZodOptional<
      (typeof behaviour & typeof natLimits)[K]
    >;
  }),
});

const port = () => z.union([whole(1, 65_535), text('a port or a range: 8080, 5000-5099')]);

export const forward = z.union([
  text('a forward, e.g. tcp:8080=192.168.1.10:80, or a map with protocol, port and to'),
  map({
    name: label('a name').optional().meta({ description: 'For people, and unique' }),
    protocol: word(['tcp', 'udp', 'tcp+udp']).meta({ description: 'tcp, udp or tcp+udp' }),
    port: port().meta({ description: 'External port, or FIRST-LAST' }),
    address: text('an address, e.g. 203.0.113.9').optional().meta({
      description: 'External address that is natgate’s alone; without it, that of the public interface',
    }),
    to: some(text('a private host: 192.168.1.10 or 192.168.1.10:80')).meta({
      description: 'Private host and port; several take turns. Without a port: the external one',
    }),
    from: addresses().optional().meta({ description: 'Who may use it; without it, everybody' }),
    affinity: whole(0, 86_400).default(0).meta({
      description: 'Seconds in which a remote host stays with its target; 0: each connection is a new turn',
    }),
    twice: flag().default(false).meta({
      description: 'The target sees the gateway’s private address as the source',
    }),
    'on-address-change': behaviour['on-address-change'].optional(),
  }),
]);

export const exemption = z.union([
  text('DESTINATION[,SOURCE], e.g. 10.8.0.0/16,192.168.1.0/24, or a map of to and from'),
  map({
    to: text('a prefix, e.g. 10.8.0.0/16').meta({ description: 'Destinations, a prefix' }),
    from: text('a prefix, e.g. 192.168.1.0/24')
      .optional()
      .meta({ description: 'Sources, a prefix; without it, all' }),
  }),
]);

export const pair = z.union([
  text('EXTERNAL=INTERNAL, e.g. 203.0.113.9=192.168.1.9, or a map of external and internal'),
  map({
    external: text('an address or prefix, e.g. 203.0.113.9').meta({
      description: 'External address, or prefix, that is natgate’s alone',
    }),
    internal: text('an address or prefix, e.g. 192.168.1.9').meta({
      description: 'Private address, or prefix of the same length',
    }),
  }),
]);

export const external = some(text('addresses: 203.0.113.8, 203.0.113.8-203.0.113.15 or 203.0.113.8/29'));
export const exemptions = list(exemption);
