/**
 * Helpers with the programs that people use: curl and vsftpd, tftp-hpa, SIPp. The data connection of each gets through,
 * and is listed as RELATED.
 *
 * PPTP is not among them: its client and server need PPP in the kernel, which test machines seldom have; and nobody here
 * would see more than test/engine/helpers.test.ts, which has the control messages and the GRE packets. IRC's clients are
 * interactive; its offers are tested there too.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useGateway } from './support/fixture.ts';
import { type Natgate, natgateOnly } from './support/gateway.ts';
import { type Background, until } from './support/process.ts';
import { sniff } from './support/sniffer.ts';
import { CLIENT, GATEWAY_PUBLIC, SERVER } from './support/topology.ts';

const FTP_PORT = 2121;
/** Larger than any buffer on the way, and no round number. */
const FILE = Buffer.from(Array.from({ length: 300_001 }, (_, i) => (i * 31 + (i >> 8)) & 0xff));

/** Two files over one control connection, `PORT` before each; the second one is asked for when somebody writes a line. */
const TWO_FILES = `
import ftplib, hashlib, sys
ftp = ftplib.FTP('${SERVER}', timeout=30)
ftp.set_pasv(False)
ftp.login()
for name in ('one', 'two'):
    digest = hashlib.sha256()
    ftp.retrbinary('RETR file', digest.update)
    print(name, digest.hexdigest())
    if name == 'one': sys.stdin.readline()
ftp.quit()
`;

interface ListedFlow {
  protocol: number;
  related: boolean;
  original: { src: string; dst: string; sport: number; dport: number };
  reply: { src: string; dst: string; sport: number; dport: number };
}

