/**
 * `natgate run` in a namespace of its own, between two TUN devices whose other ends are here: the topology of the kernel's namespace.
 *
 *     private 10.77.0.1/16 p0 ══ natgate ══ w0 198.18.0.1/24 public, default route
 *
 * A configuration is put in force by a reload of the running gateway. Flows of those before go on as far as they may; packets of the next sets have
 * ports of their own, until these begin anew, and then the gateway does (traffic.ts, SLOTS).
 *
 * How to know that nothing more comes: packets pass the engine in the order in which they came in on a device, so after a few of them a fence goes in, a
 * packet from inside whose time to live ends, which the engine answers whatever its rules say. A batch of the engine takes 64 packets, by turns from the
 * devices: if a fence that was sent after them is in a batch, so are the fewer that came in outside. The second fence is in a later batch: what the first
 * one did has been written. What came later nevertheless would be in the answers to the next packets, as a difference.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reloadGateway } from '../../src/gateway/reload/ask.ts';
import type { ReloadResult } from '../../src/gateway/reload/result.ts';
import { udpPacket } from '../../src/testing/packets.ts';
import { readPacket } from '../../src/testing/read-packet.ts';
import type { Output } from '../differential/output.ts';
import { TunLink } from '../differential/tun-link.ts';
import { READY, Natgate as Run } from '../netns/support/natgate.ts';
import { Namespace } from '../netns/support/topology.ts';
import type { Natgate, Sent } from './natgate.ts';
import { SLOTS } from './traffic.ts';

/** Packets between two fences: fewer than a batch of the engine. */
const AT_ONCE = 48;
const FENCES = 2;
const PATIENCE_MS = 10_000;
const WAIT_MS = 100;
const TIME_EXCEEDED = 11;
const FENCE = { from: '10.77.200.1:9', to: '8.8.8.8:9', ttl: 1 };
const NOTHING_PASSES = 'private: p0\npublic: w0\nfirewall: {default: drop}\n';
const TUNS = ['ngp0', 'ngw0'] as const;

export class LiveNatgate implements Natgate {
  readonly devices = { private: 'p0', public: 'w0' };
  readonly #namespace: Namespace;
  readonly #link: TunLink;
  readonly #file: string;
  #run: Run | null = null;
  #loads = 0;
  #fences = 0;

  /** `namespace` has lo and nothing else; it keeps the devices until this process ends. */
  constructor(namespace: string) {
    this.#namespace = new Namespace(namespace);
    this.#link = new TunLink([...TUNS]);
    TUNS.forEach((tun, i) => {
      execFileSync('ip', ['link', 'set', tun, 'netns', namespace, 'name', ['p0', 'w0'][i]!]);
    });
    const inside = (command: string) => {
      const [program, ...args] = this.#namespace.argv(command);
      execFileSync(program!, args);
    };
    inside('sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.disable_ipv6=1');
    inside('ip addr add 10.77.0.1/16 dev p0');
    inside('ip addr add 198.18.0.1/24 dev w0');
    for (const device of ['lo', 'p0', 'w0']) inside(`ip link set ${device} up`);
    inside('ip route add default dev w0');
    // What natgate leaves to the host is no part of the comparison.
    inside('iptables -w -P INPUT DROP');
    mkdirSync(this.#namespace.stateRoot, { recursive: true });
    this.#file = join(this.#namespace.stateRoot, 'natgate.yaml');
  }

  async load(text: string, anew: boolean): Promise<void> {
    if (this.#loads++ % SLOTS === 0) await this.close();
    if (this.#run === null) {
      writeFileSync(this.#file, text);
      this.#run = Run.launch(this.#namespace, ['--config', this.#file]);
      await this.#run.process.shows(READY, 15_000);
      return;
    }
    if (anew) {
      const { kept } = await this.#reload(NOTHING_PASSES);
      if (kept !== 0) throw new Error(`${kept} flows go on, though the firewall lets nothing pass`);
    }
    await this.#reload(text);
  }

  async #reload(text: string): Promise<ReloadResult> {
    writeFileSync(this.#file, text);
    const result = await reloadGateway({
      name: this.#run!.name,
      stateRoot: this.#namespace.stateRoot,
    });
    const { applied, restarted, problems } = result;
    if (!applied || restarted) throw new Error(`not reloaded: ${problems.join('; ')}\n${text}`);
    return result;
  }

  async send(packets: readonly Sent[]): Promise<Output[]> {
    const outputs: Output[] = [];
    for (let at = 0; at < packets.length; at += AT_ONCE) {
      for (const { side, packet } of packets.slice(at, at + AT_ONCE))
        outputs.push(...this.#link.send(side, packet));
      for (let i = 0; i < FENCES; i++) this.#fence(outputs);
    }
    return outputs;
  }

  #fence(outputs: Output[]): void {
    const payload = `fence ${++this.#fences}`;
    const until = performance.now() + PATIENCE_MS;
    let received = this.#link.send('private', udpPacket({ ...FENCE, payload }));
    for (;;) {
      const answers = received.filter(({ packet }) => isAbout(packet, payload));
      outputs.push(...received.filter((output) => !answers.includes(output)));
      if (answers.length > 0) return;
      if (performance.now() > until)
        throw new Error(`natgate does not answer\n${this.#run?.process.stderr ?? ''}`);
      received = this.#link.receive(WAIT_MS);
    }
  }

  async close(): Promise<void> {
    const run = this.#run;
    this.#run = null;
    await run?.stop();
  }
}

function isAbout(packet: Uint8Array, payload: string): boolean {
  const { protocol, type, payload: body } = readPacket(packet);
  return protocol === 1 && type === TIME_EXCEEDED && Buffer.from(body).toString('latin1').endsWith(payload);
}
