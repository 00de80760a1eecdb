/**
 * The addon with arguments of every kind, for the sanitizers (native/check.js), which see what only seems to go well: wrong types,
 * lengths and offsets that are nonsense, descriptors that are closed or of another kind, arrays that are empty, detached, or change
 * while they are read.
 *
 *     node hostile.mjs ADDON CALLS SEED
 *
 * Run it in a network namespace of its own. It touches no descriptor but its own.
 */
import { closeSync, ftruncateSync, openSync, unlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';

const [, , path, calls = '20000', seedText = '1'] = process.argv;
const addon = createRequire(import.meta.url)(path);

/** What would change this process for good is called with nothing that is valid. */
const IRREVERSIBLE =
  /seccomp|landlock|capabilit|resourceLimit|undumpable|closeOnExec|noNewPriv|deathSignal|timeSlice/i;

let dice = Number(seedText) | 1;
function roll(limit) {
  dice ^= dice << 13;
  dice ^= dice >>> 17;
  dice ^= dice << 5;
  return (dice >>> 0) % limit;
}
const one = (list) => list[roll(list.length)];

const file = `${tmpdir()}/natgate-hostile-${process.pid}`;
const open = [];
const own = (fd) => {
  open.push(fd);
  return fd;
};
function attempt(make) {
  try {
    return make();
  } catch {
    return null;
  }
}
const temporary = own(openSync(file, 'w+'));
ftruncateSync(temporary, 1 << 20);
unlinkSync(file);
own(openSync('/dev/null', 'r+'));
own(openSync('/dev/full', 'r+'));
own(addon.eventfd());
for (let i = 0; i < 2; i++) {
  const tun = attempt(() => addon.tunOpen(`hostile${i}`));
  if (tun !== null) own(tun.fd);
}
for (const groups of [[], [1]]) {
  const socket = attempt(() => addon.netlinkOpen(0, groups));
  if (socket !== null) own(socket);
}
for (const type of [1, 2]) {
  const map = attempt(() => addon.bpfMapCreate(type, 4, 8, 4, 0, 'hostile'));
  if (map !== null) own(map);
}
const program = attempt(() =>
  addon.bpfProgLoad(3, Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), 'hostile'),
);
if (program !== null) own(program);
const closed = openSync('/dev/null', 'r');
closeSync(closed);

