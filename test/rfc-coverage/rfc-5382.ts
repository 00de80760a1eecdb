import { type Document, row } from './requirement.ts';

const RFC = 'engine/rfc-5382.test.ts';
const BEHAVIOURS = 'engine/nat-behaviours.test.ts';
const RULES = 'engine/nat-rules.test.ts';

export const rfc5382: Document = {
  rfc: 5382,
  title: 'NAT behavioral requirements for TCP',
  requirements: [
    row(
      'REQ-1',
      'MUST',
      'Mapping is endpoint-independent',
      'reserved',
      'As RFC 4787 REQ-1: the default, until no port is free; `--overload never` rules it out.',
      [RFC, 'one internal endpoint has one external port for all its connections'],
    ),
    row(
      'REQ-2',
      'MUST',
      'All valid sequences, for connections begun by either side',
      'yes',
      'netfilter’s whole state machine, with its windows.',
      [
        RFC,
        'begun outside, where the filter lets it in: handshake, data both ways, closed by the remote first',
      ],
      ['engine/forwarding.test.ts', 'a TCP connection, from SYN to its end'],
      ['conntrack/tcp-tracker.test.ts', 'every cell › %s %s in %s'],
      ['conntrack/tcp-window.test.ts', 'random segments: the verdict and the numbers of the model'],
    ),
    row(
      'REQ-2a',
      'MUST',
      'Simultaneous open',
      'yes',
      'Both SYNs pass, the second half from either side.',
      [RFC, 'simultaneous open, %s'],
      ['conntrack/tcp-tracker.test.ts', 'both at once, the second half of the handshake from either side'],
    ),
    row(
      'REQ-3',
      'RECOMMENDED',
      'Filtering is endpoint-independent or address-dependent',
      'no',
      'The default is address-and-port-dependent, as MASQUERADE’s; `--filtering eif` and `adf` are there.',
      [BEHAVIOURS, 'filtering (RFC 4787 5) › %s'],
    ),
    row('REQ-3a', 'MAY', 'Filtering is configurable', 'yes', '`--filtering`.', [
      BEHAVIOURS,
      'TCP from outside begins with a SYN',
    ]),
    row(
      'REQ-3b',
      'MAY',
      'and apart from UDP’s',
      'yes',
      'In the engine’s configuration, where each rule has a behaviour and may name protocols; `run` has one for all.',
      [RULES, 'rules › by protocol and port'],
    ),
    row(
      'REQ-4',
      'MUST NOT',
      'Answer an unsolicited SYN within 6 s',
      'yes',
      'Not at all by default. With `--unsolicited unreachable` after six seconds, unless the other half of a simultaneous open has come.',
      [RFC, 'neither a RST nor an ICMP error leaves, for whatever port of the range, by default'],
      [BEHAVIOURS, 'unreachable: 3/3 after six seconds'],
      [BEHAVIOURS, 'unreachable: not when the other half of a simultaneous open comes in time'],
    ),
    row(
      'REQ-4, answer',
      'SHOULD',
      'ICMP 3/3 thereafter, unless REQ-4a applies',
      'yes',
      'With `--unsolicited unreachable`. The default is a policy of silence (REQ-4a).',
      [BEHAVIOURS, 'unreachable: 3/3 after six seconds'],
    ),
    row('REQ-4a', 'MUST', 'Silence where policy forbids an answer', 'yes', 'The default.', [
      BEHAVIOURS,
      'silent: never answered',
    ]),
    row(
      'REQ-5',
      'MUST NOT',
      'Idle timers: established below 2 h 4 min, transitory below 4 min',
      'yes',
      '7440 s, whatever is outstanding; 240 s in every other state. A RST or SYN reuse that shows a connection to be over ends it sooner (RFC 7857).',
      [RFC, 'an established connection has two hours and four minutes, with data outstanding too'],
      [RFC, 'a transitory one has four minutes: %s'],
      [
        'conntrack/timeouts.test.ts',
        'the RFCs’ set: no transitory TCP state below 4 min, established not below 2 h 4 min whatever the timer',
      ],
    ),
    row(
      'REQ-5a',
      'MAY',
      'The timers are configurable',
      'yes',
      '`--timeout tcpEstablished=SECONDS` and so on.',
      [RFC, 'the timers are configurable'],
    ),
    row('REQ-6', 'RECOMMENDED', 'ALGs but FTP’s are off', 'yes', 'All are, FTP’s too.', [
      'engine/rfc-4787.test.ts',
      'the payload of %s stays as it is',
    ]),
    row(
      'REQ-7',
      'MUST NOT',
      'Ports are not overloaded',
      'reserved',
      'As RFC 4787 REQ-3. Before a port is overloaded, one whose connections are over changes hands (`ports_recycled`).',
      ['nat/mappings.test.ts', 'the same port of two clients: the first keeps it, the second gets another'],
      [
        'engine/rfc-6888.test.ts',
        'the packet is dropped, its sender told 3/13, the shortage noted, and no mapping gives way',
      ],
    ),
    row('REQ-8', 'MUST', 'Hairpinning', 'yes', 'On by default.', [
      BEHAVIOURS,
      'TCP, and an ICMP error about it',
    ]),
    row('REQ-8a', 'MUST', 'with the external source address and port', 'yes', 'The sender is mapped first.', [
      BEHAVIOURS,
      'TCP, and an ICMP error about it',
    ]),
    row(
      'REQ-9',
      'SHOULD',
      'Destination Unreachable is translated',
      'yes',
      'All codes, both ways, at all lengths of the quote.',
      [
        'nat/translate-error.test.ts',
        'from outside, about what the client sent: at every length of the quote',
      ],
    ),
    row(
      'REQ-10',
      'MUST NOT',
      'ICMP terminates a mapping or connection',
      'yes',
      'Errors neither refresh nor end a flow.',
      [RFC, 'no type and no code, from outside or from inside, in any state'],
    ),
  ],
};
