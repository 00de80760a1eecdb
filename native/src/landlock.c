/*
 * Landlock: no path of the file system, and no TCP port, for any thread of the process and for good.
 *
 * A ruleset that handles every access it knows and has no rule allows none. What is open stays so. The seccomp
 * filter forbids the calls themselves; this stands where there is none, or where one of its calls should turn out
 * to lead to a path.
 */
#include "addon.h"
#include "call.h"
#include "error.h"
#include "threads.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers of linux/landlock.h, which not every build machine has: LANDLOCK_CREATE_RULESET_VERSION. */
#define ASK_VERSION 1
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

typedef struct {
  uint64_t files;
  uint64_t network;
} Ruleset;

/* How many kinds of access to files version 1, 2 … knows: REFER, TRUNCATE and IOCTL_DEV came later. */
static const int file_accesses[] = {13, 14, 15, 15, 16};
/* Version 4: bind and connect of TCP. */
#define NETWORK_VERSION 4
#define NETWORK_ACCESSES 3

/* The kernel asks for it of each thread that wants less. */
static int restrict_self(const void *argument) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return errno;
  return syscall(SYS_landlock_restrict_self, *(const int *)argument, 0) < 0 ? errno : 0;
}

napi_value landlock_nothing(napi_env env, napi_callback_info info) {
  (void)info;
  long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
  if (version < 1) return throw_errno(env, errno, "landlock_create_ruleset", "shut the file system off");
  const int known = (int)(sizeof file_accesses / sizeof *file_accesses);
  const int accesses = file_accesses[(version < known ? version : known) - 1];
  const bool network = version >= NETWORK_VERSION;
  const Ruleset ruleset = {.files = (UINT64_C(1) << accesses) - 1, .network = network ? NETWORK_ACCESSES : 0};
  const size_t size = network ? sizeof ruleset : sizeof ruleset.files;
  int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
  if (fd < 0) return throw_errno(env, errno, "landlock_create_ruleset", "shut the file system off");
  int error = on_every_thread(restrict_self, &fd);
  close(fd);
  if (error != 0) return throw_errno(env, error, "landlock_restrict_self", "shut the file system off");
  return int_value(env, (int32_t)version);
}
