/** Four workers as one gateway: flows that a helper has announced at one worker and that begin at another. */
import { describe, expect, test } from 'vitest';
import { masqueradeAll } from '../../src/nat/config.ts';
import { workerOfPort } from '../../src/nat/port-class.ts';
import { tcpPacket } from '../../src/testing/index.ts';
import { EXTERNAL, PRIVATE, PUBLIC } from './bed.ts';
import { Crew, queueOf } from './crew.ts';
import { only, PORTS } from './nat-bed.ts';
import { filler } from './packets.ts';
import { CLIENT, OTHER, SERVER, udp, WORKERS } from './workers-bed.ts';

describe('helpers', () => {
  const ftp = { helpers: [{ name: 'ftp', protocol: 6, port: 21 }] as const };
  const control = { from: `${CLIENT}:40004`, to: `${SERVER}:21` };

  /** A control connection at worker 2, over which the client announces `10.77.0.2:port`; what of it the server sees. */
  function announce(crew: Crew, port: number): string {
    crew.out(tcpPacket({ ...control, flags: 'S', seq: 999 }));
    crew.in(tcpPacket({ from: `${SERVER}:21`, to: `${EXTERNAL}:40004`, flags: 'SA', seq: 4999, ack: 1000 }));
    crew.out(tcpPacket({ ...control, flags: 'A', seq: 1000, ack: 5000 }));
    const payload = `PORT 10,77,0,2,${port >> 8},${port & 255}\r\n`;
    const sent = only(
      PUBLIC,
      crew.out(tcpPacket({ ...control, flags: 'PA', seq: 1000, ack: 5000, payload })),
    );
    return Buffer.from(sent.payload).toString();
  }

  test('FTP, active: to a port of another worker than the control connection’s', () => {
    const crew = new Crew(ftp);
    const numbers = announce(crew, 40002)
      .match(/^PORT 198,18,0,1,(\d+),(\d+)\r\n$/)!
      .slice(1)
      .map(Number);
    const external = numbers[0]! * 256 + numbers[1]!;
    expect(workerOfPort(external, WORKERS)).toBe(2);
    const data = { from: `${SERVER}:20`, to: `${EXTERNAL}:${external}` };
    const syn = only(PRIVATE, crew.in(tcpPacket({ ...data, flags: 'S', seq: 1 })));
    expect(syn).toMatchObject({ src: SERVER, sport: 20, dst: CLIENT, dport: 40002 });
    const back = { from: `${CLIENT}:40002`, to: `${SERVER}:20` };
    const synAck = only(PUBLIC, crew.out(tcpPacket({ ...back, flags: 'SA', seq: 7, ack: 2 })));
    expect(synAck).toMatchObject({ src: EXTERNAL, sport: external, dst: SERVER });
    only(PUBLIC, crew.out(tcpPacket({ ...back, flags: 'PA', seq: 8, ack: 2, payload: filler(500) })));
    expect(crew.flows(2).filter(({ related }) => related)).toHaveLength(1);
    expect(crew.counts).toEqual([0, 0, 2, 0]);
    // The announced endpoint has one mapping, whichever worker its packets come to.
    const other = only(PUBLIC, crew.out(tcpPacket({ ...back, to: '203.0.113.10:80', flags: 'S', seq: 1 })));
    expect(other.sport).toBe(external);
    expect(crew.drops).toEqual({});
  });

  test('FTP, active: what nobody uses is forgotten', () => {
    const crew = new Crew(ftp);
    announce(crew, 40002);
    crew.pass(400_000);
    // The endpoint is a worker’s of its own again.
    const own = only(
      PUBLIC,
      crew.out(tcpPacket({ from: `${CLIENT}:40002`, to: `${SERVER}:80`, flags: 'S' })),
    );
    expect(own.sport).toBe(40002);
    expect(crew.counts[1]).toBe(1);
  });

  test('SIP: RTP and RTCP have neighbouring ports, and what the client sends leaves from them', () => {
    const sip = [
      { name: 'sip', protocol: 17, port: 5060 },
      { name: 'sip', protocol: 6, port: 5060 },
    ] as const;
    const crew = new Crew({ helpers: sip });
    const sdp = ['v=0', `c=IN IP4 ${CLIENT}`, 't=0 0', 'm=audio 40500 RTP/AVP 0', ''].join('\r\n');
    const invite = [
      `INVITE sip:bob@${SERVER} SIP/2.0`,
      `Via: SIP/2.0/UDP ${CLIENT}:5062;branch=z9hG4bK1;rport`,
      'From: <sip:alice@example.org>;tag=1',
      `To: <sip:bob@${SERVER}>`,
      'Call-ID: 1@x',
      'CSeq: 1 INVITE',
      'Content-Type: application/sdp',
      `Content-Length: ${sdp.length}`,
      '',
      sdp,
    ].join('\r\n');
    // 5062 is worker 3's, 40500 worker 2's.
    const sent = only(PUBLIC, crew.out(udp(`${CLIENT}:5062`, `${SERVER}:5060`, invite)));
    const rtp = Number(/m=audio (\d+)/.exec(Buffer.from(sent.payload).toString())![1]);
    expect([rtp & 1, workerOfPort(rtp, WORKERS)]).toEqual([0, 3]);
    for (const n of [0, 1]) {
      const media = only(PRIVATE, crew.in(udp(`203.0.113.77:${30000 + n}`, `${EXTERNAL}:${rtp + n}`)));
      expect(media).toMatchObject({ dst: CLIENT, dport: 40500 + n });
      const back = only(PUBLIC, crew.out(udp(`${CLIENT}:${40500 + n}`, `203.0.113.77:${30000 + n}`)));
      expect(back).toMatchObject({ src: EXTERNAL, sport: rtp + n });
      const ahead = only(PUBLIC, crew.out(udp(`${CLIENT}:${40500 + n}`, `${SERVER}:${31000 + n}`)));
      expect(ahead).toMatchObject({ src: EXTERNAL, sport: rtp + n });
    }
    expect(crew.drops).toEqual({});
  });

  test('FTP, passive: the connection is made by the worker of its port, and is RELATED', () => {
    const crew = new Crew(ftp);
    crew.out(tcpPacket({ ...control, flags: 'S', seq: 999 }));
    const server = { from: `${SERVER}:21`, to: `${EXTERNAL}:40004` };
    crew.in(tcpPacket({ ...server, flags: 'SA', seq: 4999, ack: 1000 }));
    crew.out(tcpPacket({ ...control, flags: 'PA', seq: 1000, ack: 5000, payload: 'PASV\r\n' }));
    const payload = '227 Entering Passive Mode (203,0,113,9,200,0)\r\n';
    crew.in(tcpPacket({ ...server, flags: 'PA', seq: 5000, ack: 1006, payload }));
    const syn = (host: string, port: number) =>
      crew.out(tcpPacket({ from: `${host}:${port}`, to: `${SERVER}:51200`, flags: 'S' }));
    expect(only(PUBLIC, syn(OTHER, 40002))).toMatchObject({ src: EXTERNAL, sport: 40002 });
    const related = () => crew.flows(1).filter((flow) => flow.related);
    expect(related()).toHaveLength(0);
    expect(only(PUBLIC, syn(CLIENT, 40010))).toMatchObject({ src: EXTERNAL, sport: 40010 });
    expect(related()).toMatchObject([{ original: { sport: 40010 } }]);
    // Once only.
    syn(CLIENT, 40018);
    expect(related()).toHaveLength(1);
    expect(crew.totals['handed_off']).toBe(0);
  });

  test('an expectation that is not translated lets a flow in at the worker that has it', () => {
    const rule = masqueradeAll(PORTS).rules[0]!;
    const crew = new Crew({
      ...ftp,
      nat: { rules: [{ ...rule, action: 'none' }], forwards: [], prefixes: [] },
    });
    crew.out(tcpPacket({ ...control, flags: 'S', seq: 999 }));
    crew.in(tcpPacket({ from: `${SERVER}:21`, to: `${CLIENT}:40004`, flags: 'SA', seq: 4999, ack: 1000 }));
    crew.out(tcpPacket({ ...control, flags: 'A', seq: 1000, ack: 5000 }));
    const payload = 'PORT 10,77,0,2,156,66\r\n';
    crew.out(tcpPacket({ ...control, flags: 'PA', seq: 1000, ack: 5000, payload }));
    const syn = tcpPacket({ from: `${SERVER}:20`, to: `${CLIENT}:40002`, flags: 'S', seq: 1 });
    expect(queueOf(syn, PUBLIC, WORKERS)).toBe(1);
    expect(only(PRIVATE, crew.in(syn))).toMatchObject({ dst: CLIENT, dport: 40002 });
    expect(crew.counts).toEqual([0, 0, 2, 0]);
  });
});
