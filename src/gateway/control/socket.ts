/**
 * The control socket as a file: there from the first moment with the right mode and group, never two gateways', never left behind.
 *
 *     bind in a folder of root's alone ─▶ chown, chmod ─▶ rename to its place
 *
 * A socket that nobody listens on is a dead gateway's and is replaced; one that somebody listens on, and whatever is no socket, is refused.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
} from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { isSystemError, NatgateError } from '../../core/errors.ts';

export interface SocketPlace {
  path: string;
  mode: number;
  /** Null: that of the process. */
  gid: number | null;
}

/** Folders in which a socket is made ready begin with it; one that is there when nobody starts is a killed gateway's. */
export const UNREADY_PREFIX = '.control-';

/** sun_path with its zero byte. */
const MAX_PATH_BYTES = 107;
const LOOK_MS = 5000;

/** Throws NatgateError `control_in_use` when that place is somebody else's. */
export async function requireFree(path: string): Promise<void> {
  const there = statOf(path);
  if (there === null) return;
  if (!there.isSocket()) {
    throw new NatgateError('control_in_use', `${path} is no socket`, 'name another path for control.socket');
  }
  if (await isListening(path)) {
    throw new NatgateError(
      'control_in_use',
      `another process listens on ${path}`,
      'stop that gateway, or name another path for control.socket',
    );
  }
}

/** Resolves with what takes the socket away when it listens. */
export async function listenAt(server: Server, { path, mode, gid }: SocketPlace): Promise<() => void> {
  await requireFree(path);
  const folder = makeFolder(dirname(path));
  const first = join(folder, 's');
  try {
    if (Buffer.byteLength(first) > MAX_PATH_BYTES) {
      throw new NatgateError(
        'control_failed',
        `the folder of ${path} has too long a path`,
        'name a shorter one',
      );
    }
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(first, () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
    chownSync(first, process.getuid?.() ?? 0, gid ?? process.getgid?.() ?? 0);
    chmodSync(first, mode);
    renameSync(first, path);
  } catch (error) {
    server.close();
    rmSync(first, { force: true });
    throw error instanceof NatgateError ? error : failed(path, error);
  } finally {
    rmdirSync(folder);
  }
  const { ino } = lstatSync(path);
  return () => {
    server.close();
    // By now it may be the next gateway's.
    if (statOf(path)?.ino === ino) rmSync(path, { force: true });
  };
}

/**
 * As `listenAt`, and again whenever the socket is not there any more: somebody has emptied the folder. `say` hears of it. Those who are
 * connected stay so.
 */
export async function keepListening(
  server: Server,
  place: SocketPlace,
  say: (line: string) => void,
): Promise<() => void> {
  let stop = await listenAt(server, place);
  let isBusy = false;
  let saidFailure = false;
  const again = async () => {
    stop();
    mkdirSync(dirname(place.path), { recursive: true, mode: 0o755 });
    stop = await listenAt(server, place);
    say(`${place.path} was removed: made anew`);
    saidFailure = false;
  };
  const timer = setInterval(() => {
    if (isBusy || statOf(place.path) !== null) return;
    isBusy = true;
    again()
      .catch((error: Error) => {
        if (!saidFailure) say(`${place.path} was removed, and could not be made anew: ${error.message}`);
        saidFailure = true;
      })
      .finally(() => {
        isBusy = false;
      });
  }, LOOK_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    stop();
  };
}

function makeFolder(parent: string): string {
  try {
    return mkdtempSync(join(parent, UNREADY_PREFIX));
  } catch (error) {
    throw failed(parent, error);
  }
}

function failed(path: string, cause: unknown): NatgateError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new NatgateError('control_failed', `no control socket at ${path}: ${why}`, 'name another path', {
    cause,
  });
}

function statOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR')) return null;
    throw error;
  }
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    // A full queue of connections is a listener's, too.
    socket.once('error', (error) => end(isSystemError(error, 'EAGAIN')));
  });
}
