/** IPFIX messages, decoded field by field by the templates that they carry (RFC 7011). */
import { describe, expect, test } from 'vitest';
import type { GatewayEvent } from '../../../src/gateway/events/event.ts';
import { IpfixEncoder } from '../../../src/gateway/events/ipfix.ts';
import { BEGIN, BLOCK, END, ENGINE, EXHAUSTED, GAP, MAPPING, MAPPING_END, QUOTA, TIME } from './sample.ts';

/** Names of information elements in the registry of IANA. */
const NAMES: Record<number, string> = {
  4: 'protocolIdentifier',
  7: 'sourceTransportPort',
  8: 'sourceIPv4Address',
  11: 'destinationTransportPort',
  12: 'destinationIPv4Address',
  136: 'flowEndReason',
  144: 'exportingProcessId',
  148: 'flowId',
  161: 'flowDurationMilliseconds',
  166: 'notSentFlowTotalCount',
  225: 'postNATSourceIPv4Address',
  226: 'postNATDestinationIPv4Address',
  227: 'postNAPTSourceTransportPort',
  228: 'postNAPTDestinationTransportPort',
  229: 'natOriginatingAddressRealm',
  230: 'natEvent',
  231: 'initiatorOctets',
  232: 'responderOctets',
  298: 'initiatorPackets',
  299: 'responderPackets',
  323: 'observationTimeMilliseconds',
  361: 'portRangeStart',
  362: 'portRangeEnd',
  371: 'userName',
  466: 'natQuotaExceededEvent',
};

type Field = readonly [name: string, length: number];
type DataRecord = Record<string, number | string>;

interface Message {
  time: number;
  sequence: number;
  domain: number;
  records: DataRecord[];
}

/** A collector: remembers templates from one message to the next. */
class Collector {
  readonly templates = new Map<number, Field[]>();

  read(bytes: Buffer): Message {
    expect(bytes.readUInt16BE(0)).toBe(10);
    expect(bytes.readUInt16BE(2)).toBe(bytes.length);
    const message: Message = {
      time: bytes.readUInt32BE(4),
      sequence: bytes.readUInt32BE(8),
      domain: bytes.readUInt32BE(12),
      records: [],
    };
    for (let at = 16; at < bytes.length; ) {
      const id = bytes.readUInt16BE(at);
      const length = bytes.readUInt16BE(at + 2);
      const set = bytes.subarray(at + 4, at + length);
      if (id === 2) this.template(set, false);
      else if (id === 3) this.template(set, true);
      else message.records.push(...this.data(id, set));
      at += length;
    }
    return message;
  }

  private template(set: Buffer, isOptions: boolean): void {
    for (let at = 0; at < set.length; ) {
      const id = set.readUInt16BE(at);
      const count = set.readUInt16BE(at + 2);
      at += isOptions ? 6 : 4;
      const fields: Field[] = [];
      for (let i = 0; i < count; i++, at += 4) {
        fields.push([NAMES[set.readUInt16BE(at)]!, set.readUInt16BE(at + 2)]);
      }
      this.templates.set(id, fields);
    }
  }

  private *data(id: number, set: Buffer): Generator<DataRecord> {
    const fields = this.templates.get(id)!;
    for (let at = 0; at < set.length; ) {
      const record: DataRecord = {};
      for (const [name, fixed] of fields) {
        const length = fixed === 65_535 ? set.readUInt8(at++) : fixed;
        const value = set.subarray(at, at + length);
        at += length;
        if (fixed === 65_535) record[name] = value.toString();
        else if (name.includes('IPv4')) record[name] = value.join('.');
        else if (length === 8 && name === 'flowId')
          record[name] = `${value.readUInt32BE(0)}.${value.readUInt32BE(4)}`;
        else record[name] = length === 8 ? Number(value.readBigUInt64BE()) : value.readUIntBE(0, length);
      }
      yield record;
    }
  }
}

function send(
  events: readonly GatewayEvent[],
  now = () => 1_767_323_045_678,
): { messages: Message[]; collector: Collector } {
  const collector = new Collector();
  const messages: Message[] = [];
  const encoder = new IpfixEncoder(42, now, ({ bytes, records }) => {
    const message = collector.read(bytes);
    expect(message.records).toHaveLength(records);
    messages.push(message);
  });
  for (const event of events) encoder.write(event);
  encoder.flush();
  return { messages, collector };
}

