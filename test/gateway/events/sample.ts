/** One event of each kind that receivers get, for their tests. */
import type {
  BlockBegin,
  FlowBegin,
  FlowEnd,
  Gap,
  GatewayEvent,
  MappingBegin,
  MappingEnd,
  Refused,
} from '../../../src/gateway/events/event.ts';

export const TIME = '2026-01-02T03:04:05.678Z';

export const BEGIN: FlowBegin = {
  time: TIME,
  event: 'begin',
  id: '1.5.7',
  protocol: 6,
  state: 'SYN_SENT',
  side: 'private',
  client: 'laptop',
  rule: 'masquerade',
  original: { src: '10.0.0.5', dst: '203.0.113.9', sport: 40_000, dport: 443 },
  reply: { src: '203.0.113.9', dst: '198.18.0.1', sport: 443, dport: 50_000 },
  originalPackets: 1,
  originalBytes: 60,
  replyPackets: 0,
  replyBytes: 0,
  ageSeconds: 0,
  assured: false,
  unreplied: true,
  related: false,
};

export const END: FlowEnd = {
  ...BEGIN,
  time: '2026-01-02T03:04:07.928Z',
  event: 'end',
  state: 'TIME_WAIT',
  originalPackets: 5,
  originalBytes: 2 ** 33 + 1,
  replyPackets: 4,
  replyBytes: 777,
  ageSeconds: 2.25,
  assured: true,
  unreplied: false,
  began: TIME,
  why: 'timeout',
};

export const MAPPING: MappingBegin = {
  time: TIME,
  event: 'mapping_begin',
  protocol: 17,
  host: '10.0.0.2',
  client: '',
  port: 5000,
  external: '198.18.0.1',
  externalPort: 40_000,
  rule: 'masquerade',
};

export const MAPPING_END: MappingEnd = { ...MAPPING, event: 'mapping_end', began: TIME, why: 'unused' };

export const BLOCK: BlockBegin = {
  time: TIME,
  event: 'block_begin',
  host: '10.0.0.4',
  client: '',
  external: '198.18.0.1',
  first: 39_936,
  last: 40_959,
  rule: 'cgn',
};

export const EXHAUSTED: Refused = {
  time: TIME,
  event: 'exhausted',
  reason: 'no_free_port',
  host: '10.0.0.4',
  client: '',
  rule: 'cgn',
  count: 3,
};

export const QUOTA: Refused = { ...EXHAUSTED, event: 'quota', reason: 'host_port_limit' };

export const GAP: Gap = { time: TIME, event: 'gap', missed: 7, where: 'ring', worker: 0 };

export const ENGINE: GatewayEvent = { time: TIME, event: 'engine', what: 'started', adopted: false };
