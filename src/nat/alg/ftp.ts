/**
 * FTP control connections (RFC 959, RFC 2428): data connections that the client announces (PORT, EPRT) or the server (227,
 * 229).
 *
 * Only whole lines are read, and only where a line is known to begin (nf_conntrack_ftp.c): the text of a file name or of a
 * banner is no command. For that the two last places behind a line's end are remembered for each direction, so that a
 * segment that comes again is read, and changed, again. A command that is cut by a segment is not seen.
 * Only an endpoint of the sender's own is taken: nobody opens doors to others (no `loose`).
 *
 * Memory, per direction: places known | first | second.
 */
import { formatAddress, parseAddress } from '../../wire/address.ts';
import { PROTO_TCP } from '../../wire/ipv4.ts';
import { type AlgPacket, type AlgSession, type Edit, NO_EDITS } from './session.ts';

const PLACES = 3;
const SECONDS = 300;

const NUMBERS = String.raw`(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})`;
const PORT = new RegExp(`^(PORT +)${NUMBERS}[ \\t]*\\r?\\n`, 'i');
const EPRT = /^(EPRT +)([!-~])1\2(\d{1,3}(?:\.\d{1,3}){3})\2(\d{1,5})\2[ \t]*\r?\n/i;
const PASV = new RegExp(`^(227 [^\\d\\n]*)${NUMBERS}`);
const EPSV = /^(229 [^(\n]*\(([!-~])\2\2)(\d{1,5})\2\)/;

interface Mention {
  address: number;
  port: number;
  /** Where the endpoint stands in its line. */
  start: number;
  end: number;
  write(address: number, port: number): string;
}

export function ftp(
  packet: AlgPacket,
  session: AlgSession,
  memory: Int32Array,
  at: number,
): readonly Edit[] | null {
  const { text, sequence } = packet;
  const places = at + session.direction * PLACES;
  if (packet.syn) remember(memory, places, (sequence + 1) | 0);
  if (text.length === 0) return NO_EDITS;
  const known = isKnown(memory, places, sequence);
  if (text.endsWith('\n')) remember(memory, places, (sequence + text.length) | 0);
  return known ? lines(text, session) : NO_EDITS;
}

function lines(text: string, session: AlgSession): readonly Edit[] | null {
  const edits: Edit[] = [];
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start) + 1;
    if (end === 0) break;
    const mention = read(text.slice(start, end), session);
    if (mention !== null && mention.port !== 0 && mention.address === session.source) {
      const port = session.expect({
        protocol: PROTO_TCP,
        address: mention.address,
        port: mention.port,
        from: 'peer',
        kind: 0,
        limit: 1,
        seconds: SECONDS,
      });
      if (port < 0) return null;
      const written = mention.write(session.newSource, port);
      if (written !== text.slice(start + mention.start, start + mention.end)) {
        edits.push({ start: start + mention.start, end: start + mention.end, text: written });
      }
    }
    start = end;
  }
  return edits;
}

function read(line: string, session: AlgSession): Mention | null {
  const [numbered, extended] = session.direction === 0 ? [PORT, EPRT] : [PASV, EPSV];
  const old = numbered.exec(line);
  if (old !== null) return readNumbers(old);
  const match = extended.exec(line);
  if (match === null) return null;
  if (session.direction === 1) {
    const start = match[1]!.length;
    return {
      address: session.source,
      port: portNumber(match[3]!),
      start,
      end: start + match[3]!.length,
      write: (_, port) => String(port),
    };
  }
  const [, command, mark, address, port] = match as unknown as [string, string, string, string, string];
  const start = command.length;
  return {
    address: parseAddress(address) ?? 0,
    port: portNumber(port),
    start,
    end: start + `${mark}1${mark}${address}${mark}${port}${mark}`.length,
    write: (to, toPort) => `${mark}1${mark}${formatAddress(to)}${mark}${toPort}${mark}`,
  };
}

function readNumbers(match: RegExpExecArray): Mention | null {
  const numbers = match.slice(2, 8).map(Number);
  if (numbers.some((number) => number > 255)) return null;
  const start = match[1]!.length;
  return {
    address: parseAddress(numbers.slice(0, 4).join('.'))!,
    port: (numbers[4]! << 8) | numbers[5]!,
    start,
    end: start + match.slice(2, 8).join(',').length,
    write: (address, port) => `${formatAddress(address).replaceAll('.', ',')},${port >>> 8},${port & 0xff}`,
  };
}

function portNumber(text: string): number {
  const port = Number(text);
  return port > 65535 ? 0 : port;
}

function isKnown(memory: Int32Array, places: number, sequence: number): boolean {
  const count = memory[places]!;
  return (
    (count > 0 && memory[places + 1] === (sequence | 0)) ||
    (count > 1 && memory[places + 2] === (sequence | 0))
  );
}

/** Of three places the two latest stay. */
function remember(memory: Int32Array, places: number, place: number): void {
  if (isKnown(memory, places, place)) return;
  const count = memory[places]!;
  if (count < 2) {
    memory[places + 1 + count] = place;
    memory[places] = count + 1;
    return;
  }
  const firstIsOlder = ((memory[places + 1]! - memory[places + 2]!) | 0) < 0;
  memory[places + (firstIsOlder ? 1 : 2)] = place;
}
