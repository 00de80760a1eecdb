/**
 * The story of the lab. Each step tells what it saw in one line; one that does not see what it should makes the lab
 * fail. Whatever happens, processes and namespaces are gone at the end.
 */
import { NatgateError } from '../../core/errors.ts';
import { formatBytes } from '../units.ts';
import { breakIn } from './break-in.ts';
import { type Child, Children } from './children.ts';
import type { Lab } from './context.ts';
import { showFlows } from './flows.ts';
import { applyKernelRecipe } from './kernel-recipe.ts';
import { patternSha256 } from './pattern.ts';
import { type DownloadProgress, gigabitsPerSecond, ProgressBar } from './progress.ts';
import { node, script } from './scripts.ts';
import { ensureTools, findTool } from './tools.ts';
import {
  GATEWAY_PRIVATE,
  GATEWAY_PUBLIC,
  HTTP_PORT,
  INTERNET_HOST,
  LabTopology,
  PRIVATE_HOST,
} from './topology.ts';

const TOOLS = [
  { binary: 'ip', package: 'iproute2' },
  { binary: 'sysctl', package: 'procps' },
  { binary: 'ping', package: 'iputils-ping' },
  { binary: 'traceroute', package: 'traceroute' },
];

const SPEED_RUNS = 3;

/** Runs the whole lab with downloads of `size` bytes. Rejects when something was not as it should be. */
export async function runLab(size: number, signal: AbortSignal): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new NatgateError('not_root', 'the lab needs root, to make network namespaces', 'sudo natgate lab');
  }
  ensureTools(TOOLS, (line) => process.stderr.write(`natgate lab: ${line}\n`));
  const name = `lab-${process.pid}`;
  const lab: Lab = {
    name,
    size,
    topology: new LabTopology(`natgate-${name}`),
    children: new Children(signal),
    signal,
    tell: (heading, text) => process.stdout.write(`${heading.padEnd(9)} ${text}\n`),
  };
  try {
    await lab.topology.make(lab.children);
    await tellStory(lab);
  } finally {
    await lab.children.endAll();
    lab.topology.remove();
  }
}

async function tellStory(lab: Lab): Promise<void> {
  lab.tell(
    'lab',
    `private ${PRIVATE_HOST} ══ ${GATEWAY_PRIVATE} gateway ${GATEWAY_PUBLIC} ══ ${INTERNET_HOST} internet`,
  );
  const server = await startServer(lab);
  const gateway = await startGateway(lab);
  await verifiedDownload(lab, server);
  await ping(lab);
  await trace(lab);
  await breakIn(lab);
  await showFlows(lab);
  const natgate = await measureSpeed(lab, 'natgate');
  await stopGateway(lab, gateway);
  await compareWithKernel(lab, natgate);
}

async function startServer({ topology, children, signal }: Lab): Promise<Child> {
  const argv = node(script('server'), INTERNET_HOST, String(HTTP_PORT));
  const server = children.start('server', topology.inside(topology.internet, argv));
  await server.shows(/^listening$/, signal);
  return server;
}

async function startGateway({ name, topology, children, signal, tell }: Lab): Promise<Child> {
  const argv = node(script('../main'), 'run', '--private', 'g0', '--public', 'g1', '--name', name);
  const gateway = children.start('gateway', topology.inside(topology.gateway, argv));
  await gateway.shows(/^natgate: ready /m, signal);
  const sysctl = topology.inside(topology.gateway, ['sysctl', '-n', 'net.ipv4.ip_forward']);
  const { stdout } = await children.run('look at ip_forward', sysctl);
  if (stdout !== '0')
    throw new NatgateError('lab_failed', `net.ipv4.ip_forward is ${stdout} while the gateway runs`);
  tell('gateway', 'natgate run --private g0 --public g1; the kernel forwards nothing (ip_forward=0)');
  return gateway;
}

