/** Lines of `natgate flows watch`, and flows that came as JSON. */
import { expect, it } from 'vitest';
import { type ChangedFlow, changeLine } from '../../src/cli/flow-changes.ts';
import { listedFlowOf } from '../../src/cli/flow-socket.ts';
import { flowJson } from '../../src/gateway/observe/flow-json.ts';

const FLOW: ChangedFlow = {
  id: '0.1.2',
  protocol: 6,
  state: 'SYN_SENT',
  original: { src: '10.0.0.2', dst: '192.0.2.1', sport: 40000, dport: 443 },
  reply: { src: '192.0.2.1', dst: '203.0.113.1', sport: 443, dport: 40000 },
  originalPackets: 5,
  originalBytes: 300,
  replyPackets: 4,
  replyBytes: 240,
  assured: false,
  unreplied: true,
  related: false,
  side: 'private',
  rule: 'masquerade',
  client: '',
  ageSeconds: 3,
};
const [ORIGINAL, REPLY] = [
  'src=10.0.0.2 dst=192.0.2.1 sport=40000 dport=443',
  'src=192.0.2.1 dst=203.0.113.1 sport=443 dport=40000',
];

it.each([
  ['begin', FLOW, `    [NEW] tcp      6 SYN_SENT ${ORIGINAL} [UNREPLIED] ${REPLY}`],
  ['moved', FLOW, ` [UPDATE] tcp      6 SYN_SENT ${ORIGINAL} [UNREPLIED] ${REPLY}`],
  [
    'end',
    { ...FLOW, protocol: 17, state: '', unreplied: false, assured: true },
    `[DESTROY] udp      17 ${ORIGINAL} packets=5 bytes=300 ${REPLY} packets=4 bytes=240 [ASSURED]`,
  ],
  ['reload', FLOW, null],
  ['constructor', FLOW, null],
])('%s', (kind, flow, line) => {
  expect(changeLine(kind, flow)).toBe(line);
});

it('flows are the same after they have been JSON', () => {
  const flow = { ...FLOW, timeoutSeconds: 7, idleSeconds: 1 };
  expect(flowJson(listedFlowOf(flow))).toEqual(flow);
});
