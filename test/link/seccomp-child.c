/*
 * Makes system calls under the filter that comes on stdin (struct sock_filter[]), each in a child of its own, and says how each child
 * ended: a line `NAME signal N`, or `NAME returned VALUE` (negative: -errno). `seccomp-child PATH`: calls with sensible arguments, some of
 * which would change PATH. `seccomp-child PATH FROM TO`: the calls with these numbers, with arguments of 0.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

static struct sock_filter code[4096];
static struct sock_fprog filter = {.filter = code};
static const char *path;
static char *const nothing[] = {NULL};
static struct sockaddr_in somewhere = {.sin_family = AF_INET, .sin_port = 0x5000};
static char zeros[256];

#define CALLS(CALL) \
  CALL("openat read", SYS_openat, AT_FDCWD, path, O_RDONLY) \
  CALL("openat write", SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600) \
  CALL("unlinkat", SYS_unlinkat, AT_FDCWD, path, 0) \
  CALL("fchmodat", SYS_fchmodat, AT_FDCWD, path, 0777) \
  CALL("fchownat", SYS_fchownat, AT_FDCWD, path, 1, 1, 0) \
  CALL("fchmod", SYS_fchmod, 0, 0777) \
  CALL("socket", SYS_socket, AF_INET, SOCK_DGRAM, 0) \
  CALL("socket netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0) \
  CALL("socketpair", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, zeros) \
  CALL("connect", SYS_connect, 0, &somewhere, sizeof somewhere) \
  CALL("sendto", SYS_sendto, 0, zeros, 1, 0, &somewhere, sizeof somewhere) \
  CALL("bind", SYS_bind, 0, &somewhere, sizeof somewhere) \
  CALL("execve", SYS_execve, "/bin/true", nothing, nothing) \
  CALL("execveat", SYS_execveat, 0, "", nothing, nothing, AT_EMPTY_PATH) \
  CALL("clone process", SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) \
  CALL("clone thread", SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, NULL, NULL, NULL, NULL) \
  CALL("ptrace", SYS_ptrace, 16, getppid(), 0, 0) \
  CALL("process_vm_readv", SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) \
  CALL("mount", SYS_mount, "none", "/mnt", "tmpfs", 0, NULL) \
  CALL("bpf", SYS_bpf, 0, zeros, sizeof zeros) \
  CALL("kill init", SYS_kill, 1, 0) \
  CALL("kill itself", SYS_kill, getpid(), 0) \
  CALL("tgkill another", SYS_tgkill, getppid(), getppid(), 0) \
  CALL("unshare", SYS_unshare, CLONE_NEWUSER) \
  CALL("setns", SYS_setns, 0, 0) \
  CALL("setuid", SYS_setuid, 0) \
  CALL("setresuid", SYS_setresuid, 0, 0, 0) \
  CALL("capset", SYS_capset, zeros, zeros) \
  CALL("chroot", SYS_chroot, "/") \
  CALL("io_uring_setup", SYS_io_uring_setup, 1, zeros) \
  CALL("pidfd_open", SYS_pidfd_open, getppid(), 0) \
  CALL("memfd_create", SYS_memfd_create, "x", 0) \
  CALL("dup", SYS_dup, 1) \
  CALL("prlimit64", SYS_prlimit64, 0, 7, zeros, NULL) \
  CALL("seccomp", SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) \
  CALL("mmap of a file", SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, 0, 0) \
  CALL("mmap without a file", SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) \
  CALL("ioctl TUNSETIFF", SYS_ioctl, 0, 0x400454ca, zeros) \
  CALL("ioctl TIOCSTI", SYS_ioctl, 0, 0x5412, zeros) \
  CALL("ioctl FIONBIO", SYS_ioctl, -1, 0x5421, zeros) \
  CALL("fcntl F_DUPFD", SYS_fcntl, 1, F_DUPFD, 0) \
  CALL("fcntl F_SETOWN", SYS_fcntl, 1, 8, getppid()) \
  CALL("fcntl F_GETFL", SYS_fcntl, -1, F_GETFL, 0) \
  CALL("prctl PR_SET_DUMPABLE", SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0) \
  CALL("prctl PR_SET_PDEATHSIG", SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0) \
  CALL("prctl PR_SET_NAME", SYS_prctl, PR_SET_NAME, "name", 0, 0, 0) \
  CALL("rt_sigaction SIGSYS", SYS_rt_sigaction, SIGSYS, zeros, NULL, 8) \
  CALL("rt_sigaction SIGSYS query", SYS_rt_sigaction, SIGSYS, NULL, zeros, 8) \
  CALL("rt_sigaction SIGUSR1", SYS_rt_sigaction, SIGUSR1, zeros, NULL, 8) \
  CALL("newfstatat", SYS_newfstatat, AT_FDCWD, path, zeros, 0) \
  CALL("fstat", SYS_fstat, -1, zeros) \
  CALL("readv", SYS_readv, -1, NULL, 0) \
  CALL("write nowhere", SYS_write, -1, zeros, 1) \
  CALL("futex wake", SYS_futex, zeros, 1, 0, NULL, NULL, 0) \
  CALL("getrandom", SYS_getrandom, zeros, 8, 0) \
  CALL("munmap nothing", SYS_munmap, zeros, 0) \
  CALLS_OF_X86(CALL)

#ifdef __x86_64__
/* getpid of i386, by its own way into the kernel. */
static long old_way(void) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory");
  return result;
}
#define CALLS_OF_X86(CALL) \
  CALL("open", SYS_open, path, O_RDWR) \
  CALL("chmod", SYS_chmod, path, 0777) \
  CALL("fork", SYS_fork) \
  CALL("vfork", SYS_vfork) \
  CALL("getpid of x32", SYS_getpid | 0x40000000)
