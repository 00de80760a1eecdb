import { type Document, row } from './requirement.ts';

const RFC = 'engine/rfc-7857.test.ts';
const BEHAVIOURS = 'engine/nat-behaviours.test.ts';
const RULES = 'engine/nat-rules.test.ts';
const SHORTAGE = 'engine/nat-shortage.test.ts';
const IDS = 'engine/ip-id.test.ts';

export const rfc7857: Document = {
  rfc: 7857,
  title: 'Updates to NAT behavioral requirements',
  requirements: [
    row(
      'TCP session tracking',
      'SHOULD',
      'State machine adapted from RFC 6146',
      'yes',
      'netfilter’s, which is finer: it has their states, windows, and simultaneous open.',
      ['conntrack/tcp-tracker.test.ts', 'every cell › %s %s in %s'],
      ['conntrack/tcp-states.test.ts', 'all 256 flag bytes in all states, both directions'],
    ),
    row(
      'transitory timers',
      'SHOULD',
      'Opening and closing have timers of their own',
      'yes',
      '`--timeout` has one for each state.',
      [RFC, 'are set apart, below four minutes where wanted'],
      ['conntrack/timeouts.test.ts', 'each timeout may be set by itself'],
    ),
    row(
      'transitory timers, below 4 min',
      'MAY',
      'Transitory timers may be configured below 4 min',
      'yes',
      'They may.',
      [RFC, 'are set apart, below four minutes where wanted'],
    ),
    row('transitory timers, default', 'RECOMMENDED', 'Transitory default of 4 min or more', 'yes', '240 s.', [
      'engine/rfc-5382.test.ts',
      'a transitory one has four minutes: %s',
    ]),
    row(
      'TCP RST',
      'MUST',
      'A RST is translated',
      'yes',
      'One that acknowledged data rules out is INVALID (RFC 5961).',
      [RFC, 'is translated (%s), and the session stays four minutes'],
    ),
    row(
      'TCP RST, session',
      'SHOULD',
      'The session stays 4 min after a RST',
      'reserved',
      'An answered one does. A RST that answers a SYN with the right acknowledgement ends the flow at once: there is no connection to keep. When no port is free, a reset connection’s port may go to another host sooner (`ports_recycled`).',
      [RFC, 'is translated (%s), and the session stays four minutes'],
      [RFC, 'a forged one that its receiver would challenge leaves the connection what it was'],
      [
        'conntrack/tcp-tracker.test.ts',
        'RST › as first answer it passes, and the flow ends with the next expire',
      ],
      [
        'conntrack/tcp-tracker.test.ts',
        'RST › as first answer with a wrong acknowledgement it is INVALID: a blind RST ends nothing',
      ],
    ),
    row(
      'port overlapping',
      'MAY',
      'One external port for several hosts, towards different remotes',
      'yes',
      'When no port is free (`--overload exhausted`, the default), always, or never.',
      [
        SHORTAGE,
        'when ports run out › an external port serves several hosts towards different remotes, each gets its own answers',
      ],
      [SHORTAGE, 'when ports run out › always: the kernel’s way, as soon as the preferred port is another’s'],
    ),
    row(
      'address pooling paired',
      'SHOULD',
      'What a paired host gets when its address is full is configurable',
      'yes',
      'Paired, a host stays on its address and is refused there; with `--pooling arbitrary` any address serves.',
      [SHORTAGE, 'pools › paired: a host has one address, hosts are spread'],
      [SHORTAGE, 'pools › arbitrary: a host may have several'],
    ),
    row(
      'EIM protocol independence',
      'SHOULD',
      'Mapping behaviour may be set per protocol',
      'yes',
      'In the engine’s configuration, where rules match protocols and ports and have a behaviour each; `run` has one for all.',
      [RULES, 'rules › by protocol and port'],
    ),
    row(
      'EIF protocol independence',
      'SHOULD',
      'Filtering behaviour may be set per protocol',
      'yes',
      'As the mapping.',
      [RULES, 'rules › by protocol and port'],
    ),
    row(
      'EIF mapping refresh',
      'SHOULD',
      'Unwanted inbound packets do not hold a mapping for ever',
      'yes',
      'A flow that began outside is not refreshed from outside until it has been answered.',
      [
        BEHAVIOURS,
        'nobody keeps a mapping alive from outside that is not answered (RFC 7857, EIF mapping refresh)',
      ],
      [RFC, 'TCP: SYNs that nobody answers, from ever new ports, keep no mapping'],
    ),
    row(
      'outbound errors',
      'SHOULD NOT',
      'Outbound ICMP errors and RSTs that answer inbound packets refresh',
      'yes',
      'Errors never do. A RST closes, which shortens what is left to 240 s, or ends what was never answered; further ones prolong nothing.',
      [RFC, 'ICMP errors that answer what came in'],
      [RFC, 'RSTs on a connection that a RST has closed'],
      [RFC, 'a RST of a private host that answers an uninvited SYN ends what the SYN began'],
    ),
    row('port parity', 'MAY', 'Parity may be given up', 'yes', 'Kept by default; `--no-parity`.', [
      BEHAVIOURS,
      'random: not the internal port; sequential: one after the other',
    ]),
    row(
      'port randomisation',
      'SHOULD',
      'Ports are randomised where they are not preserved',
      'yes',
      'A port that cannot be preserved is searched from a random place; `--port-choice random` preserves none (RFC 6056).',
      [
        'engine/rfc-6888.test.ts',
        'random: two engines of other seeds give other ports, and neighbours are not neighbours',
      ],
      [BEHAVIOURS, 'random: not the internal port; sequential: one after the other'],
    ),
    row(
      'IP identification',
      'SHOULD',
      'RFC 6864 5.3.1: unique for datagrams that are not atomic',
      'yes',
      'Numbered anew by the gateway on the way out; atomic ones keep theirs.',
      [IDS, 'outwards › datagrams without DF are numbered one after the other, whoever sends them'],
      [IDS, 'outwards › 65536 in a row, all different, checksums right'],
      [IDS, 'outwards › atomic datagrams keep theirs'],
      [IDS, 'the fragments of one datagram have one, two hosts with the same have two'],
    ),
    row('ICMP query mappings', 'MAY', 'An ICMP mapping goes with its last session', 'yes', 'It does.', [
      RFC,
      'go with their last session',
    ]),
    row(
      'hairpinned ICMP',
      'MUST',
      'Hairpinned ICMP queries pass, for NAPT too',
      'yes',
      'A query to an id that another host has mapped reaches that host.',
      [BEHAVIOURS, 'a query to an id that another host has'],
    ),
  ],
};
