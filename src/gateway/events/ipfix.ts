/**
 * Messages of IPFIX (RFC 7011) with the events of a NAT as RFC 8158 has them.
 *
 *     message   header 16 bytes │ sets: templates (2), options template (3), data
 *
 * Templates go with the first message, then every TEMPLATE_MS and TEMPLATE_MESSAGES: over UDP one may be lost (RFC 7011 8.4). The sequence
 * number of a message is how many data records were sent before it, those included that were dropped here: so a collector sees by it how many it has not got.
 * Events that the reader of a ring lost were never records; their number is notSentFlowTotalCount of the exporting process (RFC 7011 4.3).
 *
 * There is no element for a change of address, a reload or a restart: these are not sent. A flow that moves is created
 * again, with the same flowId.
 */
import { hostOrder, parseAddress } from '../../wire/address.ts';
import { parseFlowId } from '../observe/flow-list.ts';
import type { FlowBegin, FlowEnd, FlowMoved, GatewayEvent, Refused } from './event.ts';

const VERSION = 10;
const HEADER = 16;
const SET_HEADER = 4;
/** What fits an Ethernet frame behind IPv6 and UDP headers, and some more. */
const MOST_BYTES = 1400;
const TEMPLATE_MS = 60_000;
const TEMPLATE_MESSAGES = 4096;
const TEMPLATE_SET = 2;
const OPTIONS_SET = 3;
const VARIABLE = 65_535;

/** Information elements: number and length (IANA, IPFIX entities; RFC 8158 5). */
const OBSERVATION_TIME_MS = [323, 8];
const NAT_EVENT = [230, 1];
const FLOW_ID = [148, 8];
const PROTOCOL = [4, 1];
const SOURCE = [8, 4];
const SOURCE_PORT = [7, 2];
const DESTINATION = [12, 4];
const DESTINATION_PORT = [11, 2];
const POST_SOURCE = [225, 4];
const POST_SOURCE_PORT = [227, 2];
const POST_DESTINATION = [226, 4];
const POST_DESTINATION_PORT = [228, 2];
const ORIGINATING_REALM = [229, 1];
const USER_NAME = [371, VARIABLE];
const INITIATOR_OCTETS = [231, 8];
const RESPONDER_OCTETS = [232, 8];
const INITIATOR_PACKETS = [298, 8];
const RESPONDER_PACKETS = [299, 8];
const FLOW_DURATION_MS = [161, 4];
const FLOW_END_REASON = [136, 1];
const PORT_RANGE_START = [361, 2];
const PORT_RANGE_END = [362, 2];
const QUOTA_EVENT = [466, 4];
const EXPORTING_PROCESS = [144, 4];
const NOT_SENT_FLOWS = [166, 8];

const SESSION_FIELDS = [
  OBSERVATION_TIME_MS,
  NAT_EVENT,
  FLOW_ID,
  PROTOCOL,
  SOURCE,
  SOURCE_PORT,
  POST_SOURCE,
  POST_SOURCE_PORT,
  DESTINATION,
  DESTINATION_PORT,
  POST_DESTINATION,
  POST_DESTINATION_PORT,
  ORIGINATING_REALM,
  USER_NAME,
];

const SESSION_CREATE = 256;
const SESSION_DELETE = 257;
const BIB = 258;
const PORT_BLOCK = 259;
const EXHAUSTED = 260;
const QUOTA = 261;
const NOT_SENT = 262;
const TEMPLATES: readonly (readonly [number, readonly number[][]])[] = [
  [SESSION_CREATE, SESSION_FIELDS],
  [
    SESSION_DELETE,
    [
      ...SESSION_FIELDS,
      INITIATOR_OCTETS,
      RESPONDER_OCTETS,
      INITIATOR_PACKETS,
      RESPONDER_PACKETS,
      FLOW_DURATION_MS,
      FLOW_END_REASON,
    ],
  ],
  [
    BIB,
    [OBSERVATION_TIME_MS, NAT_EVENT, PROTOCOL, SOURCE, SOURCE_PORT, POST_SOURCE, POST_SOURCE_PORT, USER_NAME],
  ],
  [
    PORT_BLOCK,
    [OBSERVATION_TIME_MS, NAT_EVENT, SOURCE, POST_SOURCE, PORT_RANGE_START, PORT_RANGE_END, USER_NAME],
  ],
  [EXHAUSTED, [OBSERVATION_TIME_MS, NAT_EVENT, SOURCE, USER_NAME]],
  [QUOTA, [OBSERVATION_TIME_MS, NAT_EVENT, QUOTA_EVENT, SOURCE, USER_NAME]],
];