#else
#define CALLS_OF_X86(CALL)
#endif

/* In a child: under the filter. Its result goes through a pipe, since an exit code holds a byte. */
static void enter(void) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
    _exit(99);
}

static void say(int pipe, long result) {
  long value = result < 0 ? -errno : result;
  if (write(pipe, &value, sizeof value) < 0) _exit(98);
  syscall(SYS_exit_group, 0);
}

#define ATTEMPT(name, ...) \
  do { \
    int ends[2]; \
    if (pipe(ends) < 0) return 1; \
    pid_t child = fork(); \
    if (child == 0) { \
      alarm(2); \
      enter(); \
      errno = 0; \
      say(ends[1], __VA_ARGS__); \
    } \
    close(ends[1]); \
    long value = 0; \
    int status; \
    ssize_t got = read(ends[0], &value, sizeof value); \
    waitpid(child, &status, 0); \
    close(ends[0]); \
    if (got == sizeof value) printf("%s returned %ld\n", name, value); \
    else if (WIFSIGNALED(status)) printf("%s signal %d\n", name, WTERMSIG(status)); \
    else printf("%s ended %d\n", name, WEXITSTATUS(status)); \
    fflush(stdout); \
  } while (0);
#define ATTEMPT_CALL(name, ...) ATTEMPT(name, syscall(__VA_ARGS__))

int main(int argc, char **argv) {
  size_t bytes = fread(code, 1, sizeof code, stdin);
  filter.len = (unsigned short)(bytes / sizeof *code);
  path = argv[1];
  /* Not the stdin of the filter, but a file. */
  if (filter.len == 0 || freopen("/dev/null", "r", stdin) == NULL) return 1;
  if (argc == 2) {
    CALLS(ATTEMPT_CALL)
#ifdef __x86_64__
    ATTEMPT("getpid of i386", old_way())
#endif
  }
  for (int number = argc > 3 ? atoi(argv[2]) : 1; argc > 3 && number <= atoi(argv[3]); number++) {
    char name[16];
    snprintf(name, sizeof name, "%d", number);
    ATTEMPT_CALL(name, number, 0, 0, 0, 0, 0, 0)
  }
  return 0;
}
