/**
 * The hot loop of a worker: write what was decided, read what came, decide, for ever.
 *
 *     run ──▶ process ─┬─ all done ──▶ (what other workers gave) ──▶ tick ──▶ control messages, when flagged ──▶ run
 *                      └─ out of slots ──▶ flush ──▶ process the rest
 *
 * One Node-API call per batch; nothing is allocated per packet or per batch; the event loop of the thread never
 * turns. Whoever has a control message for this thread posts it, sets CONTROL_FLAG, and writes to the eventfd that
 * the exchange waits on. So does another worker that has handed a packet over. A wait lasts at most WAIT_MS, so the heartbeats (`tick`'s in
 * the state, and BEAT_FLAG) move while the line is silent: who watches over it (worker-watch.ts, engine-watch.ts) notices soon when they do not.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { NatgateError } from '../../core/errors.ts';
import { NOW } from '../../engine/arena.ts';
import { deleteFlows } from '../../engine/delete-flows.ts';
import type { Engine } from '../../engine/engine.ts';
import type { HandOff } from '../../engine/hand-off.ts';
import type { Exchange } from '../../link/addon.ts';
import { CatchUp } from './catch-up.ts';
import type { ControlMessage, FromEngine } from './messages.ts';
import type { TurnTimer } from './turn-timer.ts';

/** Words of the flags that the control thread and this one share (Int32Array, SharedArrayBuffer). */
export const CONTROL_FLAG = 0;
/** How far the worker may go; it waits at each step (`Atomics.wait`). */
export const GO_FLAG = 1;
/** Changes with each turn of the loop; 0 until the first. */
export const BEAT_FLAG = 2;
/** 1 while control messages are applied, which may take long where a configuration is large. */
export const CONTROL_BUSY_FLAG = 3;
/** Values of GO_FLAG: not even privileges are dropped, or nobody has said `go`; */
export const GO_NOWHERE = 0;
/** take the state over, as the `go` message says, which is there; */
export const GO_ADOPT = 1;
/** all workers have: forward. */
export const GO_FORWARD = 2;
export const FLAG_BYTES = 16;

/** ms. Of a worker without packets it is the time between two heartbeats (docs/decisions.md). */
export const WAIT_MS = 250;

export interface DataPlane {
  exchange: Pick<Exchange, 'arena' | 'run' | 'flush'>;
  engine: Engine;
  flags: Int32Array;
  turns: Pick<TurnTimer, 'begin' | 'end'>;
  control: MessagePort;
  /** To the supervisor. */
  say(message: FromEngine): void;
}

/**
 * Runs until a `stop` message (returns 0) or until a queue breaks for good (returns the negative errno).
 * Throws only when the engine breaks its contract.
 */
export function runDataPlane({ exchange, engine, flags, turns, control, say }: DataPlane): number {
  const words = new Int32Array(exchange.arena);
  const handOff = engine.handOff ?? null;
  const catchUp = new CatchUp();
  for (;;) {
    // Flows that are left to be looked at are looked at in slices, between batches.
    const { reconfigurer, addressChange, sessions } = engine;
    const isDone = !reconfigurer.isBusy && !addressChange.isSweeping && !sessions.isBehind;
    const maySleep = isDone && (handOff === null || handOff.maySleep());
    const count = exchange.run(engine.outCount, maySleep ? WAIT_MS : 0);
    engine.clearOut();
    if (count < 0) return count;
    const now = words[NOW]!;
    turns.begin(count);
    handle(exchange, engine, count, now);
    if (handOff !== null) takeOver(exchange, engine, handOff, now);
    if (catchUp.mayExpire(now, count)) engine.tick(now);
    turns.end();
    beat(flags);
    // Flows may have ended, of which other workers must know.
    handOff?.tellAll();
    if (Atomics.load(flags, CONTROL_FLAG) !== 0) {
      Atomics.store(flags, CONTROL_FLAG, 0);
      Atomics.store(flags, CONTROL_BUSY_FLAG, 1);
      const isStopped = takeMessages(engine, control, say);
      Atomics.store(flags, CONTROL_BUSY_FLAG, 0);
      if (isStopped) {
        exchange.flush(engine.outCount);
        engine.clearOut();
        return 0;
      }
    }
  }
}

/** Shows that the thread lives while it does something that takes long. */
export function beat(flags: Int32Array): void {
  flags[BEAT_FLAG] = nextBeat(flags[BEAT_FLAG]!);
}

/** Never 0, which says that no turn has been made. */
function nextBeat(beat: number): number {
  return beat === 0x7fffffff ? 1 : beat + 1;
}

function handle(exchange: DataPlane['exchange'], engine: Engine, count: number, now: number): void {
  let done = engine.process(0, count, now);
  while (done < count) {
    exchange.flush(engine.outCount);
    engine.clearOut();
    const before = done;
    done = engine.process(before, count, now);
    if (done === before && engine.outCount === 0)
      throw new NatgateError('engine_stuck', 'the engine did not take a packet with all slots free');
  }
}

/** Several workers: tells the others what they have been given, and handles a batch of what they gave. */
function takeOver(exchange: DataPlane['exchange'], engine: Engine, handOff: HandOff, now: number): void {
  handOff.awake();
  handOff.tellAll();
  if (handOff.isIdle) return;
  // They take the slots of the batch before, which must have left by then.
  exchange.flush(engine.outCount);
  engine.clearOut();
  handle(exchange, engine, handOff.receive(now), now);
  handOff.received();
}

/** Applies what was posted, in order. Returns whether `stop` was among it. */
function takeMessages(engine: Engine, control: MessagePort, say: DataPlane['say']): boolean {
  for (;;) {
    const received = receiveMessageOnPort(control) as { message: ControlMessage } | undefined;
    if (received === undefined) return false;
    const message = received.message;
    if (message.type === 'stop') return true;
    applyControl(engine, message, say);
  }
}

function applyControl(
  engine: Engine,
  message: Exclude<ControlMessage, { type: 'stop' }>,
  say: DataPlane['say'],
): void {
  switch (message.type) {
    case 'device':
      engine.setDevice(message.index, message.device);
      break;
    case 'routes':
      engine.setRoutes(message.routes);
      break;
    case 'heldPorts':
      engine.setHeldPorts(message.protocol, message.ports);
      break;
    case 'neighbour':
      engine.setNeighbour(message.device, message.address, message.failed);
      break;
    case 'dns':
      engine.setDns(message.dns);
      break;
    case 'deleteFlows':
      say({ type: 'deletedFlows', id: message.id, count: deleteFlows(engine.tracker, message.flows) });
      break;
    case 'taps':
      engine.tap?.set(message.filters);
      say({ type: 'tapped', id: message.id });
      break;
    case 'reconfigure': {
      const { id, to } = message;
      engine.reconfigurer.apply(to, engine.sessions.now, (result) =>
        say({ type: 'reconfigured', id, result }),
      );
      break;
    }
  }
}
