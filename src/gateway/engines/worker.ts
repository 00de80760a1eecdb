/**
 * A data-plane worker:
 *
 *     map all memory, open the exchange, warm up ─▶ loaded … go ─▶ take the state over ─▶ ready … ─▶ never leaves runDataPlane
 *
 * Each thread maps for itself (a plain ArrayBuffer belongs to one thread). Everything that opens a file (modules,
 * the addon) happens before `loaded` is posted, because afterwards the process cannot. Until `go` it may stand by for days while another
 * engine writes the same memory: it neither reads nor writes it, and reads no queue. No worker forwards before all have their flows, since
 * a packet that comes to the wrong one is found by what the others have announced.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { randomSeed } from '../../core/random.ts';
import { ENGINE_STARTS } from '../../engine/counters.ts';
import { Engine } from '../../engine/engine.ts';
import type { HubMemory } from '../../engine/hub.ts';
import { formatState, isBlank, openState } from '../../engine/state.ts';
import { warmUp } from '../../engine/warm-up.ts';
import { addon } from '../../link/addon.ts';
import { monotonicMs, wallClock } from '../clock.ts';
import { accusation } from './accusation.ts';
import { beat, GO_ADOPT, GO_FLAG, GO_NOWHERE, runDataPlane } from './data-plane.ts';
import type { FromEngine, GoMessage, StartMessage } from './messages.ts';
import { TurnTimer } from './turn-timer.ts';

export interface WorkerInput {
  /** Which worker this is, from 0. */
  number: number;
  /** What the workers share; null where there is one. */
  hub: HubMemory | null;
  start: StartMessage;
  tunFds: number[];
  stateFd: number;
  tapFd: number;
  eventFd: number;
  ownedFd: number;
  /** By worker. */
  wakeFds: number[];
  flags: Int32Array;
  control: MessagePort;
}

const input = workerData as WorkerInput;

try {
  main(input);
} catch (error) {
  say({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
}

function main(own: WorkerInput): void {
  const {
    number,
    hub,
    start: first,
    tunFds,
    stateFd,
    tapFd,
    eventFd,
    ownedFd,
    wakeFds,
    flags,
    control,
  } = own;
  const native = addon();
  const state = native.mmap(stateFd, first.stateBytes, true);
  const memory = native.mmap(tapFd, first.tapBytes, true);
  const owned = native.mmap(ownedFd, first.ownedBytes, true);
  const events = { memory: native.mmap(eventFd, first.eventBytes, true), clock: Date.now };
  const exchange = native.exchangeOpen(tunFds, wakeFds[number]!);
  warmUp(exchange.arena);
  findZone();
  say({ type: 'loaded' });
  Atomics.wait(flags, GO_FLAG, GO_NOWHERE);
  const start = newestFacts(control);
  const worker = { workers: start.workers, number };
  const origin = { boot: start.boot, created: Math.floor(Date.now() / 1000) };
  if (isBlank(state)) formatState(state, start.flows, start.stateSeed, worker, origin);
  const { devices, ports, nat, timeouts, held, clampMss, evict, unsolicited, helpers, firewall, dns } = start;
  const [seed] = randomSeed();
  const now = monotonicMs();
  const asked = { ports, nat, timeouts, held, clampMss, evict, unsolicited, helpers, firewall, dns };
  const wake = (other: number) => native.eventfdWake(wakeFds[other]!);
  const seat = hub === null ? {} : { seat: { number, hub, wake } };
  const log = (line: string) => say({ type: 'log', line });
  const tap = { memory, clock: wallClock() };
  const kept = { state, owned, events, tap };
  const config = { ...kept, devices, ...asked, ...seat, wallClock: Date.now, log, seed, now };
  const engine = new Engine({ arena: exchange.arena, ...config });
  engine.setRoutes(start.routes);
  engine.tap?.set(start.taps);
  engine.lookup.quarantine.set(start.quarantined);
  engine.sessions.rekeyer.watch = { alive: () => beat(flags), clock: () => performance.now() };
  native.threadName(`data-plane-${number}`);
  say({ type: 'ready' });
  Atomics.wait(flags, GO_FLAG, GO_ADOPT);
  const { counters } = openState(state);
  counters[ENGINE_STARTS]!++;
  const turns = new TurnTimer(counters, () => performance.now());
  let errno: number;
  try {
    errno = -runDataPlane({ exchange, engine, flags, turns, control, say });
  } catch (error) {
    say(accusation(number, exchange.arena, engine.meta, error));
    throw error;
  }
  if (errno !== 0) {
    say({ type: 'failed', message: 'a TUN queue broke: was the device deleted?', errno });
  }
  control.close();
}

/** The host's time zone is in files, which are read when it is first asked for: schedules of the firewall ask later. */
function findZone(): void {
  for (const timeZone of [undefined, 'Europe/Berlin']) {
    new Intl.DateTimeFormat('en-GB', {
      hourCycle: 'h23',
      weekday: 'short',
      hour: 'numeric',
      timeZone,
    }).formatToParts(0);
  }
  new Date(0).getHours();
}

/** The first message: it was posted before GO_FLAG said GO_ADOPT. */
function newestFacts(control: MessagePort): StartMessage {
  const { message } = receiveMessageOnPort(control) as { message: GoMessage };
  return message.settings;
}

function say(message: FromEngine): void {
  parentPort!.postMessage(message);
}
