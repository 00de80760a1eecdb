/**
 * NAT behaviour as coturn's `turnutils_natdiscovery` finds it out from behind the gateway (RFC 5780): a judge that knows
 * nothing of natgate.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { natgateOnly } from './support/gateway.ts';
import {
  DiscoveryBed,
  discoverPair,
  FILTERINGS,
  type Filtering,
  inParallel,
  MAPPINGS,
  type Mapping,
} from './support/nat-discovery.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, ip } from './support/topology.ts';

/** A second private host, as far as the NAT can tell. */
const CLIENT_2 = '10.77.0.3';

natgateOnly('NAT behaviour discovery', () => {
  it.each(Object.keys(MAPPINGS) as Mapping[])('--mapping %s with every filtering', async (mapping) => {
    const filterings = Object.keys(FILTERINGS) as Filtering[];
    const found = await inParallel(filterings, 3, (filtering) => discoverPair(mapping, filtering));
    expect(found.map((findings) => [findings.mapping, findings.filtering])).toEqual(
      filterings.map((filtering) => [MAPPINGS[mapping], FILTERINGS[filtering]]),
    );
    // The first answer of each run: the port was kept, as it is free.
    for (const { answers } of found) {
      const { external, internal } = answers[0]!;
      expect(external).toBe(internal.replace(CLIENT, GATEWAY_PUBLIC));
    }
  });

  describe('with one gateway', () => {
    let bed: DiscoveryBed;
    beforeAll(async () => {
      bed = await DiscoveryBed.create();
      await ip(bed.net.client, `addr add ${CLIENT_2}/24 dev c0`);
    });
    afterAll(() => bed?.destroy());

    describe('as it is by default', () => {
      beforeAll(() => bed.start([]));

      it('private hosts reach each other by external endpoints', async () => {
        const findings = await bed.discover(['-H', '-L', CLIENT]);
        expect(findings).toMatchObject({ hairpinned: true, timeouts: 0 });
      });

      it('two private hosts with one port have two external ports', async () => {
        const { answers } = await bed.discover(['-c', '-L', CLIENT, '-l', '40001', '-A', CLIENT_2]);
        expect(answers.map(({ internal }) => internal)).toEqual([`${CLIENT}:40001`, `${CLIENT_2}:40001`]);
        expect(answers[0]!.external).toBe(`${GATEWAY_PUBLIC}:40001`);
        expect(answers[1]!.external).toMatch(new RegExp(`^${GATEWAY_PUBLIC}:\\d+$`));
        expect(answers[1]!.external).not.toBe(answers[0]!.external);
        // Parity is preserved (RFC 4787 REQ-4).
        expect(Number(answers[1]!.external.split(':')[1]) % 2).toBe(1);
      });

      it('1500 bytes of padding: requests and answers in fragments', async () => {
        const inside = await sniff(bed.net.client, 'c0', { filter: 'ip' });
        const outside = await sniff(bed.net.server, 's0', { filter: 'ip' });
        const findings = await bed.discover(['-m', '-f', '-H', '-P', '-L', CLIENT]);
        expect(findings).toMatchObject({
          mapping: MAPPINGS.eim,
          filtering: FILTERINGS.apdf,
          hairpinned: true,
        });
        for (const capture of [inside, outside]) {
          const fragments = (await capture.stop()).flatMap(({ frame }) =>
            (frame.readUInt16BE(20) & 0x3fff) === 0 ? [] : [[...frame.subarray(26, 30)].join('.')],
          );
          // Those of hairpinning are among those on the private side.
          expect(fragments.length).toBeGreaterThanOrEqual(12);
          expect([...new Set(fragments)].length).toBeGreaterThanOrEqual(2);
        }
      });
    });

    describe('--no-hairpin', () => {
      beforeAll(() => bed.start(['--no-hairpin']));

      it('private hosts do not reach each other by external endpoints', async () => {
        const findings = await bed.discover(['-H', '-L', CLIENT]);
        expect(findings).toMatchObject({ hairpinned: false, timeouts: 2 });
      });
    });

    describe('--timeout of 4 s', () => {
      beforeEach(() => bed.start(['--timeout', 'udp=4', '--timeout', 'udpStream=4']));

      it.each([
        [1, 0],
        [6, 1],
      ])('after %i s of silence, answers that do not come: %i', async (seconds, timeouts) => {
        const findings = await bed.discover(['-t', '-T', String(seconds), '-L', CLIENT]);
        expect(findings.timeouts).toBe(timeouts);
        expect(findings.answers).toHaveLength(2 - timeouts);
      });
    });
  });
});
