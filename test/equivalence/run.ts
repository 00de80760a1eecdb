/**
 * Rule sets through the kernel and through natgate: each is loaded by iptables-restore here, and imported into an engine in memory; then the same
 * flows go through both.
 */
import { execFileSync } from 'node:child_process';
import { examine } from '../../src/gateway/config/load.ts';
import { importRules } from '../../src/gateway/iptables/import.ts';
import { MemoryGateway } from '../../src/testing/memory-gateway.ts';
import { describePacket } from '../../src/testing/packets.ts';
import { readPacket } from '../../src/testing/read-packet.ts';
import { Dice } from '../differential/dice.ts';
import { KernelGateway } from '../differential/kernel.ts';
import { flushKernelFlows } from '../differential/kernel-flows.ts';
import type { Output } from '../differential/output.ts';
import type { Side } from '../differential/step.ts';
import { EXTERNAL, type RuleSet, ruleSet } from './rule-sets.ts';
import { answerTo, type Flow, firstPacket, flowOf, nextPacket } from './traffic.ts';
import { verdict } from './verdicts.ts';

export interface Summary {
  sets: number;
  rules: number;
  /** Sets of which something was not carried; their differences are `expected`. */
  partial: number;
  packets: number;
  flows: number;
  /** Verdicts about first packets. */
  verdicts: Record<string, number>;
  expected: number;
  /** Differences of sets that were carried whole, described. */
  unexplained: string[];
}

export interface RunOptions {
  seed: number;
  sets: number;
  flows: number;
  first: number;
  most: number;
}

class Engine {
  readonly gateway: MemoryGateway;
  readonly isWhole: boolean;
  differences = 0;
  #handedBack = 0;

  constructor(text: string) {
    const renamed = text
      .replace(/\bp0\b/g, 'private')
      .replace(/\bw0\b/g, 'public')
      .replace(/ p\+/g, ' pr+')
      .replace(/ w\+/g, ' pu+');
    const imported = importRules(renamed, {
      file: 'rules',
      private: ['private'],
      public: 'public',
      addresses: () => ['198.18.0.1'],
      sets: null,
    });
    const { options, problems } = examine({
      name: 'x',
      stateRoot: '/run/x',
      flags: {},
      file: { path: 'natgate.yaml', text: imported.text },
    });
    if (options === null) throw new Error(`${imported.text}\n${problems.map(({ what }) => what).join('\n')}`);
    this.isWhole = imported.counts.changed === 0;
    this.gateway = new MemoryGateway({
      private: '10.77.0.1/16',
      public: '198.18.0.1/24',
      ports: options.ports,
      nat: options.nat,
      firewall: options.firewall,
    });
  }

  send(from: Side, packet: Uint8Array): Output[] {
    const { gateway } = this;
    gateway.now += 20;
    if (from === 'private') gateway.sendPrivate(packet);
    else gateway.sendPublic(packet);
    const outputs: Output[] = [
      ...gateway.receivePrivate().map((sent) => ({ to: 'private' as const, packet: sent })),
      ...gateway.receivePublic().map((sent) => ({ to: 'public' as const, packet: sent })),
    ];
    const handedBack = gateway.totals()['handed_back']!;
    const own = handedBack - this.#handedBack;
    this.#handedBack = handedBack;
    return own === 0 ? outputs : outputs.filter(({ to }) => to !== from);
  }
}

export function run(options: RunOptions, progress: (done: number) => void): Summary {
  const kernel = new KernelGateway();
  for (const address of EXTERNAL.slice(1)) execFileSync('ip', ['addr', 'add', `${address}/32`, 'dev', 'w0']);
  const summary: Summary = {
    sets: 0,
    rules: 0,
    partial: 0,
    packets: 0,
    flows: 0,
    verdicts: {},
    expected: 0,
    unexplained: [],
  };
  for (let number = options.first; number < options.first + options.sets; number++) {
    const dice = new Dice(options.seed, number);
    const set = ruleSet(dice, number);
    execFileSync('iptables-restore', ['-w'], { input: set.text, stdio: ['pipe', 'ignore', 'inherit'] });
    flushKernelFlows();
    const saved = execFileSync('iptables-save', { encoding: 'utf8' });
    const engine = new Engine(saved);
    summary.sets++;
    summary.rules += set.text.split('\n').filter((line) => line.startsWith('-A')).length;
    if (!engine.isWhole) summary.partial++;
    const external = EXTERNAL.filter((address, i) => i === 0 || set.text.includes(address));
    for (let i = 0; i < options.flows; i++) tryFlow(kernel, engine, flowOf(dice, i, external), set, summary);
    if (summary.unexplained.length >= options.most) break;
    progress(summary.sets);
  }
  return summary;
}

function tryFlow(kernel: KernelGateway, engine: Engine, flow: Flow, set: RuleSet, summary: Summary): void {
  summary.flows++;
  const other: Side = flow.side === 'private' ? 'public' : 'private';
  const step = (side: Side, packets: { kernel: Uint8Array; natgate: Uint8Array }, what: string) => {
    summary.packets++;
    const natgate = engine.send(side, packets.natgate);
    const outputs = kernel.send(side, packets.kernel);
    if (outputs.length < natgate.length) outputs.push(...kernel.lookAgain());
    const told = { kernel: verdict(flow, outputs, true), natgate: verdict(flow, natgate, true) };
    if (what === 'first packet') count(summary, told.kernel);
    if (told.kernel === told.natgate) return { kernel: outputs, natgate };
    if (engine.isWhole) {
      const about = `set ${set.number}, ${what} ${describePacket(packets.kernel)} from ${side}\n  kernel:  ${told.kernel}\n  natgate: ${told.natgate}`;
      summary.unexplained.push(engine.differences++ === 0 ? `${set.text}\n${about}` : about);
    } else summary.expected++;
    return null;
  };
  const first = firstPacket(flow);
  const begun = step(flow.side, { kernel: first, natgate: first }, 'first packet');
  const crossed = (outputs: readonly Output[]) => outputs.find(({ to }) => to === other);
  if (begun === null || crossed(begun.kernel) === undefined) return;
  const answers = {
    kernel: answerTo(flow, readPacket(crossed(begun.kernel)!.packet)),
    natgate: answerTo(flow, readPacket(crossed(begun.natgate)!.packet)),
  };
  if (step(other, answers, 'answer') === null) return;
  const next = nextPacket(flow);
  step(flow.side, { kernel: next, natgate: next }, 'next packet');
}

function count({ verdicts }: Summary, told: string): void {
  const name = told === 'nothing' ? 'dropped' : told.includes('ICMP 3/') ? 'rejected' : 'forwarded';
  verdicts[name] = (verdicts[name] ?? 0) + 1;
}