const time = { observationTimeMilliseconds: Date.parse(TIME) };

describe('records', () => {
  const session = {
    flowId: `${2 ** 26 + 5}.14`,
    protocolIdentifier: 6,
    sourceIPv4Address: '10.0.0.5',
    sourceTransportPort: 40_000,
    postNATSourceIPv4Address: '198.18.0.1',
    postNAPTSourceTransportPort: 50_000,
    destinationIPv4Address: '203.0.113.9',
    destinationTransportPort: 443,
    postNATDestinationIPv4Address: '203.0.113.9',
    postNAPTDestinationTransportPort: 443,
    natOriginatingAddressRealm: 1,
    userName: 'laptop',
  };
  const host = { sourceIPv4Address: '10.0.0.4', userName: '' };
  test.each<[string, GatewayEvent, DataRecord]>([
    ['NAT44 session create', BEGIN, { ...time, natEvent: 4, ...session }],
    [
      'NAT44 session delete',
      END,
      {
        observationTimeMilliseconds: Date.parse(END.time),
        natEvent: 5,
        ...session,
        initiatorOctets: 2 ** 33 + 1,
        responderOctets: 777,
        initiatorPackets: 5,
        responderPackets: 4,
        flowDurationMilliseconds: 2250,
        flowEndReason: 1,
      },
    ],
    [
      'NAT44 BIB create',
      MAPPING,
      {
        ...time,
        natEvent: 8,
        protocolIdentifier: 17,
        sourceIPv4Address: '10.0.0.2',
        sourceTransportPort: 5000,
        postNATSourceIPv4Address: '198.18.0.1',
        postNAPTSourceTransportPort: 40_000,
        userName: '',
      },
    ],
    [
      'port block allocation',
      BLOCK,
      {
        ...time,
        natEvent: 16,
        postNATSourceIPv4Address: '198.18.0.1',
        portRangeStart: 39_936,
        portRangeEnd: 40_959,
        ...host,
      },
    ],
    ['ports exhausted', EXHAUSTED, { ...time, natEvent: 12, ...host }],
    [
      'addresses exhausted',
      { ...EXHAUSTED, reason: 'no_external_address' },
      { ...time, natEvent: 3, ...host },
    ],
    ['quota exceeded', QUOTA, { ...time, natEvent: 13, natQuotaExceededEvent: 3, ...host }],
    [
      'table full',
      { ...EXHAUSTED, reason: 'table_full' },
      { ...time, natEvent: 13, natQuotaExceededEvent: 1, ...host },
    ],
    ['a gap', GAP, { exportingProcessId: 0, notSentFlowTotalCount: 7 }],
  ])('%s', (_, event, record) => {
    const { messages } = send([event]);
    expect(messages).toEqual([{ time: 1_767_323_045, sequence: 0, domain: 42, records: [record] }]);
  });

  test('a BIB delete is the other natEvent; what has no record sends nothing', () => {
    const { messages } = send([ENGINE, MAPPING_END]);
    expect(messages.flatMap(({ records }) => records.map(({ natEvent }) => natEvent))).toEqual([9]);
    expect(send([ENGINE]).messages).toEqual([]);
  });
});

describe('messages', () => {
  test('are of a datagram’s size; their sequence counts data records', () => {
    const events = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? BEGIN : END));
    const { messages } = send(events);
    expect(messages.length).toBeGreaterThan(3);
    let before = 0;
    for (const { sequence, records } of messages) {
      expect(sequence).toBe(before);
      before += records.length;
    }
    expect(before).toBe(100);
  });

  test('say the templates again each minute', () => {
    let now = 1e12;
    const sets: number[] = [];
    const encoder = new IpfixEncoder(
      0,
      () => now,
      ({ bytes }) => sets.push(bytes.readUInt16BE(16)),
    );
    for (const seconds of [0, 30, 31, 61]) {
      now = 1e12 + seconds * 1000;
      encoder.write(BEGIN);
      encoder.flush();
    }
    expect(sets).toEqual([2, 256, 256, 2]);
  });
});
