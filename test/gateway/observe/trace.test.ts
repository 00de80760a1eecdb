/** What `natgate trace` says, by text: the same words for a capture gone through offline as for a running gateway. */
import { describe, expect, test } from 'vitest';
import { reasonNames } from '../../../src/core/reasons.ts';
import { OfflineGateway } from '../../../src/gateway/capture/offline.ts';
import { examine } from '../../../src/gateway/config/load.ts';
import { explainText } from '../../../src/gateway/observe/explain-text.ts';
import { REMEDIES } from '../../../src/gateway/observe/remedies.ts';
import { echoPacket, icmpError, tcpPacket, udpPacket } from '../../../src/testing/index.ts';
import { parseAddress, parsePrefix } from '../../../src/wire/address.ts';

const TIME = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const INSIDE = 0;
const OUTSIDE = 1;

function gatewayOf(text = '') {
  const file = { path: 'natgate.yaml', text: `private: eth1\npublic: eth0\n${text}` };
  const { options, problems } = examine({ name: 'x', stateRoot: '/run/x', flags: {}, file });
  expect(problems).toEqual([]);
  const gateway = new OfflineGateway({
    options: options!,
    networks: [[parsePrefix('10.0.0.0/24')!]],
    publicAddress: parseAddress('198.18.0.1')!,
    mtu: 1500,
  });
  return (packet: Uint8Array, device = INSIDE) =>
    gateway
      .handle({ packet, time: TIME, interface: '', direction: 'unknown' }, device)
      .map(explainText)
      .join('');
}

const syn = (fields = {}) =>
  tcpPacket({ from: '10.0.0.2:40000', to: '198.18.0.2:80', flags: 'S', seq: 1, ...fields });
const query = (from = '10.0.0.2:40000', to = '198.18.0.2:53') => udpPacket({ from, to, payload: 'x' });