/** Values of natEvent. */
const ADDRESSES_EXHAUSTED = 3;
const NAT44_CREATE = 4;
const NAT44_DELETE = 5;
const NAT44_BIB_CREATE = 8;
const NAT44_BIB_DELETE = 9;
const PORTS_EXHAUSTED = 12;
const QUOTA_EXCEEDED = 13;
const BLOCK_ALLOCATED = 16;
const BLOCK_RETURNED = 17;
/** Values of natQuotaExceededEvent. */
const MAX_SESSIONS = 1;
const MAX_PER_USER = 3;
/** Values of flowEndReason. */
const IDLE = 1;
const END_OF_FLOW = 3;
const FORCED = 4;
const RESOURCES = 5;
const END_REASONS: Readonly<Record<string, number>> = {
  timeout: IDLE,
  closed: END_OF_FLOW,
  reused: END_OF_FLOW,
  moved: END_OF_FLOW,
  evicted: RESOURCES,
};

export interface IpfixMessage {
  bytes: Buffer;
  /** Data records in it. */
  records: number;
}

export class IpfixEncoder {
  readonly #domain: number;
  readonly #now: () => number;
  readonly #emit: (message: IpfixMessage) => void;
  readonly #message = Buffer.alloc(MOST_BYTES);
  /** Bytes of the message so far; 0: there is none. */
  #length = 0;
  /** Where the set that is being written begins, and its id; 0: none. */
  #setAt = 0;
  #setId = 0;
  /** Data records in the message, and in all before it. */
  #records = 0;
  #sequence = 0;
  /** Events that the reader of a ring lost. */
  #notSent = 0;
  #templatesAt = Number.NEGATIVE_INFINITY;
  #sinceTemplates = 0;
  readonly #record = new RecordWriter();

  /** `now`: ms since 1970; `emit` takes each message that is full or flushed. */
  constructor(domain: number, now: () => number, emit: (message: IpfixMessage) => void) {
    this.#domain = domain;
    this.#now = now;
    this.#emit = emit;
  }

