/**
 * A client of a chaos run, as a program of its own: `traffic-client SERVER SEED TRANSFERS END`. Keeps TRANSFERS transfers going at all times
 * until END (ms of CLOCK_MONOTONIC), every fourth of them a slow one of a minute or more, and asks small things by UDP besides. Each that ends
 * is a line of JSON (`Done`). At END it waits for what goes on; a line on standard input makes it say what that is, and end.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { Random } from '../netns/support/random.ts';
import type { Done } from './done.ts';
import { clock, patternHash, QUERY_PORT, type Request, send, TCP_PORT } from './stream.ts';

const [server = '', seed = '0', transfers = '1', endText = '0'] = process.argv.slice(2);
const END = Number(endText);
const random = new Random(Number(seed));
const KIB = 1024;
const QUERY_MS = 100;
const TRIES = 8;
const TRY_MS = 1000;
/** Nothing begins so shortly before the end, ms. */
const LAST_BEGIN = 2500;
const PAUSE = 20;

const open = new Set<Done>();
let numbers = 0;

function begin(kind: Done['kind']): Done {
  const done: Done = {
    id: ++numbers,
    kind,
    port: 0,
    begin: clock(),
    end: 0,
    bytes: 0,
    error: '',
    wrong: false,
    stall: 0,
    stallAt: 0,
  };
  open.add(done);
  return done;
}

function finish(done: Done): void {
  if (!open.delete(done)) return;
  done.end = clock();
  console.log(JSON.stringify(done));
}

/** One of the places that always have a transfer. */
async function keepBusy(place: number): Promise<void> {
  for (let left = END - clock() - LAST_BEGIN; left > 0; left = END - clock() - LAST_BEGIN) {
    const slow = place % 4 === 0;
    const mode = random.below(2) === 0 ? 'down' : 'up';
    const seconds = Math.min(60 + random.below(60), left / 1000);
    const rate = slow ? (16 + random.below(48)) * KIB : (256 + random.below(768)) * KIB;
    const bytes = slow ? Math.ceil(rate * seconds) : (64 + random.below(2048)) * KIB;
    await transfer({ mode, rate, bytes, seed: random.below(2 ** 30) }, slow);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

function transfer(request: Request, slow: boolean): Promise<void> {
  const done = begin(`${slow ? 'slow' : 'quick'} ${request.mode}`);
  done.bytes = request.bytes;
  return new Promise((resolve) => {
    const hash = createHash('sha256');
    const socket = connect({ host: server, port: TCP_PORT, allowHalfOpen: true, noDelay: true });
    let moved = clock();
    let received = 0;
    let text = '';
    const progress = () => {
      const now = clock();
      if (now - moved > done.stall) {
        done.stall = now - moved;
        done.stallAt = now;
      }
      moved = now;
    };
    socket.on('connect', () => {
      progress();
      done.port = socket.localPort ?? 0;
      socket.write(`${JSON.stringify(request)}\n`);
      if (request.mode === 'up') void send(socket, request).then((whole) => whole && socket.end());
    });
    socket.on('data', (chunk) => {
      progress();
      received += chunk.length;
      if (request.mode === 'down') hash.update(chunk);
      else text += chunk.toString('latin1');
    });
    socket.on('end', () => {
      progress();
      const down = request.mode === 'down';
      const got = down ? hash.digest('hex') : text.replace(/^\.*\n/, '').trim();
      done.wrong = got !== patternHash(request.seed, request.bytes);
      if (done.wrong)
        done.error = down ? `${received} bytes, another hash` : `the server says ${text.slice(-80)}`;
      socket.end();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      done.error = error.code ?? error.message;
    });
    socket.on('close', () => {
      progress();
      if (socket.bytesWritten === 0 && done.error === '') done.error = 'closed';
      finish(done);
      resolve();
    });
  });
}

/** A question by UDP from a port of its own, asked again each second, as resolvers do. */
function query(): void {
  const done = begin('query');
  const question = randomBytes(24);
  const answer = createHash('sha256').update(question).digest('hex');
  const socket = createSocket('udp4');
  let tries = 0;
  const close = () => {
    clearInterval(again);
    socket.close();
    finish(done);
  };
  const ask = () => {
    if (tries++ === TRIES) {
      done.error = 'no answer';
      close();
    } else socket.send(question, QUERY_PORT, server, () => {});
  };
  const again = setInterval(ask, TRY_MS);
  socket.on('error', () => {});
  socket.on('message', (message) => {
    done.bytes = message.length;
    done.wrong = message.toString('latin1') !== answer;
    if (done.wrong) done.error = 'another answer';
    done.stall = clock() - done.begin;
    done.stallAt = clock();
    close();
  });
  ask();
}

process.stdin.once('data', () => {
  for (const done of open) {
    done.error = 'not over';
    finish(done);
  }
  process.exit(0);
});
process.stdin.resume();
const asking = setInterval(() => {
  if (clock() < END - LAST_BEGIN) query();
  else clearInterval(asking);
}, QUERY_MS);
await Promise.all(Array.from({ length: Number(transfers) }, (_, place) => keepBusy(place)));
console.log('{"over":true}');
