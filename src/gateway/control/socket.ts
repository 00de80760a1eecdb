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

/** sun_path with its zero byte. */
const MAX_PATH_BYTES = 107;

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

function makeFolder(parent: string): string {
  try {
    return mkdtempSync(join(parent, '.c'));
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
