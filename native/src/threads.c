/*
 * One piece of work on every thread of the process.
 *
 * Capabilities and Landlock belong to threads, not to processes, and a Node process has a dozen that never run our
 * code. The only way to make another thread do something is a signal. It has to be one that nobody can block: Node
 * starts a thread with all signals blocked. The C library keeps such a signal for setuid(), which has the same
 * problem; its handler is replaced for the moment, by the bare system call since the library hides the signal. What
 * is there of it, above all the way back from a handler, is kept.
 *
 * Structure: the list of threads is read until it has none that has not done the work, since a thread that was
 * about to be made was made by one that had not.
 *
 * Limits: one caller at a time in a process, none of whose threads calls setuid() meanwhile. Where the C library
 * has not set its handler (another library than glibc) the answer is ENOTSUP, and no thread did it.
 */
#include "threads.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* SIGSETXID of glibc, on every architecture. */
#define UNBLOCKED 33
#define MOST_THREADS 1024
/* A thread that does not come by then sleeps where no signal wakes it. */
#define PATIENCE_MS 2000
#define PAUSE_NS 20000

/* The kernel's sigaction of x86_64 and aarch64. */
typedef struct {
  void (*handler)(int, siginfo_t *, void *);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
} KernelAction;

typedef struct {
  pid_t tid;
  atomic_bool done;
} Thread;

static ThreadWork current;
static const void *current_argument;
static atomic_int failure;
/* Those that have been asked, in order. */
static Thread threads[MOST_THREADS];
static atomic_int count;

static void handle(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)info;
  (void)context;
  int before = errno;
  int error = current(current_argument);
  if (error != 0) atomic_store(&failure, error);
  const pid_t self = (pid_t)syscall(SYS_gettid);
  for (int i = atomic_load(&count) - 1; i >= 0; i--)
    if (threads[i].tid == self) atomic_store(&threads[i].done, true);
  errno = before;
}

static int set_action(const KernelAction *action, KernelAction *before) {
  return syscall(SYS_rt_sigaction, UNBLOCKED, action, before, sizeof action->mask) < 0 ? errno : 0;
}

static bool is_known(pid_t tid) {
  for (int i = 0; i < count; i++)
    if (threads[i].tid == tid) return true;
  return false;
}

/* Asks the threads that were not there before; `found`: there were some. Returns 0 or an errno. */
static int ask_new(bool *found) {
  const pid_t self = (pid_t)syscall(SYS_gettid);
  *found = false;
  DIR *tasks = opendir("/proc/self/task");
  if (tasks == NULL) return errno;
  int error = 0;
  for (struct dirent *entry; error == 0 && (entry = readdir(tasks)) != NULL;) {
    pid_t tid = (pid_t)atoi(entry->d_name);
    if (tid <= 0 || tid == self || is_known(tid)) continue;
    if (count == MOST_THREADS) {
      error = EMFILE;
      break;
    }
    *found = true;
    threads[count].tid = tid;
    atomic_store(&threads[count].done, false);
    atomic_fetch_add(&count, 1);
    if (syscall(SYS_tgkill, getpid(), tid, UNBLOCKED) < 0 && errno != ESRCH) error = errno;
  }
  closedir(tasks);
  return error;
}

/* Returns 0 once all that were asked have done the work or have ended, or ETIMEDOUT. */
static int await_all(void) {
  const struct timespec pause = {.tv_nsec = PAUSE_NS};
  int64_t waited = 0;
  for (int i = 0; i < count; i++) {
    while (!atomic_load(&threads[i].done)) {
      if (syscall(SYS_tgkill, getpid(), threads[i].tid, 0) < 0 && errno == ESRCH) break;
      if (waited > PATIENCE_MS * INT64_C(1000000)) return ETIMEDOUT;
      nanosleep(&pause, NULL);
      waited += PAUSE_NS;
    }
  }
  return 0;
}

static int ask_all(void) {
  atomic_store(&count, 0);
  for (bool found = true; found;) {
    int error = ask_new(&found);
    if (error == 0) error = await_all();
    if (error != 0) return error;
  }
  return 0;
}

int on_every_thread(ThreadWork work, const void *argument) {
  KernelAction before;
  int error = set_action(NULL, &before);
  if (error != 0) return error;
  if (before.handler == (void (*)(int, siginfo_t *, void *))SIG_DFL) return ENOTSUP;
  current = work;
  current_argument = argument;
  atomic_store(&failure, 0);
  KernelAction action = before;
  action.handler = handle;
  action.mask = UINT64_MAX;
  error = set_action(&action, NULL);
  if (error != 0) return error;
  error = ask_all();
  int restored = set_action(&before, NULL);
  if (error == 0) error = restored;
  if (error == 0) error = atomic_load(&failure);
  return error != 0 ? error : work(argument);
}
