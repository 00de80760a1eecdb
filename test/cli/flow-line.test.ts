import { expect, test } from 'vitest';
import { flowLine } from '../../src/cli/flow-line.ts';
import type { FlowInfo } from '../../src/conntrack/flow-info.ts';
import { flowObject } from '../../src/gateway/flow-object.ts';
import { parseAddress } from '../../src/wire/address.ts';

const address = (text: string): number => parseAddress(text) as number;

const flow: FlowInfo = {
  protocol: 6,
  state: 'ESTABLISHED',
  original: { src: address('10.77.0.2'), dst: address('198.18.0.2'), sport: 51234, dport: 80 },
  reply: { src: address('198.18.0.2'), dst: address('198.18.0.1'), sport: 80, dport: 51234 },
  originalPackets: 10,
  originalBytes: 900,
  replyPackets: 8,
  replyBytes: 6000,
  timeoutSeconds: 431_999,
  assured: true,
  unreplied: false,
  related: false,
};

// The words are those of conntrack-tools: `conntrack -L -o extended` prints the same.
test('a TCP flow', () => {
  expect(flowLine(flow)).toBe(
    'tcp      6 431999 ESTABLISHED src=10.77.0.2 dst=198.18.0.2 sport=51234 dport=80 packets=10 bytes=900 ' +
      'src=198.18.0.2 dst=198.18.0.1 sport=80 dport=51234 packets=8 bytes=6000 [ASSURED]',
  );
});

test('a UDP flow without an answer', () => {
  expect(flowLine({ ...flow, protocol: 17, state: '', assured: false, unreplied: true })).toBe(
    'udp      17 431999 src=10.77.0.2 dst=198.18.0.2 sport=51234 dport=80 packets=10 bytes=900 [UNREPLIED] ' +
      'src=198.18.0.2 dst=198.18.0.1 sport=80 dport=51234 packets=8 bytes=6000',
  );
});

test('ICMP has type, code and id; other protocols have addresses only', () => {
  const ping = {
    ...flow,
    protocol: 1,
    state: '',
    original: { ...flow.original, sport: 7, dport: 7, icmpType: 8, icmpCode: 0 },
    reply: { ...flow.reply, sport: 9, dport: 9, icmpType: 0, icmpCode: 0 },
  };
  expect(flowLine(ping)).toMatch(
    /^icmp {5}1 431999 src=10.77.0.2 dst=198.18.0.2 type=8 code=0 id=7 .* dst=198.18.0.1 type=0 code=0 id=9 /,
  );
  const plain = { ...flow, state: '' };
  expect(flowLine({ ...plain, protocol: 50 })).toContain(
    'esp      50 431999 src=10.77.0.2 dst=198.18.0.2 packets',
  );
  expect(flowLine({ ...plain, protocol: 99 })).toMatch(/^unknown {2}99 /);
});

test('as an object it has addresses as text', () => {
  expect(flowObject(flow)).toMatchObject({
    protocol: 6,
    original: { src: '10.77.0.2', sport: 51234 },
    reply: { dst: '198.18.0.1', dport: 51234 },
  });
});
