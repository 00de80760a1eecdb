/**
 * A clean Debian below a folder, on a tmpfs of its own, that can be booted: systemd becomes the first process of new namespaces,
 * in the network namespace of a test. `remove` leaves nothing behind, and runs at the end of the process as well.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Background, type CommandResult, type RunOptions, run, until } from './process.ts';
import type { Namespace } from './topology.ts';

/** Nothing of the test's own environment is meant for what runs inside. */
const CLEAN = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL=C'];
const DEBIAN = 'http://deb.debian.org/debian';

/** With the mount, process, host name, IPC and cgroup namespaces made, and `$1` the root. */
const BOOT = `
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o nosuid,nodev,noexec sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/pts dev/shm
for device in null zero full random urandom tty net/tun; do touch dev/$device; mount --bind /dev/$device dev/$device; done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mkdir -p oldroot
pivot_root . oldroot
umount -l /oldroot
exec ${CLEAN.join(' ')} container=natgate-test /lib/systemd/systemd --log-target=console --show-status=0
`;

export class CleanRoot {
  readonly #base: string;
  readonly #cgroups: string;
  readonly #cgroup: string;
  readonly #onExit = () => this.#remove();
  #boot: Background | undefined;
  #systemd = 0;

  private constructor() {
    this.#base = mkdtempSync(join(tmpdir(), 'natgate-root-'));
    this.#cgroups = join(this.#base, 'cgroups');
    this.#cgroup = join(this.#cgroups, `natgate-test-${process.pid}`);
    process.on('exit', this.#onExit);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2G,mode=755', 'tmpfs', this.#base]);
    mkdirSync(this.#cgroups);
  }

  /** Debian's smallest set, and `packages`. */
  static async create(packages: readonly string[]): Promise<CleanRoot> {
    const root = new CleanRoot();
    const suite = /^VERSION_CODENAME=(\w+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
    const options = ['--variant=minbase', `--include=${packages.join(',')}`];
    await run(['debootstrap', ...options, suite, root.path, DEBIAN], { timeoutMs: 400_000 });
    return root;
  }

  get path(): string {
    return join(this.#base, 'root');
  }

  /** Runs a command in the root, which need not be booted. */
  exec(command: string | readonly string[], options?: RunOptions): Promise<CommandResult> {
    const words = typeof command === 'string' ? command.split(' ') : command;
    return run(['chroot', this.path, ...CLEAN, ...words], options);
  }

  /** Boots it in a network namespace. Resolves when systemd has started everything. */
  async boot(network: Namespace): Promise<void> {
    execFileSync('mount', ['-t', 'cgroup2', 'cgroup2', this.#cgroups]);
    mkdirSync(this.#cgroup);
    const unshare =
      'unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --cgroup'.split(' ');
    const script = `echo $$ >${this.#cgroup}/cgroup.procs && exec "$@"`;
    const inside = ['bash', '-c', BOOT, 'boot', this.path];
    const enter = ['nsenter', `--net=/run/netns/${network.name}`];
    this.#boot = new Background(['sh', '-c', script, 'enter', ...enter, ...unshare, ...inside]);
    const { pid } = this.#boot;
    await until(
      'systemd runs',
      async () => {
        if (!this.#boot!.running) throw new Error(`it did not boot:\n${this.#boot!.stderr}`);
        this.#systemd = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
        if (this.#systemd === 0) return false;
        const { stdout } = await this.inside('systemctl is-system-running', { check: false });
        return /^(running|degraded)$/m.test(stdout);
      },
      60_000,
    );
  }

  /** Runs a command beside systemd. */
  inside(command: string | readonly string[], options?: RunOptions): Promise<CommandResult> {
    const words = typeof command === 'string' ? command.split(' ') : command;
    return run(['nsenter', '--target', `${this.#systemd}`, '--all', ...CLEAN, ...words], options);
  }

  /** Ends systemd and everything that it started. */
  async halt(): Promise<void> {
    if (this.#boot?.running) await this.#boot.stop('SIGKILL');
    await until('everything inside has ended', () => !existsSync(`/proc/${this.#systemd}`));
  }

  async remove(): Promise<void> {
    await this.halt();
    process.off('exit', this.#onExit);
    this.#remove();
  }

  #remove(): void {
    if (this.#boot?.running) this.#boot.child.kill('SIGKILL');
    if (existsSync(this.#cgroup)) {
      removeCgroup(this.#cgroup);
      execFileSync('umount', [this.#cgroups]);
    }
    execFileSync('umount', ['--lazy', this.#base]);
    rmdirSync(this.#base);
  }
}

/** Deepest first; one whose processes are still ending is busy for a moment. */
function removeCgroup(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(folder, entry.name));
  }
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      if (tries === 100) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
}