/** What the user came for: all bytes arrive, and the server sees nobody but the gateway. */
async function verifiedDownload(lab: Lab, server: Child): Promise<void> {
  const expected = patternSha256(lab.size);
  const got = await download(lab, 'download', 'hash');
  if (got.sha256 !== expected.sha256) {
    throw new NatgateError('lab_failed', `the download has SHA-256 ${got.sha256}, not ${expected.sha256}`);
  }
  const seconds = got.seconds.toFixed(2);
  lab.tell(
    'download',
    `${formatBytes(lab.size)} in ${seconds} s, SHA-256 verified (hashing alone takes ${expected.seconds.toFixed(2)} s)`,
  );
  const clients = server.output.filter((line) => line.startsWith('client ')).map((line) => line.slice(7));
  if (clients.some((client) => client !== GATEWAY_PUBLIC)) {
    throw new NatgateError('lab_failed', `the server saw ${clients.join(', ')} instead of ${GATEWAY_PUBLIC}`);
  }
  lab.tell('seen as', `${GATEWAY_PUBLIC}, says the server; ${PRIVATE_HOST} never showed`);
}

/** One download from the private host; `what` is for the progress bar. */
async function download(lab: Lab, what: string, mode: 'hash' | 'count'): Promise<DownloadProgress> {
  const bar = new ProgressBar();
  const argv = node(script('download'), INTERNET_HOST, String(HTTP_PORT), String(lab.size), mode);
  const child = lab.children.start('download', lab.topology.inside(lab.topology.private, argv));
  let last: DownloadProgress | undefined;
  child.onLine((line) => {
    last = JSON.parse(line) as DownloadProgress;
    bar.draw(what, last, lab.size);
  });
  try {
    await lab.children.finish(child);
  } finally {
    bar.clear();
  }
  if (last?.done !== true) throw child.failure('ended too early');
  return last;
}

/** Gb/s without hashing: the median of a few downloads. */
async function measureSpeed(lab: Lab, what: string): Promise<number> {
  const speeds: number[] = [];
  for (let run = 0; run < SPEED_RUNS; run++)
    speeds.push(gigabitsPerSecond(await download(lab, what, 'count')));
  return speeds.sort((a, b) => a - b)[SPEED_RUNS >> 1]!;
}

async function ping({ topology, children, tell }: Lab): Promise<void> {
  const argv = topology.inside(topology.private, `ping -c 5 -i 0.2 -W 2 ${INTERNET_HOST}`.split(' '));
  const { stdout } = await children.run('ping', argv);
  const received = / (\d+) received/.exec(stdout)?.[1];
  const average = /= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1];
  if (received !== '5') throw new NatgateError('lab_failed', `${received} of 5 pings were answered`, stdout);
  tell('ping', `5 of 5 answered, after ${average} ms on average`);
}

async function trace({ topology, children, tell }: Lab): Promise<void> {
  const argv = topology.inside(topology.private, `traceroute -n -q 1 -w 2 ${INTERNET_HOST}`.split(' '));
  const { stdout } = await children.run('traceroute', argv);
  const hops = stdout
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/)[1]);
  if (hops.join() !== `${GATEWAY_PRIVATE},${INTERNET_HOST}`) {
    throw new NatgateError('lab_failed', 'the gateway is not the one hop on the way', stdout);
  }
  tell('trace', `${GATEWAY_PRIVATE} (the gateway), then ${INTERNET_HOST}`);
}

async function stopGateway({ tell }: Lab, gateway: Child): Promise<void> {
  const start = process.hrtime.bigint();
  const end = await gateway.stop();
  if (end.code !== 0) throw gateway.failure(`ended with ${end.code} after SIGTERM`);
  const ms = Number(process.hrtime.bigint() - start) / 1e6;
  tell('stop', `the gateway undid everything within ${ms.toFixed(0)} ms`);
}

/** The same download through the kernel's recipe, in the same namespaces. */
async function compareWithKernel(lab: Lab, natgate: number): Promise<void> {
  const speed = `natgate ${natgate.toFixed(1)} Gb/s`;
  const missing = findTool('iptables') === null ? 'iptables is not installed' : await applyKernelRecipe(lab);
  if (missing !== null) {
    lab.tell('speed', `${speed} without hashing; nothing to compare with: ${missing}`);
    return;
  }
  const kernel = await measureSpeed(lab, 'kernel');
  const ratio = (natgate / kernel).toFixed(2);
  lab.tell(
    'speed',
    `${speed}, the kernel with iptables ${kernel.toFixed(1)} Gb/s: ratio ${ratio} (medians of ${SPEED_RUNS}, no hashing)`,
  );
}
