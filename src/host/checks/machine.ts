/** What natgate needs of the kernel and of its own process, whatever the interfaces. */
import { closeSync, existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { isSystemError, NatgateError } from '../../core/errors.ts';
import { addon } from '../../link/addon.ts';
import { linkNamed } from '../netlink/links.ts';
import { addClsact, attachProgram } from '../netlink/tc.ts';
import { type Check, fail, ok } from './check.ts';

const BPF_PROG_TYPE_SCHED_CLS = 3;
/** r0 = TC_ACT_UNSPEC (-1); exit */
const PASS_PROGRAM = Uint8Array.from([0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x95, 0, 0, 0, 0, 0, 0, 0]);

export function checkKernel(platform: string = process.platform, version = release()): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (platform === 'linux' && (major > 5 || (major === 5 && minor >= 10))) {
    return ok('kernel', `Linux ${version}`);
  }
  return fail(
    'kernel',
    'kernel_too_old',
    `${platform === 'linux' ? 'Linux' : platform} ${version}`,
    'natgate steers packets with bpf_redirect_neigh and a next hop, which Linux has since 5.10',
    'boot Linux 5.10 or later',
  );
}

export function checkAddon(): Check {
  try {
    addon();
    return ok('addon', 'the native addon loads');
  } catch (error) {
    const hint = error instanceof NatgateError ? error.hint : '';
    return fail(
      'addon',
      'addon_missing',
      (error as Error).message,
      'packets and netlink go through it',
      hint || 'run `npm rebuild` in the folder of natgate',
    );
  }
}

/** Capabilities (linux/capability.h): a need is met by any of its numbers. */
const CAPABILITIES: readonly { name: string; numbers: readonly number[]; why: string }[] = [
  { name: 'CAP_NET_ADMIN', numbers: [12], why: 'to make TUN devices and attach filters' },
  { name: 'CAP_BPF', numbers: [39, 21], why: 'to load the steering programs' },
  { name: 'CAP_PERFMON', numbers: [38, 21], why: 'for the arithmetic with pointers in them' },
  { name: 'CAP_SETUID', numbers: [7], why: 'to run the packet engine as an unprivileged user' },
  { name: 'CAP_SETGID', numbers: [6], why: 'to run the packet engine as an unprivileged user' },
];

export function checkCapabilities(status = readFileSync('/proc/self/status', 'utf8')): Check {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  const has = (capability: number) => ((effective >> BigInt(capability)) & 1n) === 1n;
  const missing = CAPABILITIES.filter(({ numbers }) => !numbers.some(has));
  if (missing.length === 0) return ok('privileges', 'the capabilities natgate needs are there');
  return fail(
    'privileges',
    'not_permitted',
    `missing ${missing.map(({ name }) => name).join(', ')}`,
    [...new Set(missing.map(({ why }) => why))].join('; '),
    'run natgate as root (sudo); in a container: --cap-add NET_ADMIN --cap-add BPF --cap-add PERFMON',
  );
}

/**
 * TUN, BPF and clsact are tried for real, on a TUN device of the probe's own: it is never up, has no address, and the
 * kernel removes it with all that hangs on it when its descriptor is closed, even if this process dies.
 */
export function checkDevices(): Check[] {
  let tun: number;
  try {
    tun = addon().tunOpen(probeName()).fd;
  } catch (error) {
    return [tunFailure(error), ...checkBpf((fd) => closeSync(fd))];
  }
  try {
    const checks: Check[] = [ok('tun', 'TUN devices can be made')];
    const bpf = checkBpf((program) => {
      checks.push(checkClsact(program));
      closeSync(program);
    });
    return [...checks, ...bpf];
  } finally {
    closeSync(tun);
  }
}

function probeName(): string {
  return `ngprobe${process.pid}`;
}

function tunFailure(error: unknown): Check {
  const why = 'natgate takes packets from the kernel through TUN devices';
  const message = (error as Error).message;
  if (!existsSync('/dev/net/tun') || isSystemError(error, 'ENODEV') || isSystemError(error, 'ENXIO')) {
    return fail(
      'tun',
      'tun_missing',
      existsSync('/dev/net/tun') ? `the kernel has no TUN driver (${message})` : 'there is no /dev/net/tun',
      why,
      '`modprobe tun`; if only the file is missing: `mkdir -p /dev/net && mknod /dev/net/tun c 10 200`; in a container: --device /dev/net/tun',
    );
  }
  return fail(
    'tun',
    'tun_missing',
    `a TUN device could not be made (${message})`,
    why,
    isSystemError(error, 'EPERM') || isSystemError(error, 'EACCES')
      ? 'run natgate as root; in a container: --cap-add NET_ADMIN --device /dev/net/tun'
      : 'the kernel must support multi-queue TUN devices with offloads (Linux 5.10 or later)',
  );
}

/** Hands the loaded program over; the receiver closes it. */
function checkBpf(use: (program: number) => void): Check[] {
  let program: number;
  try {
    program = addon().bpfProgLoad(BPF_PROG_TYPE_SCHED_CLS, PASS_PROGRAM, 'natgate_probe');
  } catch (error) {
    return [
      fail(
        'bpf',
        'bpf_unavailable',
        `a BPF program could not be loaded (${(error as Error).message})`,
        'small BPF programs steer packets between the interfaces and natgate',
        isSystemError(error, 'EPERM') || isSystemError(error, 'EACCES')
          ? 'run natgate as root; in a container: --cap-add BPF (and a seccomp profile that allows bpf); before Linux 5.11 also `ulimit -l unlimited`'
          : 'use a kernel built with CONFIG_BPF_SYSCALL',
      ),
    ];
  }
  use(program);
  return [ok('bpf', 'BPF programs can be loaded')];
}

function checkClsact(program: number): Check {
  try {
    const index = linkNamed(probeName())?.index ?? 0;
    addClsact(index);
    attachProgram({ interface: index, priority: 1, handle: 1 }, program, 'natgate:probe');
    return ok('tc', 'clsact filters can be attached');
  } catch (error) {
    return fail(
      'tc',
      'clsact_unavailable',
      `a BPF filter could not be attached (${(error as Error).message})`,
      'the steering programs are clsact filters',
      '`modprobe -a sch_ingress cls_bpf`; else use a kernel built with CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF',
    );
  }
}
