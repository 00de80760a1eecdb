/** Four workers as one gateway: fragments, whose ports only the first one tells. */
import { describe, expect, test } from 'vitest';
import { udpPacket } from '../../src/testing/index.ts';
import { decode, reassemble } from '../wire/decode.ts';
import { EXTERNAL, PRIVATE, PUBLIC, to } from './bed.ts';
import { Crew, queueOf } from './crew.ts';
import { only } from './nat-bed.ts';
import { cut, filler } from './packets.ts';
import { CLIENT, loose, OTHER, SERVER, udp, WORKERS } from './workers-bed.ts';

describe('fragments', () => {
  const query = udpPacket({ from: `${CLIENT}:40004`, to: `${SERVER}:53`, payload: filler(5000), ...loose });
  const answer = udpPacket({
    from: `${SERVER}:53`,
    to: `${EXTERNAL}:40004`,
    payload: filler(5000),
    ...loose,
  });

  test.each([8, 512, 1480])('in pieces of %i bytes, both ways, at the flow’s worker', (size) => {
    const crew = new Crew();
    const pieces = cut(query, size);
    expect(pieces.map((piece) => queueOf(piece, PRIVATE, WORKERS)).every((queue) => queue === 0)).toBe(true);
    const out = to(
      PUBLIC,
      pieces.flatMap((piece) => crew.out(piece)),
    );
    const sent = decode(reassemble(out));
    expect(sent).toMatchObject({ src: EXTERNAL, sport: 40004, checksumOk: true });
    expect(sent.payload).toEqual(filler(5000));
    const back = to(
      PRIVATE,
      cut(answer, size).flatMap((piece) => crew.in(piece)),
    );
    expect(decode(reassemble(back))).toMatchObject({ dst: CLIENT, dport: 40004, checksumOk: true });
    expect(crew.counts).toEqual([0, 0, 1, 0]);
    expect(crew.drops).toEqual({});
    expect(crew.totals['fragments_held']).toBe(0);
  });

  test('with the first one last', () => {
    const crew = new Crew();
    const [first, ...rest] = cut(query, 1480);
    expect(rest.flatMap((piece) => crew.out(piece))).toEqual([]);
    const sent = decode(reassemble(to(PUBLIC, crew.out(first!))));
    expect(sent).toMatchObject({ src: EXTERNAL, sport: 40004, checksumOk: true });
    expect(sent.payload).toEqual(filler(5000));
    expect(crew.totals['fragments_held']).toBe(0);
  });

  test('the first packet of a hairpin', () => {
    const crew = new Crew();
    only(PUBLIC, crew.out(udp(`${CLIENT}:40000`, `${SERVER}:53`)));
    only(PUBLIC, crew.out(udp(`${CLIENT}:40002`, `${SERVER}:53`)));
    for (const port of [40000, 40002]) {
      const large = udpPacket({
        from: `${OTHER}:40004`,
        to: `${EXTERNAL}:${port}`,
        payload: filler(5000),
        ...loose,
        id: port,
      });
      const sent = to(
        PRIVATE,
        cut(large, 1480).flatMap((piece) => crew.out(piece)),
      );
      const whole = decode(reassemble(sent));
      expect(whole).toMatchObject({
        src: EXTERNAL,
        sport: 40004,
        dst: CLIENT,
        dport: port,
        checksumOk: true,
      });
      expect(whole.payload).toEqual(filler(5000));
    }
    expect(crew.counts).toEqual([1, 1, 2, 0]);
    expect(crew.drops).toEqual({});
  });

  test('from inside to a port of the host’s are handed back in order', () => {
    const crew = new Crew();
    const own = udpPacket({
      from: `${OTHER}:40004`,
      to: `${EXTERNAL}:5002`,
      payload: filler(3000),
      ...loose,
    });
    const pieces = cut(own, 1480);
    expect(
      to(
        PRIVATE,
        pieces.flatMap((piece) => crew.out(piece)),
      ),
    ).toEqual(pieces);
  });

  test('of the host’s own are handed back in order', () => {
    const crew = new Crew();
    const own = udpPacket({ from: `${SERVER}:53`, to: `${EXTERNAL}:5004`, payload: filler(3000), ...loose });
    const pieces = cut(own, 1480);
    const back = to(
      PUBLIC,
      pieces.flatMap((piece) => crew.in(piece)),
    );
    expect(back).toEqual(pieces);
  });

  test('identifications of two workers never meet', () => {
    const crew = new Crew({ flows: 256 });
    const ids = new Map<number, number>();
    for (let i = 0; i < 400; i++) {
      const port = 40000 + 2 * (i % 4);
      const packet = udpPacket({ from: `${CLIENT}:${port}`, to: `${SERVER}:53`, fragment: 0, id: 7 });
      const { id } = only(PUBLIC, crew.out(packet));
      expect(ids.has(id)).toBe(false);
      ids.set(id, port);
    }
  });
});
