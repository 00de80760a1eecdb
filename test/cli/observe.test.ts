/** The verbs that look, as processes, on a state that a gateway in memory has left. Need no root. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { thisProcess } from '../../src/host/process-identity.ts';
import { echoPacket, MemoryGateway, tcpPacket, udpPacket } from '../../src/testing/index.ts';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const PTY = fileURLToPath(new URL('./terminal.py', import.meta.url));
let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'natgate-cli-'));
  const directory = join(root, 'default');
  mkdirSync(directory);
  const statePath = join(directory, 'state');
  writeFileSync(statePath, stateOfSomeFlows());
  const record = {
    version: 1,
    natgate: '1.2.3',
    name: 'default',
    process: thisProcess(),
    private: ['g0'],
    public: 'g1',
    external: '198.18.0.1',
    ports: { first: 32768, last: 65535 },
    rules: ['masquerade'],
    firewallRules: [],
    timeouts: {},
    statePath,
    started: new Date().toISOString(),
  };
  writeFileSync(join(directory, 'run.json'), JSON.stringify(record));
});
afterAll(() => rmSync(root, { recursive: true }));

/** TCP that is established, UDP without an answer, a ping with one. */
function stateOfSomeFlows(): Uint8Array {
  const g = new MemoryGateway({ private: '10.77.0.1/24', public: '198.18.0.1/24', flows: 1024, now: 1000 });
  const web = { from: '10.77.0.2:40000', to: '198.51.100.7:443' };
  const back = { from: web.to, to: '198.18.0.1:40000' };
  g.sendPrivate(tcpPacket({ ...web, flags: 'S', seq: 100 }));
  g.sendPublic(tcpPacket({ ...back, flags: 'SA', seq: 500, ack: 101 }));
  g.sendPrivate(tcpPacket({ ...web, flags: 'A', seq: 101, ack: 501 }));
  g.sendPublic(tcpPacket({ ...back, flags: 'A', seq: 501, ack: 101, payload: new Uint8Array(1000) }));
  g.sendPrivate(udpPacket({ from: '10.77.0.3:50000', to: '192.0.2.53:53', payload: new Uint8Array(10) }));
  g.sendPrivate(echoPacket({ from: '10.77.0.2', to: '198.51.100.7', identifier: 77 }));
  // Ids are kept as ports are.
  g.sendPublic(echoPacket({ from: '198.51.100.7', to: '198.18.0.1', identifier: 77, reply: true }));
  g.advance(1000);
  return new Uint8Array(g.engine.tracker.table.hot.buffer);
}

function natgate(line: string, ...more: string[]) {
  return of(spawnSync(process.execPath, ['--import', 'tsx', MAIN, ...line.split(' '), ...more], settings()));
}

function settings() {
  const env = { PATH: process.env['PATH'], NATGATE_STATE_ROOT: root, LC_ALL: 'C' };
  return { encoding: 'utf8', env } as const;
}

function of({ status, stdout, stderr }: SpawnSyncReturns<string>) {
  return { code: status, stdout, stderr };
}

const TCP_LINE =
  'tcp      6 7439 ESTABLISHED src=10.77.0.2 dst=198.51.100.7 sport=40000 dport=443 ' +
  'src=198.51.100.7 dst=198.18.0.1 sport=443 dport=40000 [ASSURED] mark=0 use=1';

