/**
 * What a sequence is made of. It is symbolic: a step says "from the public side, flow 2, this seq", not which external
 * port it goes to, because kernel and natgate choose ports of their own. build.ts makes the bytes for each of them
 * once the outputs of the steps before are known. Being plain data, a sequence can be cut down and run again.
 */
export type Side = 'private' | 'public';

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;

export interface FlowSpec {
  protocol: number;
  /** Number of the private host, and of the host behind the public side. */
  client: number;
  server: number;
  /** Port, or ICMP id, of the client. */
  clientPort: number;
  serverPort: number;
}

export interface IpSpec {
  ttl: number;
  tos: number;
  id: number;
  /** The "don't fragment" bit. */
  df: boolean;
  /** Bytes of options, a multiple of 4. */
  options: readonly number[];
}

interface Common {
  flow: number;
  ip: IpSpec;
  /** Added to the transport checksum, so that it is wrong. */
  badChecksum?: number;
}

export interface TcpSpec extends Common {
  kind: 'tcp';
  flags: number;
  seq: number;
  ack: number;
  window: number;
  options: readonly number[];
  /** Bytes of payload. */
  data: number;
  /** Data offset in words, where it lies. */
  offset?: number;
}

export interface UdpSpec extends Common {
  kind: 'udp';
  data: number;
  /** No checksum (0). */
  unsummed?: boolean;
  /** Added to the length field. */
  lengthError?: number;
}

export interface QuerySpec extends Common {
  kind: 'query';
  type: number;
  code: number;
  sequence: number;
  data: number;
}

export type FlowPacket = TcpSpec | UdpSpec | QuerySpec;

export type QuoteClass =
  | 'none'
  | 'cut-header'
  | 'header'
  | 'header+4'
  | 'header+7'
  | 'header+8'
  | 'transport'
  | 'options'
  | 'full'
  | 'rfc4884';

export type QuoteLie = 'address' | 'port' | 'peer' | 'later-fragment' | 'protocol' | 'version' | 'direction';

export interface ErrorSpec {
  kind: 'error';
  flow: number;
  ip: IpSpec;
  type: number;
  code: number;
  /** The four bytes before the quote. */
  rest: number;
  /** A packet of the same flow that went the other way. */
  quoted: FlowPacket;
  quote: QuoteClass;
  /** Who sends it: the end of the flow on that side, or a router before it. */
  sender: 'peer' | 'router';
  badChecksum?: number;
  /** Added to the checksum of the quoted header. */
  badInner?: number;
  /** The error goes to somebody else than the sender of what it quotes. */
  astray?: boolean;
  lie?: QuoteLie;
}

export type PacketSpec = FlowPacket | ErrorSpec;

/** A piece of the packet, sent as a fragment; in bytes of IP payload. */
export interface Cut {
  offset: number;
  length: number;
  more: boolean;
  /** The bytes are not those of the datagram: what an overlap disagrees about. */
  garble?: boolean;
  shape: FragmentShape;
}

export type FragmentShape =
  | 'in order'
  | 'reversed'
  | 'shuffled'
  | 'first last'
  | 'tiny'
  | 'overlapping'
  | 'duplicate'
  | 'missing'
  | 'interleaved';

export interface Step {
  from: Side;
  packet: PacketSpec;
  cut?: Cut;
}

export interface Sequence {
  /** Number of the sequence in its run, and the name of its generator. */
  number: number;
  kind: string;
  flows: readonly FlowSpec[];
  steps: readonly Step[];
}

const FLAGS = 'FSRPAUEC';

export function flagsOf(letters: string): number {
  let flags = 0;
  for (const letter of letters) flags |= 1 << FLAGS.indexOf(letter);
  return flags;
}

export function flagLetters(flags: number): string {
  return [...FLAGS].filter((_, bit) => (flags & (1 << bit)) !== 0).join('') || 'none';
}

/** One line. */
export function describeStep(step: Step): string {
  const cut = step.cut;
  const piece =
    cut === undefined
      ? ''
      : ` fragment ${cut.offset}+${cut.length}${cut.more ? ' more' : ' last'}${cut.garble ? ' garbled' : ''}`;
  return `${step.from === 'private' ? '->' : '<-'} ${describePacketSpec(step.packet)}${piece}`;
}

function describePacketSpec(packet: PacketSpec): string {
  const ip =
    `${packet.ip.ttl < 32 ? ` ttl ${packet.ip.ttl}` : ''}${packet.ip.df ? '' : ' no df'}` +
    `${packet.ip.options.length > 0 ? ` ip options ${packet.ip.options}` : ''}` +
    `${packet.badChecksum !== undefined ? ' bad checksum' : ''}`;
  const flow = `flow ${packet.flow}`;
  switch (packet.kind) {
    case 'tcp': {
      const options = packet.options.length > 0 ? ` options ${packet.options.join('.')}` : '';
      const offset = packet.offset === undefined ? '' : ` offset ${packet.offset}`;
      const numbers = `seq ${packet.seq >>> 0} ack ${packet.ack >>> 0} win ${packet.window} len ${packet.data}`;
      return `${flow} tcp ${flagLetters(packet.flags)} ${numbers}${options}${offset}${ip}`;
    }
    case 'udp':
      return `${flow} udp len ${packet.data}${packet.unsummed ? ' unsummed' : ''}${packet.lengthError ? ' bad length' : ''}${ip}`;
    case 'query':
      return `${flow} icmp ${packet.type}/${packet.code} len ${packet.data}${ip}`;
    case 'error': {
      const odd =
        (packet.badInner === undefined ? '' : ' bad inner checksum') +
        (packet.astray ? ' astray' : '') +
        (packet.lie === undefined ? '' : ` wrong ${packet.lie}`);
      return `${flow} icmp error ${packet.type}/${packet.code} rest ${packet.rest} by ${packet.sender}, quote ${packet.quote}${odd}${ip} of [${describePacketSpec(packet.quoted)}]`;
    }
  }
}
