/** Descriptors over unix sockets, and what belongs to them. */
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addon } from '../../src/link/addon.ts';

describe('unix sockets that carry descriptors', () => {
  let folder: string;
  const open: number[] = [];
  const keep = (fd: number) => {
    open.push(fd);
    return fd;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'natgate-unix-'));
  });
  afterEach(() => {
    for (const fd of open.splice(0)) closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  });

  it('carries text and descriptors, and says who connects', () => {
    const path = join(folder, 's');
    const native = addon();
    const listener = keep(native.unixListen(path));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(native.unixAccept(listener)).toBeNull();
    const near = native.unixConnect(path);
    const peer = native.unixAccept(listener)!;
    keep(peer.fd);
    expect(peer).toMatchObject({ pid: process.pid, uid: process.getuid!() });
    const file = keep(openSync(join(folder, 'file'), 'w'));
    native.unixSendFds(near, Buffer.from('two'), [file, file]);
    native.unixSendFds(near, Buffer.from('none'), []);
    const first = native.unixReceiveFds(peer.fd)!;
    first.fds.forEach(keep);
    expect(Buffer.from(first.data).toString()).toBe('two');
    expect(first.fds.map((fd) => fstatSync(fd).ino)).toEqual([fstatSync(file).ino, fstatSync(file).ino]);
    const second = native.unixReceiveFds(peer.fd)!;
    expect([Buffer.from(second.data).toString(), second.fds]).toEqual(['none', []]);
    expect(native.unixReceiveFds(peer.fd)).toBeNull();
    closeSync(near);
    expect(native.unixReceiveFds(peer.fd)!.data).toHaveLength(0);
  });

  it('takes no place that is taken, and connects to nobody who is not there', () => {
    const path = join(folder, 's');
    keep(addon().unixListen(path));
    expect(() => addon().unixListen(path)).toThrow(/EADDRINUSE/);
    expect(() => addon().unixConnect(join(folder, 'none'))).toThrow(/ENOENT/);
    expect(() => addon().unixSendFds(0, Buffer.from('x'), new Array(254).fill(0))).toThrow(TypeError);
  });

  it('says of what is no queue that it is none', () => {
    const file = keep(openSync(join(folder, 'file'), 'w'));
    expect(addon().tunName(file)).toBeNull();
  });
});