describe('flows', () => {
  test('as a table, with all columns in a pipe', () => {
    const { code, stdout, stderr } = natgate('flows');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      'PROTO  CLIENT               REMOTE            EXTERNAL          STATE        OUT    IN  AGE   LEFT  RULE',
      'tcp    10.77.0.2:40000  ->  198.51.100.7:443  198.18.0.1:40000  ESTABLISHED  80B  1.1K   1s  2h03m  masquerade',
      'udp    10.77.0.3:50000  ->  192.0.2.53:53     198.18.0.1:50000  unreplied    38B    0B   1s  4m59s  masquerade',
      'icmp   10.77.0.2:77     ->  198.51.100.7:77   198.18.0.1:77                  28B   28B   1s    59s  masquerade',
      '',
    ]);
  });

  test('as conntrack shows them', () => {
    const { stdout, stderr } = natgate('flows -o conntrack --protocol tcp');
    expect(stdout).toBe(`${TCP_LINE}\n`);
    expect(stderr).toMatch(/^natgate v\S+: 1 flow entries have been shown.\n$/);
    const extended = natgate('flows -p tcp -o extended,id,counters').stdout;
    expect(extended).toMatch(
      /^ipv4 {5}2 tcp {6}6 .* packets=2 bytes=80 .* packets=2 bytes=1080 .* id=\d+\n$/,
    );
  });

  test('as JSON and as CSV', () => {
    const flows = JSON.parse(natgate('flows --json').stdout);
    expect(flows).toHaveLength(3);
    expect(flows[0]).toMatchObject({
      id: '0.0.1',
      protocol: 6,
      state: 'ESTABLISHED',
      original: { src: '10.77.0.2', dst: '198.51.100.7', sport: 40000, dport: 443 },
      side: 'private',
      rule: 'masquerade',
    });
    expect(JSON.parse(natgate('flows --json --limit 0').stdout)).toEqual([]);
    const [head, first, ...rest] = natgate('flows -o csv --state ESTABLISHED').stdout.split('\n');
    const row = Object.fromEntries(head!.split(',').map((name, i) => [name, first!.split(',')[i]]));
    expect(row).toMatchObject({ protocol: 'tcp', original_source: '10.77.0.2', reply_bytes: '1080' });
    expect(rest).toEqual(['']);
  });

  test.each([
    ['count', '3'],
    ['count udp', '1'],
    ['count src 10.77.0.2 and not proto icmp', '1'],
    ['count --source 10.77.0.0/24 --destination-port 443', '1'],
    ['count --state unreplied', '1'],
    ['count ext 198.18.0.1', '3'],
    ['count rule masquerade', '3'],
    ['count side public', '0'],
  ])('%s', (line, count) => {
    expect(natgate(`flows ${line}`)).toEqual({ code: 0, stdout: `${count}\n`, stderr: '' });
  });

  test('in an order, and so many', () => {
    const order = (line: string) =>
      natgate(`flows -o csv --no-heading ${line}`)
        .stdout.trim()
        .split('\n')
        .map((row) => row.split(',')[1]);
    expect(order('--sort bytes')).toEqual(['tcp', 'icmp', 'udp']);
    expect(order('--sort bytes --limit 1')).toEqual(['tcp']);
    expect(order('--sort timeout --limit 2')).toEqual(['tcp', 'udp']);
  });

  test.each([
    ['flows proto tpc', 'the filter, column 7: tpc is no protocol: did you mean tcp?'],
    ['flows --protocol tpc', '--protocol: tpc is no protocol: did you mean tcp?'],
    ['flows -o xml', '--output xml: xml is no format'],
    ['flows -o csv,id', '--output csv,id'],
    ['flows --limit -1', '--limit -1'],
    ['flows rule masquerad', 'no NAT rule is named masquerad: did you mean masquerade?'],
    ['flows --sort name', 'Invalid values'],
    ['stats nothing', 'no counter has nothing in its name'],
    ['stats --watch --interval 0', '--interval 0'],
    ['top --once --interval x', '--interval'],
    ['top srcc 10.0.0.1', 'srcc is no word'],
  ])('`natgate %s` exits with 2', (line, message) => {
    const { code, stdout, stderr } = natgate(line);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  test('a gateway that is not running: 3', () => {
    for (const verb of ['flows', 'flows count', 'stats', 'top --once']) {
      expect(natgate(`${verb} --name other`)).toMatchObject({ code: 3, stdout: '' });
    }
  });
});

describe('status', () => {
  test('has states, ports by address, and rates where asked', () => {
    const { stdout } = natgate('status');
    expect(stdout).toContain('interface: g0\n  private: no IPv4 address\n');
    expect(stdout).toContain(
      'external: 198.18.0.1\n  ports: <0.1 % of tcp (1), <0.1 % of udp (1), <0.1 % of icmp (1)',
    );
    expect(stdout).toMatch(/tcp: 1 \(1 ESTABLISHED\)\n {2}\w+: 1/);
    expect(stdout).toContain('now: out 0 bit/s, 0 packets/s; in 0 bit/s');
    const status = JSON.parse(natgate('status --json').stdout);
    expect(status.states).toEqual({ tcp: { ESTABLISHED: 1 }, udp: { unreplied: 1 }, icmp: { replied: 1 } });
    expect(status.externals).toEqual([
      {
        address: '198.18.0.1',
        inUse: { tcp: 1, udp: 1, icmp: 1 },
        ports: { tcp: 32768, udp: 32768, icmp: 65536 },
        exhausted: { tcp: 0, udp: 0, icmp: 0 },
      },
    ]);
    expect(status.rates).toBeUndefined();
    expect(status.standby).toEqual({ state: 'off', since: null, again: null });
  });
});

