/**
 * Events of a running gateway: each flow that begins ends once, in the file, whatever happens: the engine is killed, the gateway stops, many
 * flows come at once. `NATGATE_EVENT_FLOWS=1000000`: so many of them.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { GatewayEvent } from '../../src/gateway/events/event.ts';
import { logFiles } from '../../src/gateway/events/log-files.ts';
import { MAIN } from './support/contender.ts';
import { useGateway } from './support/fixture.ts';
import { natgateOnly } from './support/gateway.ts';
import { Natgate } from './support/natgate.ts';
import { run, until } from './support/process.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

const FLOWS = Number(process.env['NATGATE_EVENT_FLOWS'] ?? 20_000);

const folder = mkdtempSync(join(tmpdir(), 'ngtest-events-'));
const file = join(folder, 'natgate.yaml');
const log = join(folder, 'log', 'events.jsonl');
writeFileSync(
  file,
  `
private: g0
public: g1
timeouts: {udp: 1}
engine: {txqueuelen: 10000}
events: {file: {path: ${log}, size: 100, keep: 100}}
`,
);
afterAll(() => rmSync(folder, { recursive: true }));

/** Of each socket a datagram to each of the ports: so many flows, no faster than the queue of the gateway takes them. */
const SENDER = `
import socket, sys, time
flows, name = int(sys.argv[1]), sys.argv[2]
each = 500
for _ in range(0, flows, each):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for port in range(20000, 20000 + each):
            try:
                s.sendto(b'x', (name, port))
            except OSError:
                pass
    time.sleep(0.015)
`;

/** Oldest first; not a line that is being written. */
function* readLog(): Generator<GatewayEvent, void, void> {
  for (const name of logFiles(log)) {
    for (const line of readFileSync(name, 'utf8').split('\n').slice(0, -1)) yield JSON.parse(line);
  }
}

/** Throws where something ends that has not begun, or begins twice. Returns how many flows have begun, what has not ended, and what is missing. */
function pair(events: Iterable<GatewayEvent>): { begun: number; open: Set<string>; missed: number } {
  const open = new Set<string>();
  let begun = 0;
  let missed = 0;
  const begin = (key: string) => {
    if (open.has(key)) throw new Error(`${key} begins twice`);
    open.add(key);
  };
  const end = (key: string) => {
    if (!open.delete(key)) throw new Error(`${key} ends, and has not begun (${missed} missing)`);
  };
  for (const event of events) {
    if (event.event === 'gap') missed += event.missed;
    else if (event.event === 'begin') {
      begin(event.id);
      begun++;
    } else if (event.event === 'end') end(event.id);
    else if (event.event === 'mapping_begin' || event.event === 'mapping_end') {
      const { protocol, host, port, external, externalPort, remote, remotePort } = event;
      const key = `mapping ${[protocol, host, port, external, externalPort, remote, remotePort].join(' ')}`;
      (event.event === 'mapping_begin' ? begin : end)(key);
    }
  }
  return { begun, open, missed };
}

function engineEvents(events: readonly GatewayEvent[]): string[] {
  return events.flatMap((event) => (event.event === 'engine' ? [event.what] : []));
}

