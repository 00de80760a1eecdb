/**
 * SDP (RFC 4566) in a SIP message: where media is to be sent. Each `m=` line is announced with its port for RTP and the
 * next one for RTCP, or the one that `a=rtcp` names (RFC 3605); what stands for the sender's address becomes what the
 * receiver can reach.
 */
import { formatAddress, parseAddress } from '../../wire/address.ts';
import { PROTO_TCP, PROTO_UDP } from '../../wire/ipv4.ts';
import type { AlgSession, Edit, Wanted } from './session.ts';

/** Kinds of expectations (nf_conntrack_sip.h); signalling is sip.ts's. */
export const AUDIO = 1;
export const VIDEO = 2;
export const IMAGE = 3;
export const MEDIA = [AUDIO, VIDEO, IMAGE];

const SECONDS = 180;
/** Pairs of RTP and RTCP: two of a kind. */
const LIMITS: Record<string, { kind: number; limit: number }> = {
  audio: { kind: AUDIO, limit: 4 },
  video: { kind: VIDEO, limit: 4 },
  image: { kind: IMAGE, limit: 2 },
};
/** Below, no media is received (nf_conntrack_sip.c). */
const LEAST_PORT = 1024;

const ADDRESS = String.raw`(\d{1,3}(?:\.\d{1,3}){3})`;
const CONNECTION = new RegExp(`^c=IN IP4 ${ADDRESS}`);
const ORIGIN = new RegExp(`^o=[^\\r\\n]*? IN IP4 ${ADDRESS}`);
const MEDIA_LINE = /^m=(\w+) (\d{1,5})(?:\/\d+)? (\S+)/;
const RTCP = new RegExp(`^a=rtcp:(\\d{1,5})(?: IN IP4 ${ADDRESS})?`);

interface Line {
  start: number;
  text: string;
}

interface Media {
  kind: number;
  limit: number;
  protocol: number;
  port: number;
  isRtp: boolean;
  /** Where the port stands. */
  start: number;
  address: number;
  rtcp: { port: number; start: number } | null;
}

/** The edits of the body [from, end) of a message; null when no port is to be had. */
export function translateSdp(text: string, from: number, end: number, session: AlgSession): Edit[] | null {
  const edits: Edit[] = [];
  const media: Media[] = [];
  let common = 0;
  for (const line of linesOf(text, from, end)) {
    const named = CONNECTION.exec(line.text) ?? ORIGIN.exec(line.text);
    if (named !== null) {
      const address = parseAddress(named[1]!) ?? 0;
      if (line.text.startsWith('c=')) {
        const last = media.at(-1);
        if (last === undefined) common = address;
        else last.address = address;
      }
      rename(edits, line.start + named[0].length, named[1]!, session);
    }
    const found = readMedia(line, common);
    if (found !== null) media.push(found);
    const rtcp = RTCP.exec(line.text);
    const last = media.at(-1);
    if (rtcp !== null && last !== undefined) {
      const port = Number(rtcp[1]);
      if (port > 0 && port <= 65535) last.rtcp = { port, start: line.start + 'a=rtcp:'.length };
      if (rtcp[2] !== undefined) rename(edits, line.start + rtcp[0].length, rtcp[2], session);
    }
  }
  for (const one of media) {
    if (one.address !== session.source || one.port < LEAST_PORT) continue;
    if (!announce(one, session, edits)) return null;
  }
  return edits.sort((a, b) => a.start - b.start);
}

function announce(media: Media, session: AlgSession, edits: Edit[]): boolean {
  const { protocol, port, kind, limit, rtcp, isRtp } = media;
  const wanted: Wanted = {
    protocol,
    address: session.source,
    port,
    from: 'anywhere',
    kind,
    limit,
    seconds: SECONDS,
  };
  const isPair = isRtp && port < 65535 && (rtcp === null || rtcp.port === port + 1);
  const external = isPair ? session.expectPair(wanted) : session.expect(wanted);
  if (external < 0) return false;
  change(edits, media.start, port, external);
  if (rtcp === null || rtcp.port === port) {
    if (rtcp !== null) change(edits, rtcp.start, port, external);
    return true;
  }
  const control = isPair ? external + 1 : session.expect({ ...wanted, port: rtcp.port });
  if (control < 0) return false;
  change(edits, rtcp.start, rtcp.port, control);
  return true;
}

function readMedia({ start, text }: Line, address: number): Media | null {
  const match = MEDIA_LINE.exec(text);
  const limits = match === null ? undefined : LIMITS[match[1]!.toLowerCase()];
  if (match === null || limits === undefined || Number(match[2]) > 65535) return null;
  const transport = match[3]!.toUpperCase();
  return {
    ...limits,
    protocol: transport.startsWith('TCP') ? PROTO_TCP : PROTO_UDP,
    port: Number(match[2]),
    isRtp: transport.startsWith('RTP') || transport.startsWith('UDP/TLS/RTP'),
    start: start + 'm='.length + match[1]!.length + 1,
    address,
    rtcp: null,
  };
}

/** The address that ends at `end`. */
function rename(edits: Edit[], end: number, before: string, session: AlgSession): void {
  if (parseAddress(before) !== session.source || session.newSource === session.source) return;
  edits.push({ start: end - before.length, end, text: formatAddress(session.newSource) });
}

function change(edits: Edit[], start: number, before: number, after: number): void {
  if (before === after) return;
  edits.push({ start, end: start + String(before).length, text: String(after) });
}

function* linesOf(text: string, from: number, end: number): Generator<Line> {
  for (let start = from; start < end; ) {
    const newline = text.indexOf('\n', start);
    const next = newline < 0 || newline >= end ? end : newline + 1;
    yield { start, text: text.slice(start, next).trimEnd() };
    start = next;
  }
}
