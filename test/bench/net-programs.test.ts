import { createSocket } from 'node:dgram';
import { describe, expect, it } from 'vitest';
import { Child, run } from '../../bench/net/processes.ts';
import { compile } from '../../bench/net/tools.ts';

const HERE = '127.0.0.1';
/** A second: of 0.2 s all have room in a socket of the default size, however late the sink is. */
const RATE = '400';

/** A UDP port that nobody has. */
async function freePort(): Promise<string> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return `${port}`;
}

/** What udp-sink counts of what udp-blast sends, over loopback. */
async function blast(sinkArgs: string[], blastArgs: string[]) {
  const port = await freePort();
  const sink = new Child(await compile('udp-sink'), [port, '0', ...sinkArgs]);
  await sink.output(/^ready$/m, 5000);
  const sent = JSON.parse(await run(await compile('udp-blast'), [...blastArgs, HERE, port, '0.2']));
  await sink.stop();
  const received = JSON.parse(sink.stdout.split('\n')[1]!);
  return { sent: sent.sent as number, received };
}

describe('udp-blast and udp-sink', () => {
  it('count the same when nothing is lost, and say where it came from', async () => {
    const { sent, received } = await blast([], ['-r', RATE]);
    expect(sent).toBeGreaterThan(0);
    expect(received).toMatchObject({ received: sent, source: HERE });
  });

  it('send in several flows, of the size that is asked for', async () => {
    const { sent, received } = await blast(['1400'], ['-r', RATE, '-b', '1400', '-s', '3', '-a', '2']);
    // Every other datagram goes to 127.0.0.2, where the sink is as well.
    expect(received).toMatchObject({ received: sent, source: HERE });
  });

  it('do not count datagrams of another size', async () => {
    const { received } = await blast(['18'], ['-r', RATE, '-b', '19']);
    expect(received.received).toBe(0);
  });

  it('refuse what they do not understand', async () => {
    await expect(run(await compile('udp-blast'), ['-a', '0', HERE, '1', '1'])).rejects.toThrow('usage');
    await expect(run(await compile('udp-sink'), [])).rejects.toThrow('usage');
  });
});

describe('udp-rtt', () => {
  it('has a time for each datagram that came back', async () => {
    const port = await freePort();
    const echo = new Child(await compile('udp-echo'), [port]);
    await echo.output(/^ready$/m, 5000);
    const { sent, times } = JSON.parse(await run(await compile('udp-rtt'), [HERE, port, '0.2', '1000']));
    await echo.stop();
    expect(sent).toBeGreaterThan(0);
    expect(times).toHaveLength(sent);
    expect(Math.min(...times)).toBeGreaterThan(0);
  });

  it('says that none did where nobody answers', async () => {
    const answer = JSON.parse(await run(await compile('udp-rtt'), [HERE, await freePort(), '0.05', '1000']));
    expect(answer.sent).toBeGreaterThan(0);
    expect(answer.times).toEqual([]);
  });
});

describe('udp-flows', () => {
  it('wants a port of its own for each endpoint', async () => {
    const program = await compile('udp-flows');
    await expect(run(program, [HERE, '100', '60000', '100', HERE, '1', '9'])).rejects.toThrow(
      'a port of its own',
    );
  });
});
