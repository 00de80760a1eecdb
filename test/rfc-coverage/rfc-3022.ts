import { type Document, row } from './requirement.ts';

const RFC = 'engine/rfc-3022.test.ts';

/** RFC 3022 has no numbered requirements and no levels: what it describes, by subject. */
export const rfc3022: Document = {
  rfc: 3022,
  title: 'Traditional NAT',
  requirements: [
    row(
      '2.1 Basic NAT',
      '–',
      'One private address, one public one; both ways',
      'yes',
      '`--one-to-one`, `--netmap`.',
      [RFC, 'addresses alone are translated, both ways, for every protocol'],
      ['engine/nat-rules.test.ts', 'both sides may begin; ports, ids and protocols stay'],
    ),
    row(
      '2.2 NAPT',
      '–',
      'Many hosts share an address by ports and query ids',
      'yes',
      'The default; other protocols by address.',
      ['engine/forwarding.test.ts', 'a literal query goes out and its answer comes back, byte for byte'],
      [
        'engine/forwarding.test.ts',
        'a protocol without ports goes by addresses; one host at a time per remote',
      ],
    ),
    row(
      '4.1 checksums',
      '–',
      'Adjusted incrementally; a UDP checksum of 0 stays',
      'yes',
      'RFC 1624.',
      [
        'nat/translate.test.ts',
        'out and back restores every bit but TTL and header checksum; all checksums are right on both sides',
      ],
      ['nat/translate.test.ts', 'a UDP checksum of 0 stays 0; a computed 0 is sent as ffff'],
    ),
    row(
      '4.3 ICMP errors',
      '–',
      'Outer and quoted headers and all sums are translated',
      'yes',
      'At all lengths of the quote.',
      [
        'engine/icmp-errors.test.ts',
        'type %i code %i from a router reaches the client, who knows what it quotes',
      ],
    ),
    row(
      '4.4 FTP',
      '–',
      'PORT and PASV are translated, sequence numbers follow',
      'yes',
      'With `--helper ftp`; without it the payload stays, as RFC 4787 REQ-10 has it.',
      [
        'engine/helpers-ftp.test.ts',
        'FTP › what changes its length moves the numbers of both directions, and a repetition comes out the same',
      ],
      ['engine/helpers-ftp.test.ts', 'FTP › passive: nothing is rewritten, the data connection is RELATED'],
      ['engine/rfc-4787.test.ts', 'the payload of %s stays as it is'],
    ),
    row('4.5 DNS', '–', 'Payload is not changed', 'yes', 'No payload is, unless by a helper.', [
      'engine/forwarding.test.ts',
      'a literal query goes out and its answer comes back, byte for byte',
    ]),
    row(
      '5.x fragments',
      '–',
      'Fragments of hosts with the same identification are told apart',
      'yes',
      'By source, and by an identification of the gateway’s own outside.',
      ['engine/fragments.test.ts', 'two clients with one IP id keep apart'],
      ['engine/ip-id.test.ts', 'the fragments of one datagram have one, two hosts with the same have two'],
    ),
    row(
      '4.7 routing',
      '–',
      'Private addresses do not leak',
      'yes',
      'What cannot be translated is dropped.',
      [RFC, 'none leaves: not in a packet, not in an error, not of a host without a rule'],
      ['netns/leaks.test.ts', 'the public side › shows no private address in ordinary traffic'],
    ),
  ],
};