  /** False: there is no record for such an event. */
  write(event: GatewayEvent): boolean {
    const record = this.#record;
    switch (event.event) {
      case 'begin':
      case 'moved':
        this.#session(event, NAT44_CREATE);
        this.#append(SESSION_CREATE);
        return true;
      case 'end':
        this.#session(event, NAT44_DELETE);
        record.u64(event.originalBytes).u64(event.replyBytes);
        record.u64(event.originalPackets).u64(event.replyPackets);
        record.u32(Math.round(event.ageSeconds * 1000)).u8(END_REASONS[event.why] ?? FORCED);
        this.#append(SESSION_DELETE);
        return true;
      case 'mapping_begin':
      case 'mapping_end':
        record.begin(event.time, event.event === 'mapping_begin' ? NAT44_BIB_CREATE : NAT44_BIB_DELETE);
        record.u8(event.protocol).address(event.host).u16(event.port);
        record.address(event.external).u16(event.externalPort).text(event.client);
        this.#append(BIB);
        return true;
      case 'block_begin':
      case 'block_end':
        record.begin(event.time, event.event === 'block_begin' ? BLOCK_ALLOCATED : BLOCK_RETURNED);
        record
          .address(event.host)
          .address(event.external)
          .u16(event.first)
          .u16(event.last)
          .text(event.client);
        this.#append(PORT_BLOCK);
        return true;
      case 'exhausted':
      case 'quota':
        this.#refused(event);
        return true;
      case 'gap':
        this.#notSent += event.missed;
        record.empty().u32(0).u64(this.#notSent);
        this.#append(NOT_SENT);
        return true;
      default:
        return false;
    }
  }

  /** Emits what is there. */
  flush(): void {
    if (this.#length === 0) return;
    this.#endSet();
    const bytes = Buffer.from(this.#message.subarray(0, this.#length));
    bytes.writeUInt16BE(VERSION, 0);
    bytes.writeUInt16BE(bytes.length, 2);
    bytes.writeUInt32BE(Math.floor(this.#now() / 1000) >>> 0, 4);
    bytes.writeUInt32BE(this.#sequence >>> 0, 8);
    bytes.writeUInt32BE(this.#domain >>> 0, 12);
    const records = this.#records;
    this.#sequence += records;
    this.#length = 0;
    this.#records = 0;
    this.#sinceTemplates++;
    this.#emit({ bytes, records });
  }

  #session(event: FlowBegin | FlowMoved | FlowEnd, natEvent: number): void {
    const { original, reply } = event;
    const { worker, flow, life } = parseFlowId(event.id)!;
    const record = this.#record.begin(event.time, natEvent);
    record.u32(worker * FLOWS + flow).u32(life);
    record.u8(event.protocol);
    // What leaves has the inverse of the tuple that its answers have.
    record.address(original.src).u16(original.sport).address(reply.dst).u16(reply.dport);
    record.address(original.dst).u16(original.dport).address(reply.src).u16(reply.sport);
    record.u8(event.side === 'public' ? PUBLIC_REALM : PRIVATE_REALM).text(event.client);
  }

  #refused(event: Refused): void {
    const { reason } = event;
    const host = event.host ?? '0.0.0.0';
    if (event.event === 'exhausted' && reason !== 'table_full' && reason !== 'host_share') {
      const natEvent = reason === 'no_external_address' ? ADDRESSES_EXHAUSTED : PORTS_EXHAUSTED;
      this.#record.begin(event.time, natEvent).address(host).text(event.client);
      this.#append(EXHAUSTED);
      return;
    }
    const record = this.#record.begin(event.time, QUOTA_EXCEEDED);
    record
      .u32(event.event === 'quota' ? MAX_PER_USER : MAX_SESSIONS)
      .address(host)
      .text(event.client);
    this.#append(QUOTA);
  }

  /** Adds the record that was written to the message. */
  #append(setId: number): void {
    const { bytes } = this.#record;
    if (this.#length + SET_HEADER + bytes.length > MOST_BYTES) this.flush();
    if (this.#length === 0) this.#begin();
    if (this.#setId !== setId) {
      this.#endSet();
      this.#beginSet(setId);
    }
    this.#put(bytes);
    this.#records++;
  }

  #begin(): void {
    this.#length = HEADER;
    const now = this.#now();
    if (now - this.#templatesAt < TEMPLATE_MS && this.#sinceTemplates < TEMPLATE_MESSAGES) return;
    this.#templatesAt = now;
    this.#sinceTemplates = 0;
    this.#beginSet(TEMPLATE_SET);
    for (const [id, fields] of TEMPLATES) this.#put(words([id, fields.length, ...fields.flat()]));
    this.#endSet();
    this.#beginSet(OPTIONS_SET);
    // Of its two fields the first is the scope.
    this.#put(words([NOT_SENT, 2, 1, ...EXPORTING_PROCESS, ...NOT_SENT_FLOWS]));
    this.#endSet();
  }

  #beginSet(id: number): void {
    this.#setAt = this.#length;
    this.#setId = id;
    this.#length += SET_HEADER;
  }

  #endSet(): void {
    if (this.#setId === 0) return;
    this.#message.writeUInt16BE(this.#setId, this.#setAt);
    this.#message.writeUInt16BE(this.#length - this.#setAt, this.#setAt + 2);
    this.#setId = 0;
  }

  #put(bytes: Uint8Array): void {
    this.#message.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

/** Flows of a worker, at most (conntrack/flow-table.ts): above them a flowId has the worker. */
const FLOWS = 2 ** 26;
const PRIVATE_REALM = 1;
const PUBLIC_REALM = 2;
/** Of a text with a length of one byte (RFC 7011 7). */
const MOST_TEXT = 254;
const MOST_RECORD = 512;

/** The fields of a record, one after the other. */
class RecordWriter {
  readonly #buffer = Buffer.alloc(MOST_RECORD);
  #at = 0;

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }

  empty(): this {
    this.#at = 0;
    return this;
  }

  /** The two fields that all events begin with. */
  begin(time: string, natEvent: number): this {
    return this.empty().u64(Date.parse(time)).u8(natEvent);
  }

  u8(value: number): this {
    this.#at = this.#buffer.writeUInt8(value, this.#at);
    return this;
  }

  u16(value: number): this {
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
    return this;
  }

  u32(value: number): this {
    this.#at = this.#buffer.writeUInt32BE(value >>> 0, this.#at);
    return this;
  }

  u64(value: number): this {
    return this.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32);
  }

  address(text: string): this {
    return this.u32(hostOrder(parseAddress(text) ?? 0));
  }

  text(text: string): this {
    const bytes = Buffer.from(text).subarray(0, MOST_TEXT);
    this.u8(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
}

function words(values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) bytes.writeUInt16BE(value, i * 2);
  return bytes;
}
