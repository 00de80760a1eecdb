/**
 * SIP over UDP and TCP (RFC 3261): the endpoints in a message become those that its receiver can reach, the media that its
 * SDP announces is expected, and so are requests for who has registered (nf_conntrack_sip.c, nf_nat_sip.c).
 *
 * Translated are the request URI, Via, From, To, Contact, Route and Record-Route: the sender's own endpoint to the external
 * one, and the endpoint that the packet goes to, back to the one behind the gateway. Content-Length follows the body.
 * A REGISTER announces its Contact; the registrar's 200 confirms it for as long as it says, and then requests from the
 * registrar reach it from any port, any number of times. Media may come from anywhere: where a provider's media comes from
 * is known from the answer only.
 * Limits: over TCP a message must be whole in its segment. A message that is not understood passes as it is.
 */
import { formatAddress, parseAddress } from '../../wire/address.ts';
import { PROTO_TCP, PROTO_UDP } from '../../wire/ipv4.ts';
import { MEDIA, translateSdp } from './sdp.ts';
import { type AlgPacket, type AlgSession, type Edit, NO_EDITS } from './session.ts';
import { fieldOf, readSip, type SipMessage, type Span } from './sip-message.ts';

export const SIGNALLING = 0;
const DEFAULT_PORT = 5060;
/** Of a registration that names no time (RFC 3261 10.2.1.1), and the longest that is believed. */
const REGISTRATION_SECONDS = 3600;

