/*
 * The seccomp filter of the packet engine: what it may ask of the kernel once it has everything.
 *
 *     other architecture, x32 ──▶ kill
 *     a call of the table (seccomp-calls.h), its argument as it says ──▶ allow
 *     tgkill to its own process ──▶ allow        rt_sigaction ──▶ allow, but a change for SIGSYS ──▶ kill
 *     newfstatat ──▶ EBADF                       all else ──▶ trap
 *
 * A trap does not make the call: the kernel sends SIGSYS, whose handler writes the number of the call to stderr and
 * then asks for what is killed. So the process ends of SIGSYS either way, and says of what. No one can take the
 * handler away, since the filter kills whoever tries, and to block the signal does not help: the kernel ends a
 * process that blocks a signal it is forced to take (so it does not say a word of a thread, which the C library makes
 * with all signals blocked). A process that runs foreign code could overwrite the handler
 * and live; its forbidden calls would still not be made.
 *
 * The kernel keeps the answer to a call that does not depend on arguments (Linux 5.11), so these cost nothing; older
 * kernels walk the list, hence its order.
 *
 * Limits: x86_64 and aarch64; ENOSYS elsewhere. Values of arguments are compared by their low half: each of those
 * compared is an int for the kernel, which ignores the other.
 */
#include "addon.h"
#include "call.h"
#include "error.h"
#include "seccomp-calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0
#endif

/* Calls of x32 have this bit, on x86_64 only. */
#define X32_BIT 0x40000000u

typedef struct {
  const char *name;
  uint32_t number;
  int argument; /* -1: whatever they are */
  uint32_t mask;
  uint32_t value;
  const char *why;
} Allowed;

#define ALLOW(call, why) {#call, SYS_##call, -1, 0, 0, why},
#define ALLOW_IF(call, argument, mask, value, why) {#call, SYS_##call, argument, mask, (uint32_t)(value), why},

static const Allowed allowed[] = {SECCOMP_CALLS(ALLOW, ALLOW_IF)};

#define ALLOWED_COUNT (sizeof allowed / sizeof *allowed)
/* At most six for a call of the table, and some for the rest. */
#define MOST_INSTRUCTIONS (ALLOWED_COUNT * 6 + 32)

typedef struct {
  struct sock_filter code[MOST_INSTRUCTIONS];
  unsigned short length;
} Program;

static void put(Program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no) {
  program->code[program->length++] = (struct sock_filter){code, yes, no, k};
}