natgateOnly('events', () => {
  const net = useGateway({ args: ['--config', file] });
  let natgate = () => net.gateway as Natgate;
  const send = (flows: number) =>
    run(net.topology.client.argv(['python3', '-c', SENDER, `${flows}`, SERVER]), { timeoutMs: 120_000 });

  it('are followed over the control socket, and say who had a port', async () => {
    const which = ['--name', natgate().name, '--state-root', natgate().ns.stateRoot];
    const follower = natgate().ns.spawn([
      ...[process.execPath, MAIN, 'events', ...which, '--json'],
      'dport 7 and src',
      CLIENT,
    ]);
    await follower.shows(/following/);
    const socket = await net.client.udp();
    await socket.sendTo(Buffer.from('x'), [SERVER, 8]);
    await socket.sendTo(Buffer.from('x'), [SERVER, 7]);
    await until('a flow has ended', () => /"event":"end"/.test(follower.stdout));
    await follower.stop('SIGINT');
    const lines = follower.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ event }) => event)).toEqual(['begin', 'end']);
    const [begin, end] = lines;
    expect(begin).toMatchObject({
      protocol: 17,
      side: 'private',
      rule: 'masquerade',
      original: { src: CLIENT, dst: SERVER, dport: 7 },
      reply: { src: SERVER, sport: 7, dst: GATEWAY_PUBLIC },
    });
    expect(end).toMatchObject({ id: begin.id, why: 'timeout', originalPackets: 1 });

    const port = `${begin.reply.dport}`;
    const { stdout } = await natgate().cli('who-had', [port, '--protocol', 'udp', '--json']);
    const holders = JSON.parse(stdout).holders as object[];
    expect(holders).toMatchObject([
      { host: CLIENT, external: GATEWAY_PUBLIC, protocol: 'udp', by: 'mapping' },
    ]);
    const nobody = await natgate().cli('who-had', [`${port}@2001-01-01T00:00:00Z`], { check: false });
    expect([nobody.code, nobody.stdout]).toEqual([1, '']);
  });

  it(`of ${FLOWS} short flows each begin has one end, and none is missing`, async () => {
    const started = async () => {
      const { counters } = (await natgate().status()) as unknown as { counters: Record<string, number> };
      return counters['flows_started']!;
    };
    // Datagrams may be lost where the machine is busy.
    for (let left = FLOWS; left > 0; left = FLOWS - (await started())) await send(left);
    const count = await started();
    await natgate().stop();
    const { begun, open, missed } = pair(readLog());
    expect(missed).toBe(0);
    expect(open).toEqual(new Set());
    expect(begun).toBe(count);
    expect(begun).toBeGreaterThanOrEqual(FLOWS);
  });

  it('an engine that is killed between flows neither forgets one nor tells of one twice', async () => {
    rmSync(join(folder, 'log'), { recursive: true });
    net.gateway = await Natgate.start(natgate().ns, ['--config', file]);
    natgate = () => net.gateway as Natgate;
    await net.server.tcpEcho(7);
    const connection = await net.client.connect([SERVER, 7]);
    for (let round = 1; round <= 3; round++) {
      const before = [...readLog()].length;
      const sending = send(10_000);
      await until('flows have come', () => [...readLog()].length > before + 1000);
      process.kill(await natgate().enginePid(), 'SIGKILL');
      await until(
        'another engine forwards',
        () => engineEvents([...readLog()]).filter((what) => what === 'restarted').length === round,
      );
      await sending;
    }
    expect(await connection.echo('on')).toBe('on');
    await natgate().stop();
    const events = [...readLog()];
    const { begun, open } = pair(events);
    expect(open).toEqual(new Set());
    expect(begun).toBeGreaterThan(3000);
    expect(engineEvents(events)).toEqual([
      'started',
      'died',
      'restarted',
      'died',
      'restarted',
      'died',
      'restarted',
      'stopping',
    ]);
  });

  it('a gateway that lingers leaves flows open, and the next one ends them', async () => {
    rmSync(join(folder, 'log'), { recursive: true });
    const args = ['--config', file, '--linger', '30'];
    const first = await Natgate.start(natgate().ns, args);
    const connection = await net.client.connect([SERVER, 7]);
    expect(await connection.echo('before')).toBe('before');
    expect(await first.process.stop('SIGTERM')).toBe(0);
    const between = pair(readLog());
    expect([between.begun, between.open.size]).toEqual([1, 2]);
    net.gateway = await Natgate.start(natgate().ns, ['--config', file], first.name);
    expect(await connection.echo('after')).toBe('after');
    await natgate().stop();
    const { begun, open } = pair(readLog());
    expect([begun, open]).toEqual([1, new Set()]);
    expect(engineEvents([...readLog()])).toEqual(['started', 'lingering', 'started', 'stopping']);
  });
});
