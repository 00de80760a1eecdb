/** Flows over the control socket of a real gateway: listed, counted, ended; seen in what crosses the wire. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Agent, type Socket } from './support/agent.ts';
import { MAIN } from './support/contender.ts';
import { Natgate, natgateOnly, READY } from './support/gateway.ts';
import { CLIENT, createTopology, SERVER, type Topology } from './support/topology.ts';

const MANY = 4000;
const FILTER = `udp and src ${CLIENT} and sport 40001`;

natgateOnly('flows over the control socket', () => {
  let topology: Topology;
  let folder: string;
  let natgate: Natgate;
  let client: Agent;
  let server: Agent;
  let listener: Socket;
  const undo: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    topology = await createTopology();
    undo.push(async () => topology.destroy());
    folder = mkdtempSync(join(tmpdir(), 'natgate-flows-'));
    undo.push(async () => rmSync(folder, { recursive: true }));
    const file = join(folder, 'natgate.yaml');
    writeFileSync(file, 'private: g0\npublic: g1\ncontrol: {group: "4711"}\n');
    natgate = Natgate.launch(topology.gateway, ['--config', file]);
    undo.push(() => natgate.stop());
    await natgate.process.shows(READY, 15_000);
    client = await Agent.start(topology.client);
    undo.push(() => client.stop());
    server = await Agent.start(topology.server);
    undo.push(() => server.stop());
    listener = await server.udp([SERVER, 7000]);
  });
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  const socket = () => join(topology.gateway.stateRoot, natgate.name, 'control.sock');
  const curl = async (...words: string[]) =>
    JSON.parse(
      (
        await topology.gateway.exec([
          'curl',
          '-sS',
          '--retry',
          '5',
          '--retry-all-errors',
          '--unix-socket',
          socket(),
          ...words,
        ])
      ).stdout,
    );
  const flowsOf = async (filter: string) =>
    (await curl('-G', '--data-urlencode', `filter=${filter}`, 'http://natgate/v1/flows')).flows;
  const cli = (...words: string[]) => natgate.cli('flows', words, { check: false });
  const send = async (from: Socket, text: string) => {
    await from.sendTo(Buffer.from(text), [SERVER, 7000]);
    const [data, peer] = await listener.receiveFrom();
    expect(data.toString()).toBe(text);
    return peer;
  };

  it('ends exactly the flow that is meant; its next packet begins another', async () => {
    const [one, other] = [await client.udp([CLIENT, 40_001]), await client.udp([CLIENT, 40_002])];
    const [outside, beside] = [await send(one, 'a'), await send(other, 'b')];
    await listener.sendTo(Buffer.from('before'), outside);
    expect((await one.receive()).toString()).toBe('before');
    const [before] = await flowsOf(FILTER);
    expect(before).toMatchObject({ original: { src: CLIENT, sport: 40_001, dst: SERVER, dport: 7000 } });

    const done = await cli('delete', FILTER);
    expect(done).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(': 1 flow entries have been deleted.'),
    });
    expect(done.stdout).toMatch(
      new RegExp(`^udp {6}17 \\d+ src=${CLIENT} dst=${SERVER} sport=40001 dport=7000 `),
    );
    expect(await flowsOf(FILTER)).toEqual([]);
    // Nobody inside is reached by it; by the other flow, which was sent later, its host is.
    await listener.sendTo(Buffer.from('after'), outside);
    await listener.sendTo(Buffer.from('beside'), beside);
    expect((await other.receive()).toString()).toBe('beside');
    await expect(one.receive(0.2)).rejects.toThrow();

    await send(one, 'again');
    const [after] = await flowsOf(FILTER);
    expect(after.id).not.toBe(before.id);
    expect(after).toMatchObject({ originalPackets: 1, replyPackets: 0 });

    expect(await cli('delete', 'sport 1')).toMatchObject({ code: 1, stdout: '' });
    expect(await cli('delete')).toMatchObject({ code: 2, stdout: '' });
    expect(await cli('flush', 'tcp')).toMatchObject({ code: 2 });
    expect(await cli('flush')).toMatchObject({ code: 0, stderr: expect.stringMatching(/: 2 flow entries/) });
    expect((await cli('count')).stdout).toBe('0\n');
  });

  it('a mistake in a filter is shown at its place, and ends nothing', async () => {
    await send(await client.udp([CLIENT, 40_001]), 'a');
    const json = ['-H', 'content-type: application/json', 'http://natgate/v1/flows'];
    const refused = await curl('-X', 'DELETE', '-d', '{"filter": "src 10.0.0.2 nad tcp"}', ...json);
    expect(refused.error).toMatchObject({
      code: 'filter_invalid',
      message: expect.stringContaining('column 14'),
    });
    expect(await curl('-X', 'DELETE', ...json)).toMatchObject({ error: { code: 'bad_request' } });
    expect((await curl('http://natgate/v1/flows/count')).count).toBe(1);
    // As documented.
    expect(await curl('-X', 'DELETE', '-d', `{"filter": "src ${CLIENT}"}`, ...json)).toEqual({ deleted: 1 });
  });

  it('who reads a long list slowly holds nobody up', async () => {
    const from = await client.udp([CLIENT, 40_001]);
    for (let i = 0; i < MANY; i += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, j) => from.sendTo(Buffer.from('x'), [SERVER, 10_000 + i + j])),
      );
    }
    const slow = curl('--limit-rate', '500K', 'http://natgate/v1/flows');
    let isDone = false;
    void slow.then(() => {
      isDone = true;
    });
    await send(await client.udp([CLIENT, 40_002]), 'meanwhile');
    expect((await curl('http://natgate/v1/flows/count')).count).toBe(MANY + 1);
    expect(isDone).toBe(false);
    const { flows } = await slow;
    const ids = new Set(flows.map(({ id }: { id: string }) => id));
    expect(ids.size).toBe(flows.length);
    expect(ids.size).toBeGreaterThanOrEqual(MANY);
    expect(
      await curl(
        '-X',
        'DELETE',
        '-H',
        'content-type: application/json',
        '-d',
        '{"all": true}',
        'http://natgate/v1/flows',
      ),
    ).toEqual({ deleted: MANY + 1 });
  });

  it('members of its group see flows and counters', async () => {
    await send(await client.udp([CLIENT, 40_001]), 'a');
    const as = (gid: string, ...words: string[]) => {
      const which = ['--name', natgate.name, '--state-root', topology.gateway.stateRoot];
      const who = ['setpriv', '--reuid', '65534', '--regid', gid, '--clear-groups'];
      return topology.gateway.exec([...who, process.execPath, MAIN, ...words, ...which], { check: false });
    };
    const list = ['flows', '-o', 'conntrack', `src ${CLIENT}`];
    const withoutTime = (text: string) => text.replace(/ 17 \d+ /, ' 17 ');
    const seen = await as('4711', ...list);
    expect(seen.code).toBe(0);
    expect(withoutTime(seen.stdout)).toBe(withoutTime((await cli(...list.slice(1))).stdout));
    expect((await as('4711', 'flows', 'count')).stdout).toBe('1\n');
    expect((await as('4711', 'stats', 'flows_udp')).stdout).toMatch(/^flows_udp +1$/m);
    expect(await as('65534', 'flows', 'count')).toMatchObject({ code: 1, stdout: '' });
  });
});
