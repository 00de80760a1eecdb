/*
 * Capabilities of all threads, their limit, and the other bounds of a process that has been given what it needs.
 *
 * Linux counts capabilities by thread: what one thread gives up, the others keep, hence threads.c.
 */
#include "addon.h"
#include "call.h"
#include "error.h"
#include "threads.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

/* More than the kernel has; bits beyond its own are not asked for. */
#define MOST_CAPABILITIES 63

typedef struct {
  uint64_t effective;
  uint64_t permitted;
  uint64_t bounding;
} Limits;

/* Of this thread. The bounding set comes first: taking from it is itself a privilege. */
static int limit(const void *argument) {
  const Limits *limits = argument;
  int error = 0;
  for (int number = 0; number < MOST_CAPABILITIES; number++) {
    int held = prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (held < 0) break;
    if (held == 1 && (limits->bounding >> number & 1) == 0 && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
      error = errno;
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return errno;
  for (int half = 0; half < 2; half++) {
    data[half].permitted &= (uint32_t)(limits->permitted >> (32 * half));
    data[half].effective = data[half].permitted & (uint32_t)(limits->effective >> (32 * half));
    data[half].inheritable = 0;
  }
  if (syscall(SYS_capset, &header, data) < 0) return errno;
  return error;
}

napi_value privileges_limit(napi_env env, napi_callback_info info) {
  Call call;
  int64_t effective, permitted, bounding;
  const int64_t most = ((int64_t)1 << 53) - 1;
  if (!call_begin(&call, env, info, "limitCapabilities") ||
      !take_int(&call, 0, "effective", 0, most, &effective) ||
      !take_int(&call, 1, "permitted", 0, most, &permitted) || !take_int(&call, 2, "bounding", 0, most, &bounding))
    return NULL;
  const Limits limits = {(uint64_t)effective, (uint64_t)permitted, (uint64_t)bounding};
  int error = on_every_thread(limit, &limits);
  if (error != 0) return throw_errno(env, error, "capset", "give up capabilities");
  return undefined(env);
}

napi_value privileges_resource_limit(napi_env env, napi_callback_info info) {
  Call call;
  int64_t resource, most;
  if (!call_begin(&call, env, info, "resourceLimit") || !take_int(&call, 0, "resource", 0, RLIM_NLIMITS - 1, &resource) ||
      !take_int(&call, 1, "most", 0, INT32_MAX, &most))
    return NULL;
  struct rlimit limits = {.rlim_cur = (rlim_t)most, .rlim_max = (rlim_t)most};
  if (setrlimit((int)resource, &limits) < 0)
    return throw_errno(env, errno, "setrlimit", "limit resource %d", (int)resource);
  return undefined(env);
}

napi_value privileges_undumpable(napi_env env, napi_callback_info info) {
  (void)info;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
    return throw_errno(env, errno, "prctl(PR_SET_DUMPABLE)", "hide the memory of the process");
  return undefined(env);
}

napi_value privileges_close_on_exec(napi_env env, napi_callback_info info) {
  Call call;
  int first;
  if (!call_begin(&call, env, info, "closeOnExec") || !take_fd(&call, 0, &first)) return NULL;
  if (syscall(SYS_close_range, first, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
    return throw_errno(env, errno, "close_range", "keep descriptors from children");
  return undefined(env);
}
