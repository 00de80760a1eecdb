/**
 * The thread of the supervisor that follows the event rings. It looks at them every LEAST_MS while there is something, and more and more rarely,
 * down to every MOST_MS, while there is nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { addon } from '../../link/addon.ts';
import { Dispatch } from './dispatch.ts';
import type { GatewayEvent } from './event.ts';
import type { FromThread, ThreadInput, ToThread, Watch } from './messages.ts';
import type { SaySink } from './sink.ts';
import { SinkSet } from './sink-set.ts';

const LEAST_MS = 20;
const MOST_MS = 100;
/** A receiver that is behind gets so much time for itself. */
const BEHIND_MS = 5;
/** Batches for subscribers that have not been taken yet, and events of one. */
const MOST_BATCHES = 32;
const BATCH = 512;

const { rings, settings: first, watch: wanted } = workerData as ThreadInput;
const dispatch = new Dispatch(
  rings.map(({ fd, bytes, worker }) => ({ memory: addon().mmap(fd, bytes, true), worker })),
);
const say: SaySink = (text, level) => tell({ type: 'log', text, level });
const sinks = new SinkSet(say);
let pauseMs = LEAST_MS;
let timer: NodeJS.Timeout | undefined;
let isClosing = false;

/** For subscribers: not posted yet, posted and not taken, lost. */
let batch: GatewayEvent[] = [];
let underway = 0;
let lost = 0;

/** Messages are handled one after the other. */
let turn = Promise.resolve();
parentPort!.on('message', (message: ToThread) => {
  if (message.type === 'taken') underway--;
  else turn = turn.then(() => handle(message));
});
void sinks.set(first.sinks);
dispatch.setNames(first);
dispatch.sinks = sinks.all;
watchFor(wanted);
look();

async function handle(message: Exclude<ToThread, { type: 'taken' }>): Promise<void> {
  switch (message.type) {
    case 'settings': {
      // What came before is told by the old names, and to the old receivers.
      await catchUp();
      const gone = sinks.set(message.settings.sinks);
      dispatch.setNames(message.settings);
      dispatch.sinks = sinks.all;
      await gone;
      break;
    }
    case 'say':
      await catchUp();
      dispatch.give(message.event);
      dispatch.flush();
      postBatch();
      break;
    case 'watch':
      watchFor(message.classes);
      break;
    case 'reopen':
      sinks.reopen();
      break;
    case 'close':
      isClosing = true;
      clearTimeout(timer);
      await catchUp();
      postBatch();
      await sinks.close();
      dispatch.poll();
      tell({ type: 'closed' });
      parentPort!.close();
  }
}

function watchFor(classes: Watch): void {
  dispatch.watcher = classes?.length === 0 ? null : { classes, take: watch };
}

function look(): void {
  if (isClosing) return;
  if (dispatch.mayWait) {
    timer = setTimeout(look, BEHIND_MS);
    return;
  }
  const count = dispatch.poll();
  postBatch();
  pauseMs = count > 0 ? LEAST_MS : Math.min(2 * pauseMs, MOST_MS);
  // Where much waits, it goes on as soon as the receivers have had their turn.
  timer = setTimeout(look, dispatch.backlog >= BATCH ? 0 : pauseMs);
}

/** Takes what is in the rings by now. */
async function catchUp(): Promise<void> {
  for (let left = dispatch.backlog; left > 0; ) {
    if (dispatch.mayWait) {
      await sleep(BEHIND_MS);
      continue;
    }
    const count = dispatch.poll();
    if (count === 0) return;
    left -= count;
    await sleep(0);
  }
}

function watch(event: GatewayEvent): void {
  if (underway >= MOST_BATCHES) {
    lost += event.event === 'gap' ? event.missed : 1;
    return;
  }
  batch.push(event);
  if (batch.length >= BATCH) postBatch();
}

function postBatch(): void {
  if (underway >= MOST_BATCHES || (batch.length === 0 && lost === 0)) return;
  underway++;
  tell({ type: 'events', events: batch, lost });
  batch = [];
  lost = 0;
}

function tell(message: FromThread): void {
  parentPort!.postMessage(message);
}
