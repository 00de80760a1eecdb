/** Lines of conntrack-tools 1.4.7, literally. */
import { expect, test } from 'vitest';
import { type FlowInfo, formatFlow, parseAddress } from '../../src/conntrack/index.ts';

const tuple = (src: string, dst: string, sport = 0, dport = 0) => ({
  src: parseAddress(src)!,
  dst: parseAddress(dst)!,
  sport,
  dport,
});

function flow(fields: Partial<FlowInfo>): FlowInfo {
  return {
    protocol: 17,
    state: '',
    original: tuple('10.0.1.2', '10.0.2.2'),
    reply: tuple('10.0.2.2', '10.0.2.1'),
    originalPackets: 1,
    originalBytes: 60,
    replyPackets: 0,
    replyBytes: 0,
    timeoutSeconds: 28,
    assured: false,
    unreplied: true,
    related: false,
    ...fields,
  };
}

const overTcp = flow({
  protocol: 6,
  state: 'TIME_WAIT',
  timeoutSeconds: 118,
  original: tuple('10.0.1.2', '10.0.2.2', 41234, 80),
  reply: tuple('10.0.2.2', '10.0.2.1', 80, 41234),
  assured: true,
  unreplied: false,
});

test('tcp', () => {
  expect(formatFlow(overTcp)).toBe(
    'tcp      6 118 TIME_WAIT src=10.0.1.2 dst=10.0.2.2 sport=41234 dport=80 src=10.0.2.2 dst=10.0.2.1 sport=80 dport=41234 [ASSURED] mark=0 use=1',
  );
});

test('udp', () => {
  const query = flow({
    original: tuple('10.0.1.2', '10.0.2.2', 5555, 53),
    reply: tuple('10.0.2.2', '10.0.2.1', 53, 5555),
  });
  expect(formatFlow(query)).toBe(
    'udp      17 28 src=10.0.1.2 dst=10.0.2.2 sport=5555 dport=53 [UNREPLIED] src=10.0.2.2 dst=10.0.2.1 sport=53 dport=5555 mark=0 use=1',
  );
});

test('icmp', () => {
  const echo = flow({
    protocol: 1,
    original: { ...tuple('10.0.1.2', '10.0.2.2', 30744, 30744), icmpType: 8, icmpCode: 0 },
    reply: { ...tuple('10.0.2.2', '10.0.2.1', 30744, 30744), icmpType: 0, icmpCode: 0 },
  });
  expect(formatFlow(echo)).toBe(
    'icmp     1 28 src=10.0.1.2 dst=10.0.2.2 type=8 code=0 id=30744 [UNREPLIED] src=10.0.2.2 dst=10.0.2.1 type=0 code=0 id=30744 mark=0 use=1',
  );
});

test('gre has keys; a protocol without a name is unknown, and has addresses only', () => {
  const addresses = ['src=10.0.1.2 dst=10.0.2.2', 'src=10.0.2.2 dst=10.0.2.1'];
  expect(formatFlow(flow({ protocol: 47, unreplied: false }))).toBe(
    `gre      47 28 ${addresses.map((text) => `${text} srckey=0x0 dstkey=0x0`).join(' ')} mark=0 use=1`,
  );
  for (const protocol of [50, 99]) {
    expect(formatFlow(flow({ protocol, timeoutSeconds: 599 }))).toBe(
      `unknown  ${protocol} 599 ${addresses.join(' [UNREPLIED] ')} mark=0 use=1`,
    );
  }
});

test('with counters, as the kernel lists them when it counts', () => {
  expect(
    formatFlow(
      { ...overTcp, originalPackets: 6, originalBytes: 400, replyPackets: 4, replyBytes: 5000 },
      { counters: true },
    ),
  ).toBe(
    'tcp      6 118 TIME_WAIT src=10.0.1.2 dst=10.0.2.2 sport=41234 dport=80 packets=6 bytes=400 ' +
      'src=10.0.2.2 dst=10.0.2.1 sport=80 dport=41234 packets=4 bytes=5000 [ASSURED] mark=0 use=1',
  );
});
