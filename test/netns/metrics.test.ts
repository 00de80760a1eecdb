/** /metrics of a real gateway that translates: what is there is what passed, and Prometheus's own checker takes it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findTool } from '../../src/cli/lab/tools.ts';
import { DISTRIBUTIONS, METRICS } from '../../src/gateway/control/metric-list.ts';
import { Agent } from './support/agent.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { CLIENT, createTopology, GATEWAY_PUBLIC, SERVER, type Topology } from './support/topology.ts';

const REQUESTS = 20;

natgateOnly('metrics under traffic', () => {
  let topology: Topology;
  let folder: string;
  let natgate: Natgate;
  let server: Agent;

  beforeEach(async () => {
    topology = await createTopology();
    folder = mkdtempSync(join(tmpdir(), 'natgate-metrics-'));
    const file = join(folder, 'natgate.yaml');
    writeFileSync(file, 'private: g0\npublic: g1\nmetrics: 127.0.0.1:9469\n');
    natgate = Natgate.launch(topology.gateway, ['--config', file, '--flows-per-host', '22']);
    await natgate.process.shows(READY, 15_000);
    server = await Agent.start(topology.server);
    await server.http(8000);
  });
  afterEach(async () => {
    await server.stop();
    await natgate.stop();
    await topology.destroy();
    rmSync(folder, { recursive: true });
  });

  const scrape = async () =>
    (
      await topology.gateway.exec([
        'curl',
        '-sS',
        '--retry',
        '5',
        '--retry-all-errors',
        '--retry-delay',
        '1',
        'http://127.0.0.1:9469/metrics',
      ])
    ).stdout;
  /** Of the series that has all of these words in its name and labels. */
  const valueIn = (text: string, ...words: string[]) => {
    const lines = text
      .split('\n')
      .filter((line) => !line.startsWith('#') && words.every((word) => line.includes(word)));
    expect(lines, words.join(' ')).toHaveLength(1);
    return Number(lines[0]!.split(' ').at(-1));
  };

  it('has what passed, by side, protocol, address and destination', async () => {
    for (let i = 0; i < REQUESTS; i++) {
      await topology.client.exec([
        'curl',
        '-sS',
        '-o',
        '/dev/null',
        '--max-time',
        '5',
        `http://${SERVER}:8000/ends`,
      ]);
    }
    // Ports in use are as of the last half second; a batch that comes after that has them written.
    await topology.client.exec(['ping', '-c', '4', '-i', '0.3', SERVER]);
    const text = await scrape();
    const result = spawnSync(findTool('promtool')!, ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]!);
    expect(names).toEqual([...METRICS, ...DISTRIBUTIONS].map(({ name }) => name));

    // Two of three packets of a request at least; what was read is in batches.
    const packets = valueIn(text, 'natgate_packets_total', 'interface="g0"', 'dir="in"');
    expect(packets).toBeGreaterThan(5 * REQUESTS);
    expect(valueIn(text, 'natgate_bytes_total', 'side="public"', 'dir="out"')).toBeGreaterThan(REQUESTS * 40);
    expect(valueIn(text, 'natgate_batch_packets_sum')).toBeGreaterThanOrEqual(packets);
    expect(valueIn(text, 'natgate_batch_packets_count')).toBe(
      valueIn(text, 'natgate_batch_packets_bucket', '"+Inf"'),
    );
    expect(valueIn(text, 'natgate_turn_seconds_count')).toBeGreaterThan(0);
    expect(valueIn(text, 'natgate_turn_seconds_sum')).toBeGreaterThan(0);
    expect(valueIn(text, 'natgate_flows_started_total')).toBe(REQUESTS + 1);
    const outside = `outside="${GATEWAY_PUBLIC}"`;
    expect(valueIn(text, 'natgate_ports_in_use', outside, 'proto="tcp"')).toBe(REQUESTS);
    expect(valueIn(text, 'natgate_ports_limit', outside, 'proto="tcp"')).toBe(32_768);
    expect(valueIn(text, 'natgate_port_exhausted_total', outside, 'proto="tcp"')).toBe(0);
    expect(valueIn(text, 'natgate_destination_ports', outside, `destination="${SERVER}:8000"`)).toBe(
      REQUESTS,
    );
    expect(valueIn(text, 'natgate_client_flows', `client="${CLIENT}"`)).toBe(REQUESTS + 1);
    expect(
      valueIn(text, 'natgate_client_quota_used_ratio', `client="${CLIENT}"`, 'kind="flows"'),
    ).toBeCloseTo(21 / 22);
    expect(valueIn(text, 'natgate_engine_starts_total')).toBe(1);
    expect(valueIn(text, 'natgate_external_address_present')).toBe(1);
    expect(valueIn(text, 'natgate_rx_overruns_total', 'device="natgate-g0"')).toBe(0);
    expect(valueIn(text, 'natgate_link_drops_total', 'interface="g1"', 'dir="in"')).toBeGreaterThanOrEqual(0);
    expect(valueIn(text, 'natgate_state_bytes')).toBeGreaterThan(1_000_000);
    expect(text).toMatch(/^natgate_loop_delay_seconds\{stat="max"\} [\d.e-]+$/m);

    // One more flow may be; the next is refused, and the host is named.
    for (let i = 0; i < 2; i++) {
      await topology.client.exec(['curl', '-sS', '--max-time', '2', `http://${SERVER}:8000/ends`], {
        check: false,
      });
    }
    const after = await scrape();
    expect(valueIn(after, 'natgate_drops_total', 'host_flow_limit')).toBeGreaterThan(0);
    expect(
      valueIn(after, 'natgate_client_refused_total', `client="${CLIENT}"`, 'host_flow_limit'),
    ).toBeGreaterThan(0);
  });

  it('shows that the engine was started again, and goes on counting', async () => {
    await topology.client.exec(['curl', '-sS', '-o', '/dev/null', `http://${SERVER}:8000/ends`]);
    const before = valueIn(await scrape(), 'natgate_packets_total', 'interface="g0"', 'dir="in"');
    process.kill(await natgate.enginePid(), 'SIGKILL');
    await natgate.process.shows(/forwards again/, 15_000);
    await topology.client.exec([
      'curl',
      '-sS',
      '-o',
      '/dev/null',
      '--retry',
      '5',
      '--retry-all-errors',
      `http://${SERVER}:8000/ends`,
    ]);
    const text = await scrape();
    expect(valueIn(text, 'natgate_engine_starts_total')).toBe(2);
    expect(valueIn(text, 'natgate_packets_total', 'interface="g0"', 'dir="in"')).toBeGreaterThan(before);
  });
});