function detached() {
  const bytes = new Uint8Array(64);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

/** An array whose elements do something when they are looked at. */
function treacherous() {
  const list = [0, 1, 2];
  Object.defineProperty(list, 1, {
    get() {
      list.length = roll(3);
      if (roll(2) === 0) throw new Error('no');
      return one(open);
    },
  });
  return list;
}

/** A netlink message that is answered at once: with an acknowledgement. */
function message() {
  const bytes = Buffer.alloc(16 + roll(64));
  for (let i = 16; i < bytes.length; i++) bytes[i] = roll(256);
  bytes.writeUInt32LE(roll(200) === 0 ? roll(2 ** 31) : bytes.length, 0);
  bytes.writeUInt16LE(one([16, 18, 20, 22, 24, 26, 28, 36, 44, roll(65_536)]), 4);
  bytes.writeUInt16LE(5 | (roll(2) * 0x300), 6);
  bytes.writeUInt32LE(1 + roll(1000), 8);
  return new Uint8Array(bytes);
}

function bytes() {
  const array = new Uint8Array(one([0, 1, 3, 4, 7, 8, 10, 14, 16, 20, 64, 100, 4096, 70_000]));
  for (let i = 0; i < Math.min(array.length, 64); i++) array[i] = roll(256);
  return roll(3) === 0 ? array.subarray(roll(array.length + 1)) : array;
}

const NUMBERS = [
  0,
  1,
  2,
  3,
  4,
  8,
  14,
  16,
  255,
  1024,
  4096,
  65_535,
  65_536,
  2 ** 20,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  -1,
  -0,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];
const STRANGE = [
  () => undefined,
  () => null,
  () => true,
  () => false,
  () => Symbol('x'),
  () => 10n,
  () => ({}),
  () => ({ valueOf: () => one(open) }),
  () => new Proxy(new Uint8Array(8), {}),
  () => new Proxy([], { get: () => one(open) }),
  () => new Uint16Array(8),
  () => new DataView(new ArrayBuffer(8)),
  () => new ArrayBuffer(8),
  () => new Uint8Array(new SharedArrayBuffer(16)),
  () => new Array(2 ** 32 - 1),
  () => 'a'.repeat(roll(5000)),
  () => 'x\0y',
  () => '\ud800',
  detached,
  treacherous,
];

function argument(isHarmless) {
  switch (roll(isHarmless ? 7 : 1)) {
    case 0:
      return one(STRANGE)();
    case 1:
      return one(open);
    case 2:
      return one(NUMBERS);
    case 3:
      return bytes();
    case 4:
      return one(['', 'lo', 'hostile0', 'hostile9', '@nobody', '/nowhere', 'name']);
    case 5:
      return one([
        [],
        [one(open)],
        [one(open), one(open)],
        Array(17).fill(one(open)),
        [closed],
        [-1],
        [0.5],
        () => {},
        true,
        false,
      ]);
    default:
      return roll(3) === 0 ? closed : message();
  }
}

/** An exchange with lists that are nonsense. */
function exchange() {
  const fds = Array.from({ length: 1 + roll(3) }, () => one(open));
  const made = attempt(() => addon.exchangeOpen(fds, addon.eventfd ? one(open) : 0));
  if (made === null) return;
  const layout = made.describe();
  const words = new Int32Array(made.arena);
  for (let n = 0; n < 4; n++) {
    for (let i = 0; i < 1024; i++) {
      const out = (layout.OUT_LIST >> 2) + i;
      words[out] =
        roll(4) === 0 ? roll(2 ** 32) : i % 2 === 0 ? (roll(3) << 16) | roll(layout.SLOTS) : roll(70_000);
    }
    for (let i = 0; i < 2000; i++)
      words[(layout.HEADERS >> 2) + roll((layout.ARENA_BYTES - layout.HEADERS) >> 2)] = roll(2 ** 32);
    attempt(() => made.run(one([0, 1, 64, 512, 513, 2 ** 31 - 1, -1, roll(600)]), one([0, 1])));
    attempt(() => made.flush(one([0, 1, 512, 600, -1, Number.NaN, undefined])));
    attempt(() => made.run(...Array.from({ length: roll(3) }, () => one(STRANGE)())));
  }
  if (roll(2) === 0) made.close();
  attempt(() => made.run(1, 0));
  if (roll(4) === 0) structuredClone(made.arena, { transfer: attempt(() => [made.arena]) ?? [] });
  attempt(() => made.run(1, 0));
}

const TAKES_DESCRIPTOR =
  /^(tunSet|tunName|unix(Accept|SendFds|ReceiveFds)|eventfdWake|bpfMap(Update|Delete|Lookup|NextKey)|bpfProgRun|mmap|fallocate|netlinkRe|watchReadable)/;

/** Descriptors that are not ours but Node's, gigabytes, and waits of five seconds for an answer are not what is looked for. */
function tame(name, args) {
  const isForeign = (value) => Number.isInteger(value) && value >= 0 && value < 1000 && !open.includes(value);
  const at = name === 'exchangeOpen' ? 1 : TAKES_DESCRIPTOR.test(name) ? 0 : -1;
  if (at >= 0 && isForeign(args[at])) args[at] = one(open);
  if (name === 'tunSetSteering' && isForeign(args[1])) args[1] = one(open);
  if (name === 'netlinkRequest' && roll(200) !== 0) args[1] = message();
  const most = name === 'fallocate' ? 2 ** 20 : name === 'bpfMapCreate' ? 4096 : 2 ** 53;
  for (let i = 1; i < args.length; i++) if (typeof args[i] === 'number' && args[i] > most) args[i] = most;
}

/** Without arguments they do what they are for, for good. */
const AT_ONCE = ['seccompEnter', 'landlockNothing', 'undumpable', 'noNewPrivileges'];
const functions = Object.entries(addon).filter(
  ([name, value]) => typeof value === 'function' && !AT_ONCE.includes(name),
);
let returned = 0;
let refused = 0;
const watches = [];
for (let n = 0; n < Number(calls); n++) {
  if (n % 50 === 0) exchange();
  const [name, call] = one(functions);
  const isHarmless = !IRREVERSIBLE.test(name);
  const args = Array.from({ length: isHarmless ? roll(7) : 1 + roll(6) }, () => argument(isHarmless));
  if (!isHarmless && args.every((arg) => arg === undefined || arg === null)) continue;
  tame(name, args);
  try {
    const result = call(...args);
    returned++;
    if (typeof result === 'number' && /Open|Create|Load|eventfd/.test(name)) {
      if (open.length < 64) own(result);
      else closeSync(result);
    } else if (result !== null && typeof result === 'object') {
      if (typeof result.fd === 'number') closeSync(result.fd);
      if (typeof result.close === 'function' && name === 'watchReadable') watches.push(result);
      if (result instanceof ArrayBuffer) attempt(() => new Uint8Array(result)[roll(4096)]);
    }
  } catch (error) {
    refused++;
    if (!(error instanceof Error) || error.message === '') throw error;
  }
  while (watches.length > 8) watches.shift().close();
  if (n % 500 === 0) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
for (const watch of watches) watch.close();
console.log(
  `hostile: ${calls} calls of ${functions.length} functions, ${returned} returned, ${refused} refused`,
);
process.exit(0);
