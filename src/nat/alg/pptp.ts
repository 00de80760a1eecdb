/**
 * PPTP control connections (RFC 2637): calls and the ids by which their GRE packets are told apart.
 *
 * The client (PNS) began the flow. Both ends choose an id for each call; a GRE packet carries the receiver's. Two clients
 * may choose the same one, so the server is told another (`callId`), here and in the GRE header (nat/translate.ts).
 * One call at a time per control connection, as nf_conntrack_pptp.c. The client's side of the conversation:
 *
 *     7 call request ──▶   8 reply ◀──      or      9 call request ◀──   10 reply ──▶   11 connected ◀──
 *
 * Memory: client's id | the id that the server knows instead | server's id | 1 while there is a call.
 */
import { type AlgPacket, type AlgSession, type Edit, NO_EDITS } from './session.ts';

const HEADER = 12;
const CONTROL = '\0\x01\x1a\x2b\x3c\x4d';

const OUT_REQUEST = 7;
const OUT_REPLY = 8;
const IN_REQUEST = 9;
const IN_REPLY = 10;
const IN_CONNECTED = 11;
const CLEAR_REQUEST = 12;
const DISCONNECT_NOTIFY = 13;
const ERROR_NOTIFY = 14;
const SET_LINK_INFO = 15;

/** Field offsets in the message. */
const CALL_ID = 12;
const PEER_ID = 14;
const RESULT = 16;
const CONNECTED = 1;

const OWN = 0;
const TOLD = 1;
const PEER = 2;
const ACTIVE = 3;

export function pptp(
  { text }: AlgPacket,
  session: AlgSession,
  memory: Int32Array,
  at: number,
): readonly Edit[] | null {
  const edits: Edit[] = [];
  for (let start = 0; start + HEADER <= text.length; ) {
    const length = be16(text, start);
    if (length < HEADER || start + length > text.length || !text.startsWith(CONTROL, start + 2)) break;
    const message = text.slice(start, start + length);
    let field = NOTHING;
    // One that ends before its call identifier says nothing; an edit there would be of what follows it.
    if (length >= CALL_ID + 2) {
      field =
        session.direction === 0
          ? fromClient(message, session, memory, at)
          : fromServer(message, session, memory, at);
    }
    if (field === FAILED) return null;
    if (field !== NOTHING) {
      const id = memory[at + (session.direction === 0 ? TOLD : OWN)]!;
      if (be16(message, field) !== id) {
        edits.push({
          start: start + field,
          end: start + field + 2,
          text: String.fromCharCode(id >>> 8, id & 0xff),
        });
      }
    }
    start += length;
  }
  return edits.length === 0 ? NO_EDITS : edits;
}

const NOTHING = -1;
const FAILED = -2;

/** Where in a message of the client's the client's id stands; NOTHING, or FAILED. */
function fromClient(message: string, session: AlgSession, memory: Int32Array, at: number): number {
  const type = be16(message, 8);
  if (type === OUT_REQUEST || (type === IN_REPLY && message.length > RESULT)) {
    const id = be16(message, CALL_ID);
    if (memory[at + OWN] !== id || memory[at + TOLD] === 0) {
      end(session, memory, at);
      const told = session.callId(id);
      if (told < 0) return FAILED;
      memory[at + OWN] = id;
      memory[at + TOLD] = told;
    }
    if (type === IN_REPLY && message.charCodeAt(RESULT) === CONNECTED) {
      memory[at + PEER] = be16(message, PEER_ID);
      return begin(session, memory, at) ? CALL_ID : FAILED;
    }
    return CALL_ID;
  }
  return type === CLEAR_REQUEST && be16(message, CALL_ID) === memory[at + OWN] ? CALL_ID : NOTHING;
}

/** Where in a message of the server's the id stands that it was told. */
function fromServer(message: string, session: AlgSession, memory: Int32Array, at: number): number {
  const type = be16(message, 8);
  const told = memory[at + TOLD]!;
  if (type === OUT_REPLY && message.length > RESULT) {
    if (told === 0 || be16(message, PEER_ID) !== told) return NOTHING;
    if (message.charCodeAt(RESULT) === CONNECTED) {
      const peer = be16(message, CALL_ID);
      if (memory[at + ACTIVE] !== 0 && memory[at + PEER] !== peer) end(session, memory, at);
      memory[at + PEER] = peer;
      if (!begin(session, memory, at)) return FAILED;
    }
    return PEER_ID;
  }
  if (type === IN_REQUEST) return NOTHING;
  if (type === IN_CONNECTED || type === ERROR_NOTIFY || type === SET_LINK_INFO) {
    return told !== 0 && be16(message, CALL_ID) === told ? CALL_ID : NOTHING;
  }
  if (type === DISCONNECT_NOTIFY && be16(message, CALL_ID) === memory[at + PEER]) end(session, memory, at);
  return NOTHING;
}

function begin(session: AlgSession, memory: Int32Array, at: number): boolean {
  if (memory[at + ACTIVE] !== 0) return true;
  if (!session.call(memory[at + OWN]!, memory[at + TOLD]!, memory[at + PEER]!)) return false;
  memory[at + ACTIVE] = 1;
  return true;
}

/** Ends the call that the memory tells of, if there is one. Also for a control connection that has ended. */
export function end(session: Pick<AlgSession, 'hangUp'>, memory: Int32Array, at: number): void {
  if (memory[at + ACTIVE] === 0) return;
  session.hangUp(memory[at + OWN]!, memory[at + TOLD]!, memory[at + PEER]!);
  memory[at + ACTIVE] = 0;
}

/** NaN-free: positions behind the end read as 0. */
function be16(text: string, at: number): number {
  return at + 1 < text.length ? (text.charCodeAt(at) << 8) | text.charCodeAt(at + 1) : 0;
}
