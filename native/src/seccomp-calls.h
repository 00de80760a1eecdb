/*
 * What a packet engine that has loaded everything may still ask of the kernel, and why. All else ends the process.
 *
 * ALLOW(call, why), or ALLOW_IF(call, argument, mask, value, why): only where the argument's low 32 bits, masked,
 * are the value. In the order in which they are looked at: the calls of the hot path first. A call that one
 * architecture lacks is left out there.
 *
 * What is not here, on purpose: every call that takes a path or makes a descriptor, a process or a thread; signals to
 * others; ids, namespaces, bpf, ptrace, io_uring.
 */
#ifndef NATGATE_SECCOMP_CALLS_H
#define NATGATE_SECCOMP_CALLS_H

#include <asm/ioctls.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* clang-format off */
#define SECCOMP_CALLS(ALLOW, ALLOW_IF) \
  /* The hot path. */ \
  ALLOW(readv, "a packet from a queue") \
  ALLOW(writev, "a packet to a queue; a message to the supervisor") \
  ALLOW(ppoll, "the wait for packets") \
  HOT_OF_X86(ALLOW) \
  ALLOW(futex, "locks and waits of all threads") \
  ALLOW(read, "the wake-up of a worker; a message of the supervisor") \
  ALLOW(write, "the wake-up of a worker; the last words on stderr") \
  ALLOW(epoll_pwait, "the event loop of the main thread") \
  ALLOW(clock_gettime, "the time, where the kernel does not offer it without a call") \
  ALLOW(sched_yield, "a thread that waits for another") \
  /* Memory: without files. */ \
  ALLOW_IF(mmap, 3, MAP_ANONYMOUS, MAP_ANONYMOUS, "heap; never of a file") \
  ALLOW(munmap, "heap that is no longer wanted") \
  ALLOW(mremap, "heap: a large block grows") \
  ALLOW(mprotect, "the compiler writes code, then makes it executable") \
  ALLOW(pkey_mprotect, "the same, in newer versions of Node") \
  ALLOW(madvise, "the heap gives pages back") \
  ALLOW(brk, "heap of the C library") \
  ALLOW(membarrier, "the compiler changes code that other threads run") \
  /* The channel to the supervisor, and the event loop. */ \
  ALLOW(recvmsg, "a message of the supervisor") \
  ALLOW(sendmsg, "a message to the supervisor") \
  ALLOW(shutdown, "the channel closes") \
  ALLOW(epoll_ctl, "the event loop changes what it waits for") \
  ALLOW(close, "the channel closes; the end of the process") \
  ALLOW_IF(ioctl, 1, UINT32_MAX, FIONBIO, "the channel does not block") \
  /* Time. */ \
  ALLOW(clock_getres, "the precision of a clock") \
  ALLOW(clock_nanosleep, "a thread that waits") \
  ALLOW(nanosleep, "a thread that waits") \
  ALLOW(gettimeofday, "the time, where the kernel does not offer it without a call") \
  ALLOW(restart_syscall, "a wait that a stopped process goes on with") \
  /* What a process may know of itself. */ \
  ALLOW(getpid, "its number") \
  ALLOW(gettid, "the number of a thread") \
  ALLOW(getppid, "whether the supervisor lives") \
  ALLOW(getuid, "its account") \
  ALLOW(geteuid, "its account") \
  ALLOW(getgid, "its account") \
  ALLOW(getegid, "its account") \
  ALLOW(getcpu, "the processor it runs on") \
  ALLOW(sched_getaffinity, "the number of processors") \
  ALLOW(getrusage, "the processor time of the process") \
  ALLOW(times, "the processor time of the process") \
  ALLOW(sysinfo, "how much memory there is") \
  ALLOW(uname, "the version of the kernel") \
  ALLOW(getrandom, "keys and port numbers") \
  ALLOW_IF(prctl, 0, UINT32_MAX, PR_SET_NAME, "the name of a thread") \
  ALLOW_IF(prctl, 0, UINT32_MAX, PR_SET_VMA, "the name of a piece of the heap") \
  /* Signals to itself, and the end. */ \
  ALLOW(rt_sigreturn, "back from a handler") \
  ALLOW(rt_sigprocmask, "the end of a thread; the abort of the process") \
  ALLOW(sigaltstack, "the end of a thread") \
  ALLOW(fstat, "the end of the process: are the standard streams open") \
  ALLOW_IF(fcntl, 1, UINT32_MAX, F_GETFL, "the end of the process: how the standard streams were") \
  ALLOW_IF(fcntl, 1, UINT32_MAX, F_SETFL, "the end of the process: as the standard streams were") \
  ALLOW(exit, "the end of a thread") \
  ALLOW(exit_group, "the end of the process")

/* Calls that newer architectures have under another name only. */
#if defined(__x86_64__)
#define HOT_OF_X86(ALLOW) \
  ALLOW(poll, "the wait for packets") \
  ALLOW(epoll_wait, "the event loop of the main thread")
#else
#define HOT_OF_X86(ALLOW)
#endif
/* clang-format on */

#endif