describe('stats', () => {
  test('are all counters by name', () => {
    const { counters } = JSON.parse(natgate('stats --json').stdout);
    expect(counters).toMatchObject({
      flows_started: 3,
      'g1/out_packets': 4,
      'g0/out_packets': 3,
      'drops/no_flow': 0,
      flows_tcp: 1,
    });
    const text = natgate('stats flows_ --nonzero').stdout.split('\n').filter(Boolean);
    expect(text[0]).toMatch(/^COUNTER +VALUE$/);
    expect(text.slice(1).map((line) => line.split(/ +/))).toEqual([
      ['flows_started', '3'],
      ['flows_tcp', '1'],
      ['flows_udp', '1'],
      ['flows_icmp', '1'],
    ]);
  });

  test('with rates, of what only goes up', () => {
    const { rates } = JSON.parse(natgate('stats --rates --interval 0.1 --json').stdout);
    expect(rates).toMatchObject({ flows_started: 0, 'drops/no_flow': 0 });
    expect(rates.flows_tcp).toBeUndefined();
  });
});

describe('top', () => {
  test('once, as text', () => {
    const { code, stdout } = natgate('top --once --interval 0.1');
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toMatch(/^natgate default {2}up .* {2}3 of 1 024 flows {2}out 0 bit\/s/);
    expect(lines[2]).toMatch(/^CLIENT +NAME +FLOWS +OUT NOW +IN NOW +OUT +IN$/);
    expect(lines[3]).toMatch(/^10\.77\.0\.2 +2 +0 bit\/s/);
    expect(natgate('top --once --interval 0.1 --view ports').stdout).toMatch(
      /external +198\.18\.0\.1 +tcp +1 /,
    );
  });

  test('once, as JSON, of what a filter means', () => {
    const top = JSON.parse(natgate('top --json --interval 0.1 udp').stdout);
    expect(top).toMatchObject({
      flows: 1,
      talkers: [{ address: '10.77.0.3', flows: 1, out: 38 }],
      destinations: [{ address: '192.0.2.53' }],
      endpoints: [{ address: '192.0.2.53', port: 53, protocol: 17 }],
    });
    expect(top.busiest[0].original.src).toBe('10.77.0.3');
  });

  /** Runs it in a terminal of 24 rows and 80 columns, sends `keys` when what stands before them is on the screen. */
  function inTerminal(keys: [string, string][], end = '') {
    const script = JSON.stringify({
      argv: [process.execPath, '--import', 'tsx', MAIN, 'top', '--interval', '0.2'],
      keys,
      end,
    });
    const { stdout, stderr } = of(spawnSync('python3', [PTY], { ...settings(), input: script }));
    expect(stderr).toBe('');
    return JSON.parse(stdout) as { screen: string; code: number; restored: boolean };
  }
  const ENTER = '\x1b[?1049h\x1b[?25l';
  const LEAVE = '\x1b[?25h\x1b[?1049l';

  test('in a terminal: views, sorting, a filter, and the end', () => {
    const { screen, code, restored } = inTerminal([
      ['CLIENT', '2'],
      ['DESTINATION', 's'],
      ['sort: bytes', '3'],
      ['REMOTE', '/'],
      ['filter: _', 'udpp\r'],
      ['udpp is no word', '\x7f\r'],
      ['filter: proto udp (1 flows)', '4'],
      ['OF ALL', 'q'],
    ]);
    expect({ code, restored }).toEqual({ code: 0, restored: true });
    expect(screen.startsWith(ENTER)).toBe(true);
    expect(screen.endsWith(LEAVE)).toBe(true);
  });

  test.each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
    ['SIGINT', 0],
  ])('%s gives the terminal back', (signal, expected) => {
    const { screen, code, restored } = inTerminal([['CLIENT', '']], signal);
    expect({ code, restored }).toEqual({ code: expected, restored: true });
    expect(screen.endsWith(LEAVE)).toBe(true);
  });
});