describe('each decision', () => {
  test('accepted', () => {
    const trace = gatewayOf();
    expect(
      trace(syn({ options: Uint8Array.of(2, 4, 35, 0) })),
    ).toBe(`03:04:05.678 eth1 (private) tcp 10.0.0.2:40000 > 198.18.0.2:80 SYN seq 1 win 65535 mss 8960 length 0 ttl 64
    check     header, lengths and addresses are sound
    lookup    no flow has this tuple
    nat       the destination stays as it is
    tracker   NEW: SYN_SENT
    firewall  accepted by the default for outbound
    nat       rule masquerade: a new mapping, 10.0.0.2:40000 -> 198.18.0.1:40000, port preserved
    route     directly, MTU 1500
    left      eth0 (public) tcp 198.18.0.1:40000 > 198.18.0.2:80 SYN seq 1 win 65535 mss 1460 length 0 ttl 63
              source 10.0.0.2 → 198.18.0.1, TTL 64 → 63, MSS 8960 → 1460
`);
    expect(
      trace(
        tcpPacket({ from: '198.18.0.2:80', to: '198.18.0.1:40000', flags: 'SA', seq: 5, ack: 2 }),
        OUTSIDE,
      ),
    ).toBe(
      `03:04:05.678 eth0 (public) tcp 198.18.0.2:80 > 198.18.0.1:40000 SYN,ACK seq 5 ack 2 win 65535 length 0 ttl 64
    check     header, lengths and addresses are sound
    lookup    flow 0.0.1, reply direction, SYN_SENT
    tracker   fits: SYN_SENT → SYN_RECV
    nat       198.18.0.1:40000 -> 10.0.0.2:40000
    route     directly, MTU 1500
    left      eth1 (private) tcp 198.18.0.2:80 > 10.0.0.2:40000 SYN,ACK seq 5 ack 2 win 65535 length 0 ttl 63
              destination 198.18.0.1 → 10.0.0.2, TTL 64 → 63
`,
    );
  });

  test('port exhausted', () => {
    const trace = gatewayOf('ports: 40000-40063\nnat: {overload: never}\nevict: never\n');
    for (let port = 1; port <= 64; port++) trace(query(`10.0.0.2:${port}`));
    expect(
      trace(query('10.0.0.3:5')),
    ).toBe(`03:04:05.678 eth1 (private) udp 10.0.0.3:5 > 198.18.0.2:53 length 1 ttl 64
    check     header, lengths and addresses are sound
    lookup    no flow has this tuple
    nat       the destination stays as it is
    firewall  accepted by the default for outbound
    nat       rule masquerade: no external port or query id is free
    dropped   no_free_port: no external port or query id is free
              all 64 ports 40000-40063 of 198.18.0.1 are taken (rule masquerade)
    mend      more ports (\`ports\`), more addresses (\`external\`), a limit per host (\`limits: ports-per-host\`), or \`nat: overload: exhausted\`
    answered  eth1 (private) icmp 10.0.0.1 > 10.0.0.3 unreachable 3/13 about (udp 10.0.0.3:5 > 198.18.0.2:53) length 37 ttl 64
`);
  });

  test('INVALID', () => {
    const trace = gatewayOf();
    trace(syn());
    const late = tcpPacket({
      from: '198.18.0.2:80',
      to: '198.18.0.1:40000',
      flags: 'SA',
      seq: 9,
      ack: 7_000_000,
    });
    expect(
      trace(late, OUTSIDE),
    ).toBe(`03:04:05.678 eth0 (public) tcp 198.18.0.2:80 > 198.18.0.1:40000 SYN,ACK seq 9 ack 7000000 win 65535 length 0 ttl 64
    check     header, lengths and addresses are sound
    lookup    flow 0.0.1, reply direction, SYN_SENT
    tracker   INVALID: outside the TCP window (the flow is SYN_SENT)
    dropped   invalid_window: INVALID: outside the TCP window
    mend      ${REMEDIES['invalid_window']}
`);
  });

  test('spoofed', () => {
    const trace = gatewayOf();
    expect(
      trace(query('10.0.0.9:1', '198.18.0.1:40000'), OUTSIDE),
    ).toBe(`03:04:05.678 eth0 (public) udp 10.0.0.9:1 > 198.18.0.1:40000 length 1 ttl 64
    check     fails: a source that is not behind that private interface, or reserved and from outside (RFC 2827, RFC 3704)
    lookup    no flow has this tuple
    dropped   spoofed_source: a source that is not behind that private interface, or reserved and from outside (RFC 2827, RFC 3704)
    mend      ${REMEDIES['spoofed_source']}
`);
  });

  test('quota', () => {
    const trace = gatewayOf('limits: {flows-per-host: 2}\n');
    trace(query('10.0.0.2:1'));
    trace(query('10.0.0.2:2'));
    expect(trace(query('10.0.0.2:3'))).toContain(`
    dropped   host_flow_limit: the host has as many flows as it may have
              10.0.0.2 has 2 flows, as many as it may have (rule masquerade)
    mend      raise \`limits: flows-per-host\``);
  });

  test('no mapping', () => {
    expect(
      gatewayOf()(query('198.18.0.9:1', '198.18.0.1:40000'), OUTSIDE),
    ).toBe(`03:04:05.678 eth0 (public) udp 198.18.0.9:1 > 198.18.0.1:40000 length 1 ttl 64
    check     header, lengths and addresses are sound
    lookup    no flow has this tuple
    nat       no mapping, forward or 1:1 address has anybody behind this endpoint
    dropped   no_flow: uninvited: from outside, and no flow expects it
    mend      nothing, unless somebody shall be reached from outside: \`natgate forward add\`
`);
  });

  test('the firewall, by name of the rule', () => {
    const trace = gatewayOf(
      'firewall: {rules: [{name: no mail, action: reject, protocol: tcp, ports: [25], reject-with: tcp-reset}]}\n',
    );
    const text = trace(syn({ to: '198.18.0.2:25' }));
    expect(text).toContain('    firewall  rejected by rule no mail\n    dropped   firewall_reject:');
    expect(text).toContain('    answered  eth1 (private) tcp 198.18.0.2:25 > 10.0.0.2:40000 RST,ACK');
  });

  test('a forward, an ICMP error, a helper', () => {
    const trace = gatewayOf('forwards: ["tcp:8080=10.0.0.7:80"]\nhelpers: [ftp]\n');
    const inbound = trace(
      tcpPacket({ from: '198.18.0.9:555', to: '198.18.0.1:8080', flags: 'S', seq: 1 }),
      OUTSIDE,
    );
    expect(inbound).toContain('    nat       a forward says where it goes\n');
    expect(inbound).toContain('198.18.0.1:8080 -> 10.0.0.7:80');
    const ftp = syn({ to: '198.18.0.2:21' });
    expect(trace(ftp)).toContain('    helper    ftp reads this flow\n');
    trace(echoPacket({ from: '10.0.0.2', to: '198.18.0.2', identifier: 7 }));
    const quoted = udpPacket({ from: '198.18.0.1:40000', to: '198.18.0.2:53', payload: 'x' });
    trace(query());
    const error = trace(
      icmpError({ from: '198.18.0.99', to: '198.18.0.1', type: 3, code: 1, packet: quoted }),
      OUTSIDE,
    );
    expect(error).toMatch(/lookup {4}RELATED to flow 0\.\d+\.1 \(udp, UNREPLIED\), whose packet it quotes/);
    expect(error).toContain('    nat       the error and its quote are translated as the flow\n');
  });

  test('why a port was not preserved', () => {
    const trace = gatewayOf();
    trace(query());
    expect(trace(query('10.0.0.3:40000'))).toMatch(
      /10\.0\.0\.3:40000 -> 198\.18\.0\.1:\d+, port not preserved: 10\.0\.0\.2 has 40000\n/,
    );
    expect(trace(query('10.0.0.3:40000', '198.18.0.4:53'))).toContain(
      'the mapping that there is, 10.0.0.3:40000',
    );
    expect(trace(query('10.0.0.3:50'))).toContain('port not preserved: 50 is outside the range of the rule');
    expect(gatewayOf('nat: {port-choice: random}\n')(query())).toContain(
      'port not preserved: the rule chooses ports itself',
    );
  });

  test('a packet that is broken in itself', () => {
    const broken = query();
    broken[10]! ^= 1;
    expect(gatewayOf()(broken)).toContain(
      '    check     fails: wrong IPv4 header checksum\n    dropped   bad_header_checksum',
    );
  });
});

test('there is a remedy for each reason, and for nothing else', () => {
  expect(Object.keys(REMEDIES).sort()).toEqual(reasonNames.filter((name) => name !== 'ok').toSorted());
});