const TRANSLATED = new Set('via from to contact route record-route'.split(' '));
const HOST = /(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?(?![\d.@])/g;
const CONTACT = /sips?:(?:[^@>;\s]*@)?(\d{1,3}(?:\.\d{1,3}){3})(?::(\d{1,5}))?/i;
const TRANSPORT_TCP = /;transport=tcp/i;
const EXPIRES = /;expires=(\d{1,9})/i;
const RPORT = /;rport=(\d{1,5})/i;

export function sip({ text }: AlgPacket, session: AlgSession): readonly Edit[] | null {
  const isStream = session.protocol === PROTO_TCP;
  const edits: Edit[] = [];
  for (let start = 0; start < text.length; ) {
    const message = readSip(text, start, isStream);
    if (message === null) break;
    if (!isStream) session.keep();
    if (!prepare(text, message, session)) return null;
    const body = translateBody(text, message, session);
    if (body === null) return null;
    edits.push(...translateHeaders(text, message, session, lengthChange(body)), ...body);
    start = message.body.end;
  }
  return edits.length === 0 ? NO_EDITS : edits;
}

/** What the message says about what is expected. False: no port. */
function prepare(text: string, message: SipMessage, session: AlgSession): boolean {
  const { method, status } = message;
  if (method === 'REGISTER') return announceContact(text, message, session);
  if (method === 'BYE' || method === 'CANCEL') session.forget(MEDIA);
  if (status < 200) return true;
  const answered = /[A-Z]+$/.exec(fieldOf(text, message, 'cseq'))?.[0];
  if (answered === 'INVITE' && status >= 300) session.forget(MEDIA);
  if (answered === 'REGISTER') confirmContacts(text, message, session);
  return true;
}

function announceContact(text: string, message: SipMessage, session: AlgSession): boolean {
  const contact = fieldOf(text, message, 'contact');
  const match = CONTACT.exec(contact);
  if (match === null || parseAddress(match[1]!) !== session.source) return true;
  // A farewell: what was announced goes when the registrar says so.
  if (secondsOf(text, message, contact) === 0) return true;
  const protocol = protocolOf(contact, session);
  const port = Number(match[2] ?? DEFAULT_PORT);
  if (port === 0 || port > 65535) return true;
  const external = session.expect({
    protocol,
    address: session.source,
    port,
    from: 'peer',
    kind: SIGNALLING,
    limit: 1,
    seconds: REGISTRATION_SECONDS,
    permanent: true,
    inactive: true,
    helped: true,
    own: protocol === session.protocol && port === session.sourcePort,
  });
  return external >= 0;
}

/** The registrar's list of contacts: ours are confirmed; if ours is not there, or has no time left, it is over. */
function confirmContacts(text: string, message: SipMessage, session: AlgSession): void {
  if (message.status >= 300) return;
  let isThere = false;
  for (const { name, start, end } of message.fields) {
    if (name !== 'contact') continue;
    for (const contact of text.slice(start, end).split(',')) {
      const match = CONTACT.exec(contact);
      if (match === null || parseAddress(match[1]!) !== session.destination) continue;
      const seconds = secondsOf(text, message, contact);
      if (seconds === 0) continue;
      isThere = true;
      const port = Number(match[2] ?? DEFAULT_PORT);
      session.refresh(protocolOf(contact, session), port, SIGNALLING, seconds);
    }
  }
  if (!isThere) session.forget([SIGNALLING]);
}

function secondsOf(text: string, message: SipMessage, contact: string): number {
  const own = EXPIRES.exec(contact)?.[1] ?? fieldOf(text, message, 'expires');
  return /^\d+$/.test(own) ? Math.min(Number(own), REGISTRATION_SECONDS) : REGISTRATION_SECONDS;
}

function protocolOf(contact: string, session: AlgSession): number {
  if (TRANSPORT_TCP.test(contact)) return PROTO_TCP;
  return /;transport=udp/i.test(contact) ? PROTO_UDP : session.protocol;
}

function translateBody(text: string, message: SipMessage, session: AlgSession): Edit[] | null {
  const { start, end } = message.body;
  const type = fieldOf(text, message, 'content-type');
  if (start === end || !/^application\/sdp\b/i.test(type)) return [];
  return translateSdp(text, start, end, session);
}

function translateHeaders(text: string, message: SipMessage, session: AlgSession, growth: number): Edit[] {
  const edits: Edit[] = [];
  if (message.method !== '') translateHosts(text, message.startLine, session, edits);
  for (const field of message.fields) {
    if (TRANSLATED.has(field.name)) {
      translateHosts(text, field, session, edits);
      if (field.name === 'via') translateRport(text, field, session, edits);
    } else if (field.name === 'content-length' && growth !== 0) {
      const length = Number(text.slice(field.start, field.end));
      edits.push({ start: field.start, end: field.end, text: String(length + growth) });
    }
  }
  return edits.sort((a, b) => a.start - b.start);
}

function translateHosts(text: string, { start, end }: Span, session: AlgSession, edits: Edit[]): void {
  const value = text.slice(start, end);
  for (const match of value.matchAll(HOST)) {
    const address = parseAddress(match[1]!);
    if (address === null) continue;
    const written = endpoint(address, match[2], value, session);
    if (written === null || written === match[0]) continue;
    const at = start + match.index;
    edits.push({ start: at, end: at + match[0].length, text: written });
  }
}

/** How the receiver knows the endpoint; null when it is none of the two. `digits`: its port, where one is written. */
function endpoint(
  address: number,
  digits: string | undefined,
  value: string,
  session: AlgSession,
): string | null {
  const port = Number(digits ?? DEFAULT_PORT);
  if (address === session.source && session.source !== session.newSource) {
    if (port === session.sourcePort) return join(session.newSource, session.newSourcePort, digits);
    const other = session.portOf(protocolOf(value, session), address, port);
    return other < 0 ? join(session.newSource, port, digits) : join(session.newSource, other, digits);
  }
  if (address === session.destination && session.destination !== session.newDestination) {
    if (port === session.destinationPort) {
      return join(session.newDestination, session.newDestinationPort, digits);
    }
    return join(session.newDestination, port, digits);
  }
  return null;
}

/** A port is written where one was, or where it is not the one that is meant without. */
function join(address: number, port: number, digits: string | undefined): string {
  const host = formatAddress(address);
  return digits === undefined && port === DEFAULT_PORT ? host : `${host}:${port}`;
}

/** The port that a server saw a request come from (RFC 3581), back to the one that it was sent from. */
function translateRport(text: string, { start, end }: Span, session: AlgSession, edits: Edit[]): void {
  const match = RPORT.exec(text.slice(start, end));
  if (match === null || Number(match[1]) !== session.destinationPort) return;
  if (session.destinationPort === session.newDestinationPort) return;
  const at = start + match.index + ';rport='.length;
  edits.push({ start: at, end: at + match[1]!.length, text: String(session.newDestinationPort) });
}

function lengthChange(edits: readonly Edit[]): number {
  return edits.reduce((sum, { start, end, text }) => sum + text.length - (end - start), 0);
}