static void load(Program *program, size_t offset) {
  put(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Goes on where A is `value`, else passes over the next `otherwise` instructions. */
static void require(Program *program, uint32_t value, uint8_t otherwise) {
  put(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, otherwise);
}

static void answer(Program *program, uint32_t action) {
  put(program, BPF_RET | BPF_K, action, 0, 0);
}

/* Low half of an argument; both architectures are little endian. */
static size_t argument_at(int argument) {
  return offsetof(struct seccomp_data, args) + 8 * (size_t)argument;
}

/* A holds the number of the call before and after, unless an answer was given. */
static void allow(Program *program, const Allowed *call) {
  if (call->argument < 0) {
    require(program, call->number, 1);
  } else {
    require(program, call->number, 5);
    load(program, argument_at(call->argument));
    put(program, BPF_ALU | BPF_AND | BPF_K, call->mask, 0, 0);
    require(program, call->value, 1);
    answer(program, SECCOMP_RET_ALLOW);
    load(program, offsetof(struct seccomp_data, nr));
    return;
  }
  answer(program, SECCOMP_RET_ALLOW);
}

static void make_program(Program *program, pid_t process) {
  program->length = 0;
  load(program, offsetof(struct seccomp_data, arch));
  put(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
  answer(program, SECCOMP_RET_KILL_PROCESS);
  load(program, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
  put(program, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
  answer(program, SECCOMP_RET_KILL_PROCESS);
#endif
  for (size_t i = 0; i < ALLOWED_COUNT; i++) allow(program, &allowed[i]);
  const Allowed to_itself = {"tgkill", SYS_tgkill, 0, UINT32_MAX, (uint32_t)process, ""};
  allow(program, &to_itself);
  require(program, SYS_rt_sigaction, 8);
  load(program, argument_at(0));
  require(program, SIGSYS, 5);
  load(program, argument_at(1));
  require(program, 0, 2);
  load(program, argument_at(1) + 4);
  put(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0);
  answer(program, SECCOMP_RET_KILL_PROCESS);
  answer(program, SECCOMP_RET_ALLOW);
  /* Some C libraries make fstat() of it. It could name a path; Node takes a standard stream for closed, and goes on. */
  require(program, SYS_newfstatat, 1);
  answer(program, SECCOMP_RET_ERRNO | EBADF);
  answer(program, SECCOMP_RET_TRAP);
}

/* In a signal handler: no library. Returns the end of what was written. */
static char *put_text(char *at, const char *text) {
  while (*text != 0) *at++ = *text++;
  return at;
}

static char *put_number(char *at, unsigned number) {
  char digits[10];
  int count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  while (count > 0) *at++ = digits[--count];
  return at;
}

static void report(int signal, siginfo_t *info, void *context) {
  (void)context;
  char line[128];
  char *end = put_text(line, "natgate: the packet engine made system call ");
  end = put_number(end, (unsigned)info->si_syscall);
  end = put_text(end, ", which its sandbox forbids\n");
  ssize_t written = write(STDERR_FILENO, line, (size_t)(end - line));
  (void)written;
  struct sigaction none = {.sa_handler = SIG_DFL};
  sigaction(signal, &none, NULL);
  _exit(128 + SIGSYS);
}

napi_value seccomp_filter(napi_env env, napi_callback_info info) {
  Call call;
  int64_t process;
  Program program;
  if (!call_begin(&call, env, info, "seccompFilter") || !take_int(&call, 0, "pid", 1, INT32_MAX, &process)) return NULL;
  make_program(&program, (pid_t)process);
  return copy_to_uint8array(env, program.code, program.length * sizeof *program.code);
}

napi_value seccomp_calls(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value list;
  if (napi_create_array(env, &list) != napi_ok) return NULL;
  for (size_t i = 0; i < ALLOWED_COUNT; i++) {
    napi_value entry, name, why;
    if (napi_create_object(env, &entry) != napi_ok ||
        napi_create_string_utf8(env, allowed[i].name, NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_string_utf8(env, allowed[i].why, NAPI_AUTO_LENGTH, &why) != napi_ok ||
        napi_set_named_property(env, entry, "name", name) != napi_ok ||
        napi_set_named_property(env, entry, "number", int_value(env, (int32_t)allowed[i].number)) != napi_ok ||
        napi_set_named_property(env, entry, "why", why) != napi_ok ||
        napi_set_element(env, list, (uint32_t)i, entry) != napi_ok)
      return NULL;
  }
  return list;
}

napi_value seccomp_enter(napi_env env, napi_callback_info info) {
  (void)info;
  if (ARCHITECTURE == 0) return throw_errno(env, ENOSYS, "seccomp", "limit the system calls of this architecture");
  struct sigaction action = {.sa_sigaction = report, .sa_flags = SA_SIGINFO};
  sigfillset(&action.sa_mask);
  if (sigaction(SIGSYS, &action, NULL) < 0) return throw_errno(env, errno, "sigaction", "limit system calls");
  Program program;
  make_program(&program, getpid());
  const struct sock_fprog filter = {.len = program.length, .filter = program.code};
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
  /* Positive: a thread that has a filter of its own. */
  if (result != 0) return throw_errno(env, result > 0 ? EBUSY : errno, "seccomp", "limit system calls");
  return undefined(env);
}
