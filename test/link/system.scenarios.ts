/** Scenarios of system calls that Node lacks; addon.scenarios.ts gives them on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { addon } from '../../src/link/addon.ts';
import { failure } from './failure.ts';
import { LOADER } from './loader.ts';
import { scheduling } from './scheduling.ts';
import { ip } from './tuns.ts';

/** A frame as it is, out of one end of a veth pair and into the other. */
export function frames() {
  ip('link add fr0 type veth peer name fr1');
  // Without IPv6 nothing else crosses it.
  for (const name of ['fr0', 'fr1']) ip(`link set ${name} addrgenmode none up`);
  const link = (name: string) => JSON.parse(ip(`-j -s link show ${name}`))[0];
  const index = link('fr0').ifindex as number;
  const received = () => link('fr1').stats64.rx as { bytes: number; packets: number };
  const before = received();
  addon().sendFrame(index, Buffer.alloc(777, 0x88));
  const after = received();
  const send = (frame: Uint8Array, to = index) => failure(() => addon().sendFrame(to, frame));
  const results = {
    bytes: after.bytes - before.bytes,
    packets: after.packets - before.packets,
    tooLong: send(Buffer.alloc(3000)),
    unknown: send(Buffer.alloc(64), 424_242),
  };
  ip('link set fr0 down');
  return { ...results, down: send(Buffer.alloc(64)) };
}

export function ethtool() {
  const before = addon().ethtoolGetFlags('lo');
  addon().ethtoolSetFlags('lo', before);
  return {
    unchanged: addon().ethtoolGetFlags('lo') === before,
    unknown: failure(() => addon().ethtoolGetFlags('nosuch0')),
    unknownSet: failure(() => addon().ethtoolSetFlags('nosuch0', 0)),
  };
}

const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
s.bind('\\0' + name[1:] if name[0] == '@' else name)
print('bound', flush=True)
print(s.recv(4096).hex(), end='', flush=True)
`;

export async function unixDatagrams() {
  const path = join(tmpdir(), `natgate-test-${process.pid}.sock`);
  const received: string[] = [];
  for (const name of [path, `@natgate-test-${process.pid}`]) {
    const child = spawn('python3', ['-c', RECEIVER, name], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await once(child.stdout, 'data');
    addon().unixNotify(name, Buffer.from('READY=1\nSTATUS=\u00fc'), []);
    await once(child, 'close');
    received.push(Buffer.from(output.replace('bound\n', ''), 'hex').toString());
  }
  rmSync(path);
  return {
    received,
    nobody: failure(() => addon().unixNotify('/nonexistent/socket', Buffer.from('x'), [])),
    abstract: failure(() => addon().unixNotify('@natgate-nobody', Buffer.from('x'), [])),
  };
}

export function noNewPrivileges() {
  const read = () => /NoNewPrivs:\s*(\d)/.exec(readFileSync('/proc/thread-self/status', 'utf8'))![1];
  const before = read();
  addon().noNewPrivileges();
  return { before, after: read() };
}

/** The slice of the thread that asks, and of a thread that it starts afterwards. */
export async function timeSlice() {
  const before = scheduling(process.pid);
  addon().timeSlice(100_000);
  const after = scheduling(process.pid);
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     parentPort.postMessage(Number(require('node:fs').readlinkSync('/proc/thread-self').split('/')[2]));
     setInterval(() => {}, 1000);`,
    { eval: true },
  );
  const [thread] = (await once(worker, 'message')) as [number];
  const started = scheduling(thread);
  await worker.terminate();
  return { before, after, started, tooShort: failure(() => addon().timeSlice(0)) };
}

/** A grandchild that asked for SIGTERM at its parent's death gets it. */
export async function parentDeath() {
  const load = `require(${JSON.stringify(LOADER.loader)})(${JSON.stringify(LOADER.native)})`;
  const grandchild = `${load}.parentDeathSignal(15); console.log(process.pid); setInterval(() => {}, 1000);`;
  const parent: ChildProcess = spawn(
    process.execPath,
    [
      '-e',
      `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(grandchild)}], {stdio: 'inherit'})`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const pid = Number(String((await once(parent.stdout!, 'data'))[0]));
  const alive = () =>
    existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z');
  const before = alive();
  parent.kill('SIGKILL');
  for (let i = 0; i < 200 && alive(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  return { before, after: alive(), broken: failure(() => ip('link show nosuch0')) !== undefined };
}
