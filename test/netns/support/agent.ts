/**
 * Sockets inside a namespace, for tests that need more than a ready-made client: agent.py runs in the namespace and
 * does what it is told over stdin and stdout. A failed call is an AgentError with the errno's name as `code`.
 */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Background } from './process.ts';
import type { Namespace } from './topology.ts';

export type Endpoint = [address: string, port: number];

export class AgentError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Numbers of linux/in.h, linux/socket.h and friends, which Python does not name everywhere. */
export const SOL_SOCKET = 1;
export const SO_RCVBUF = 8;
export const SO_BINDTODEVICE = 25;
export const SOL_IP = 0;
export const IP_TOS = 1;
export const IP_TTL = 2;
export const IP_HDRINCL = 3;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVERR = 11;
export const IP_MTU = 14;
export const IP_PMTUDISC_DONT = 0;
export const IP_PMTUDISC_DO = 2;

export class Agent {
  readonly process: Background;
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private lastId = 0;

  private constructor(ns: Namespace) {
    this.process = ns.spawn(['python3', fileURLToPath(new URL('./agent.py', import.meta.url))]);
    createInterface({ input: this.process.child.stdout! }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const answer = JSON.parse(line) as Answer;
      this.waiting.get(answer.id)?.(answer);
      this.waiting.delete(answer.id);
    });
    void this.process.ended.then(() => {
      for (const settle of this.waiting.values()) {
        settle({ id: 0, error: 'EPIPE', message: `the agent has ended: ${this.process.stderr}` });
      }
    });
  }

  static async start(ns: Namespace): Promise<Agent> {
    const agent = new Agent(ns);
    await agent.process.shows(/^ready$/m);
    return agent;
  }

  stop(): Promise<number> {
    this.process.child.stdin!.end();
    return this.process.stop('SIGKILL');
  }

  async ask<T>(op: string, request: Record<string, unknown> = {}): Promise<T> {
    const id = ++this.lastId;
    const answer = await new Promise<Answer>((resolve) => {
      this.waiting.set(id, resolve);
      this.process.child.stdin!.write(`${JSON.stringify({ id, op, ...request })}\n`);
    });
    if (answer.error !== undefined) throw new AgentError(answer.error, `${answer.error}: ${answer.message}`);
    return answer.value as T;
  }

  private async open(family: string, type: string, protocol = 0): Promise<Socket> {
    const { socket } = await this.ask<{ socket: number }>('open', { family, type, protocol });
    return new Socket(this, socket);
  }

  async udp(local: Endpoint = ['0.0.0.0', 0]): Promise<Socket> {
    const socket = await this.open('AF_INET', 'SOCK_DGRAM');
    await socket.option(SOL_SOCKET, SO_RCVBUF, 1 << 22);
    await socket.call('bind', local);
    return socket;
  }

  /** A TCP connection; `local` binds its own end first. */
  async connect(to: Endpoint, local?: Endpoint, timeoutS = 5): Promise<Socket> {
    const socket = await this.open('AF_INET', 'SOCK_STREAM');
    await socket.option(SOL_SOCKET, 2 /* SO_REUSEADDR */, 1);
    if (local) await socket.call('bind', local);
    await socket.call('settimeout', timeoutS);
    await socket.call('connect', to);
    return socket;
  }

  async listen(local: Endpoint): Promise<Socket> {
    const socket = await this.open('AF_INET', 'SOCK_STREAM');
    await socket.option(SOL_SOCKET, 2 /* SO_REUSEADDR */, 1);
    await socket.call('bind', local);
    await socket.call('listen', 64);
    return socket;
  }

  /** A raw IP socket of one protocol; receives whole IP packets, sends payloads. */
  raw(protocol: number): Promise<Socket> {
    return this.open('AF_INET', 'SOCK_RAW', protocol);
  }

  /** Sends whole Ethernet frames out of a device. */
  async inject(device: string, frames: readonly Buffer[], gapS = 0): Promise<void> {
    await this.ask('inject', { device, frames: frames.map((frame) => frame.toString('base64')), gap: gapS });
  }

  tcpEcho(port: number, host = '0.0.0.0', device?: string): Promise<void> {
    return this.ask('tcp_echo', { host, port, ...(device && { device }) });
  }

  udpEcho(port: number, host = '0.0.0.0', device?: string): Promise<void> {
    return this.ask('udp_echo', { host, port, ...(device && { device }) });
  }

  /** HTTP server of agent.py: GET /SIZE, PUT, GET /peer, GET /ends. */
  http(port: number, host = '0.0.0.0'): Promise<void> {
    return this.ask('http', { host, port });
  }

  /** Addresses of all clients that the HTTP server has seen. */
  httpPeers(): Promise<string[]> {
    return this.ask('http_peers');
  }

  /** SHA-256 of what GET /SIZE answers, by the control channel and not through the gateway. */
  patternSha256(size: number): Promise<string> {
    return this.ask('pattern_sha256', { size });
  }
}

export class Socket {
  readonly agent: Agent;
  readonly id: number;

  constructor(agent: Agent, id: number) {
    this.agent = agent;
    this.id = id;
  }

  /** Calls a method of Python's socket object. */
  async call<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    return decode(await this.agent.ask('call', { socket: this.id, method, args: args.map(encode) })) as T;
  }

  option(level: number, name: number, value: number | Buffer): Promise<void> {
    return this.call('setsockopt', level, name, value);
  }

  timeout(seconds: number): Promise<void> {
    return this.call('settimeout', seconds);
  }

  name(): Promise<Endpoint> {
    return this.call('getsockname');
  }

  send(data: Buffer): Promise<void> {
    return this.call('sendall', data);
  }

  sendTo(data: Buffer, to: Endpoint): Promise<number> {
    return this.call('sendto', data, to);
  }

  /** One datagram, or what is there of a stream (empty: the peer closed). */
  receive(timeoutS = 5): Promise<Buffer> {
    return this.receiveFrom(timeoutS).then(([data]) => data);
  }

  async receiveFrom(timeoutS = 5): Promise<[Buffer, Endpoint]> {
    await this.timeout(timeoutS);
    return this.call('recvfrom', 65536);
  }

  /** `size` bytes of a stream; fewer when the peer closes before. */
  async receiveExactly(size: number, timeoutS = 10): Promise<Buffer> {
    await this.timeout(timeoutS);
    return decode(await this.agent.ask('recv_exactly', { socket: this.id, size })) as Buffer;
  }

  async accept(timeoutS = 5): Promise<[Socket, Endpoint]> {
    await this.timeout(timeoutS);
    const [{ socket }, peer] = await this.call<[{ socket: number }, Endpoint]>('accept');
    return [new Socket(this.agent, socket), peer];
  }

  /** Sends `data` over a connection to an echo server and returns what comes back. */
  async echo(data: Buffer | string): Promise<string> {
    const bytes = Buffer.from(data);
    await this.send(bytes);
    return (await this.receiveExactly(bytes.length)).toString();
  }

  close(): Promise<void> {
    return this.agent.ask('close', { socket: this.id });
  }
}

interface Answer {
  id: number;
  value?: unknown;
  error?: string;
  message?: string;
}

function encode(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return { base64: value.toString('base64') };
  return Array.isArray(value) ? value.map(encode) : value;
}

function decode(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value === 'object' && value !== null && 'base64' in value) {
    return Buffer.from(value.base64 as string, 'base64');
  }
  return value;
}