natgateOnly('helpers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'natgate-helpers-'));
  const served = join(folder, 'served');
  const servers: Background[] = [];
  const net = useGateway({
    args: ['--helper', 'ftp', '--helper', `ftp=${FTP_PORT}`, '--helper', 'tftp', '--helper', 'sip'],
  });

  beforeAll(() => {
    chmodSync(folder, 0o755);
    mkdirSync(served, { mode: 0o755 });
    mkdirSync(join(served, 'in'));
    chmodSync(join(served, 'in'), 0o777);
    writeFileSync(join(served, 'file'), FILE, { mode: 0o644 });
  });

  afterAll(async () => {
    for (const server of servers) await server.stop();
    rmSync(folder, { recursive: true });
  });

  async function related(protocol: number): Promise<ListedFlow[]> {
    const { stdout } = await (net.gateway as Natgate).cli('status', ['--flows', '--json']);
    const flows = JSON.parse(stdout) as ListedFlow[];
    return flows.filter((flow) => flow.related && flow.protocol === protocol);
  }

  describe('FTP', () => {
    beforeAll(async () => {
      const config = join(folder, 'vsftpd.conf');
      const settings = {
        listen: 'YES',
        background: 'NO',
        anonymous_enable: 'YES',
        no_anon_password: 'YES',
        anon_root: served,
        write_enable: 'YES',
        anon_upload_enable: 'YES',
        connect_from_port_20: 'YES',
        seccomp_sandbox: 'NO',
        secure_chroot_dir: served,
        xferlog_enable: 'NO',
      };
      for (const [port, name] of [
        [21, config],
        [FTP_PORT, `${config}.other`],
      ] as const) {
        const lines = Object.entries({ ...settings, listen_port: port });
        writeFileSync(name, lines.map(([key, value]) => `${key}=${value}\n`).join(''));
        servers.push(net.topology.server.spawn(['vsftpd', name]));
      }
      const isListening = async () =>
        (await net.topology.server.exec('ss -Hltn')).stdout.includes(`:${FTP_PORT} `);
      await until('vsftpd listens', isListening);
    });

    it.each([
      ['active, EPRT', 21, ['--ftp-port', '-']],
      ['active, PORT', 21, ['--ftp-port', '-', '--disable-eprt']],
      ['active, at another port', FTP_PORT, ['--ftp-port', '-', '--disable-eprt']],
    ])('%s: the server reaches the client', async (_, port, args) => {
      const before = (await related(6)).length;
      const to = join(folder, 'active');
      await net.topology.client.exec(['curl', '-sS', ...args, '-o', to, `ftp://${SERVER}:${port}/file`]);
      expect(readFileSync(to).equals(FILE)).toBe(true);
      const flows = await related(6);
      expect(flows).toHaveLength(before + 1);
      expect(flows).toContainEqual(
        expect.objectContaining({
          original: expect.objectContaining({ src: SERVER, dst: GATEWAY_PUBLIC }),
          reply: expect.objectContaining({ src: CLIENT, dst: SERVER }),
        }),
      );
    });

    it('carries on when a change of length has moved the numbers: ten files over one connection', async () => {
      const before = (await related(6)).length;
      const urls = Array.from({ length: 10 }, () => `ftp://${SERVER}/file`);
      const outputs = urls.flatMap((_, i) => ['-o', join(folder, `out${i}`)]);
      await net.topology.client.exec([
        'curl',
        '-sS',
        '--ftp-port',
        '-',
        '--disable-eprt',
        ...outputs,
        ...urls,
      ]);
      for (const [i] of urls.entries()) expect(readFileSync(join(folder, `out${i}`)).equals(FILE)).toBe(true);
      expect(await related(6)).toHaveLength(before + 10);
    });

    it('goes on when the engine is killed: a second file over the same connection, whose numbers had moved', async () => {
      const natgate = net.gateway as Natgate;
      const client = net.topology.client.spawn(['python3', '-u', '-c', TWO_FILES]);
      servers.push(client);
      await client.shows(/one/, 30_000);
      const engine = await natgate.enginePid();
      process.kill(engine, 'SIGKILL');
      await until(
        'another engine runs',
        async () => (await natgate.enginePid().catch(() => engine)) !== engine,
        30_000,
      );
      client.child.stdin!.write('\n');
      expect(await client.ended, client.stderr).toBe(0);
      const digest = createHash('sha256').update(FILE).digest('hex');
      expect(client.stdout.trim().split('\n')).toEqual([`one ${digest}`, `two ${digest}`]);
      expect(natgate.process.stderr).not.toContain('not taken over');
    });

    it.each([
      ['EPSV', []],
      ['PASV', ['--disable-epsv']],
    ])('passive, %s: the data connection is RELATED', async (_, args) => {
      const before = (await related(6)).length;
      const to = join(folder, 'passive');
      await net.topology.client.exec(['curl', '-sS', ...args, '-o', to, `ftp://${SERVER}/file`]);
      expect(readFileSync(to).equals(FILE)).toBe(true);
      expect(await related(6)).toHaveLength(before + 1);
    });

    it('active: sends a file', async () => {
      const from = join(served, 'file');
      await net.topology.client.exec([
        'curl',
        '-sS',
        '--ftp-port',
        '-',
        '-T',
        from,
        `ftp://${SERVER}/in/new`,
      ]);
      expect(readFileSync(join(served, 'in', 'new')).equals(FILE)).toBe(true);
    });
  });

  it('TFTP: reads a file from a port of the server’s choice', async () => {
    const server = net.topology.server.spawn(['in.tftpd', '-L', '-a', `${SERVER}:69`, '-s', served]);
    servers.push(server);
    await until('in.tftpd listens', async () =>
      (await net.topology.server.exec('ss -Hlun')).stdout.includes(`${SERVER}:69 `),
    );
    await net.topology.client.shell(`cd ${folder} && tftp -m binary ${SERVER} -c get file`);
    expect(readFileSync(join(folder, 'file')).equals(FILE)).toBe(true);
    expect(await related(17)).toMatchObject([
      { original: { src: SERVER, dst: GATEWAY_PUBLIC }, reply: { src: CLIENT, dst: SERVER } },
    ]);
  });

  it('SIP: a call is set up, its media comes in from outside and goes back, and it is hung up', async () => {
    const { client, server } = net.topology;
    const capture = await sniff(server, 's0', { filter: 'udp dst port 5060' });
    const callee = [
      'sipp',
      '-sn',
      'uas',
      '-i',
      SERVER,
      '-p',
      '5060',
      '-mi',
      SERVER,
      '-mp',
      '31000',
      '-m',
      '1',
    ];
    const uas = server.spawn([...callee, '-nostdin']);
    servers.push(uas);
    await until('SIPp listens', async () =>
      (await server.exec('ss -Hlun')).stdout.includes(`${SERVER}:5060 `),
    );
    // A call of four seconds; what comes as media goes back.
    const caller = [
      'sipp',
      '-sn',
      'uac',
      '-i',
      CLIENT,
      '-p',
      '5060',
      '-mi',
      CLIENT,
      '-mp',
      '40500',
      '-rtp_echo',
    ];
    const uac = client.spawn([...caller, '-m', '1', '-d', '4000', '-nostdin', `${SERVER}:5060`]);
    const before = (await related(17)).length;
    const media = await net.server.udp([SERVER, 32000]);
    // Until the call is there nobody expects media, so the first datagrams may be lost.
    await media.call('settimeout', 0.2);
    const echoed = await until('media comes back', async () => {
      await media.sendTo(Buffer.from('like RTP'), [GATEWAY_PUBLIC, 40500]);
      return media.receiveFrom().catch(() => null);
    });
    expect(echoed).toEqual([Buffer.from('like RTP'), [GATEWAY_PUBLIC, 40500]]);
    const flows = await related(17);
    expect(flows).toHaveLength(before + 1);
    expect(flows).toContainEqual(
      expect.objectContaining({
        original: { src: SERVER, dst: GATEWAY_PUBLIC, sport: 32000, dport: 40500 },
        reply: { src: CLIENT, dst: SERVER, sport: 40500, dport: 32000 },
      }),
    );
    expect(await uac.ended, uac.stderr).toBe(0);
    expect(await uas.ended, uas.stderr).toBe(0);
    const messages = (await capture.stop()).map(({ ip }) => ip!.payload.subarray(8).toString());
    expect(messages.map((text) => text.split(' ')[0])).toEqual(['INVITE', 'ACK', 'BYE']);
    for (const text of messages) {
      // The Call-ID is nobody's address.
      const translated = text.replace(/^Call-ID:.*$/m, '');
      expect(translated).not.toContain(CLIENT);
      expect(text).toMatch(new RegExp(`^Via: SIP/2.0/UDP ${GATEWAY_PUBLIC}:`, 'm'));
    }
    const body = messages[0]!.slice(messages[0]!.indexOf('\r\n\r\n') + 4);
    expect(body).toMatch(new RegExp(`^c=IN IP4 ${GATEWAY_PUBLIC}\r\n`, 'm'));
    expect(messages[0]).toMatch(new RegExp(`^Content-Length: +${body.length}\\r$`, 'm'));
  });
});
