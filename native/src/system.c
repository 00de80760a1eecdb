/*
 * Small system calls that Node lacks: eventfd, ethtool flags, a datagram to a unix socket (sd_notify), a frame to an
 * interface, prctl, the scheduler's time slice.
 */
#include "addon.h"
#include "call.h"
#include "error.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

napi_value system_eventfd(napi_env env, napi_callback_info info) {
  (void)info;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return throw_errno(env, errno, "eventfd", "make an eventfd");
  return int_value(env, fd);
}

napi_value system_eventfd_wake(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  if (!call_begin(&call, env, info, "eventfdWake") || !take_fd(&call, 0, &fd)) return NULL;
  /* EAGAIN: the counter is full, so whoever waits is awake. */
  if (eventfd_write(fd, 1) < 0 && errno != EAGAIN)
    return throw_errno(env, errno, "write", "wake eventfd %d", fd);
  return undefined(env);
}

/* Returns 0 or an errno. */
static int ethtool_value(const char *interface, uint32_t command, uint32_t *data) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  struct ethtool_value value = {.cmd = command, .data = *data};
  struct ifreq request = {0};
  strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  request.ifr_data = (void *)&value;
  int error = ioctl(fd, SIOCETHTOOL, &request) < 0 ? errno : 0;
  close(fd);
  *data = value.data;
  return error;
}

napi_value system_ethtool_get_flags(napi_env env, napi_callback_info info) {
  Call call;
  char interface[IFNAMSIZ];
  uint32_t flags = 0;
  if (!call_begin(&call, env, info, "ethtoolGetFlags") ||
      !take_text(&call, 0, "interfaceName", interface, sizeof interface))
    return NULL;
  int error = ethtool_value(interface, ETHTOOL_GFLAGS, &flags);
  if (error != 0) return throw_errno(env, error, "ioctl(ETHTOOL_GFLAGS)", "read the offload flags of %s", interface);
  napi_value result = NULL;
  napi_create_uint32(env, flags, &result);
  return result;
}

napi_value system_ethtool_set_flags(napi_env env, napi_callback_info info) {
  Call call;
  char interface[IFNAMSIZ];
  int64_t flags;
  if (!call_begin(&call, env, info, "ethtoolSetFlags") ||
      !take_text(&call, 0, "interfaceName", interface, sizeof interface) ||
      !take_int(&call, 1, "flags", 0, UINT32_MAX, &flags))
    return NULL;
  uint32_t data = (uint32_t)flags;
  int error = ethtool_value(interface, ETHTOOL_SFLAGS, &data);
  if (error != 0) return throw_errno(env, error, "ioctl(ETHTOOL_SFLAGS)", "set the offload flags of %s", interface);
  return undefined(env);
}

napi_value system_send_frame(napi_env env, napi_callback_info info) {
  Call call;
  int64_t index;
  Bytes frame;
  if (!call_begin(&call, env, info, "sendFrame") || !take_int(&call, 0, "interfaceIndex", 1, INT32_MAX, &index) ||
      !take_bytes(&call, 1, "frame", &frame))
    return NULL;
  /* Protocol 0: the socket receives nothing. */
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket(AF_PACKET)", "send a frame");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)index};
  ssize_t sent = sendto(fd, frame.data, frame.length, 0, (struct sockaddr *)&address, sizeof address);
  int error = errno;
  close(fd);
  if (sent < 0) return throw_errno(env, error, "sendto", "send a frame through interface %d", (int)index);
  return undefined(env);
}

napi_value system_no_new_privileges(napi_env env, napi_callback_info info) {
  (void)info;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return throw_errno(env, errno, "prctl(PR_SET_NO_NEW_PRIVS)", "give up gaining privileges");
  return undefined(env);
}

napi_value system_parent_death_signal(napi_env env, napi_callback_info info) {
  Call call;
  int64_t number;
  if (!call_begin(&call, env, info, "parentDeathSignal") || !take_int(&call, 0, "signal", 0, NSIG, &number))
    return NULL;
  if (prctl(PR_SET_PDEATHSIG, (unsigned long)number) < 0)
    return throw_errno(env, errno, "prctl(PR_SET_PDEATHSIG)", "choose the signal of a dying parent");
  return undefined(env);
}

/* The first version of the kernel's sched_attr: C libraries have it since 2025 only, and it clashes with linux/sched/types.h. */
typedef struct {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
} Scheduling;

napi_value system_time_slice(napi_env env, napi_callback_info info) {
  Call call;
  int64_t slice;
  if (!call_begin(&call, env, info, "timeSlice") || !take_int(&call, 0, "ns", 1, 1000000000, &slice)) return NULL;
  Scheduling scheduling = {0};
  if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0) < 0)
    return throw_errno(env, errno, "sched_getattr", "read how a thread is scheduled");
  scheduling.runtime = (uint64_t)slice;
  if (syscall(SYS_sched_setattr, 0, &scheduling, 0) < 0)
    return throw_errno(env, errno, "sched_setattr", "set the time slice of a thread");
  return undefined(env);
}

napi_value system_thread_name(napi_env env, napi_callback_info info) {
  Call call;
  char name[16];
  if (!call_begin(&call, env, info, "threadName") || !take_text(&call, 0, "name", name, sizeof name)) return NULL;
  if (prctl(PR_SET_NAME, name) < 0) return throw_errno(env, errno, "prctl(PR_SET_NAME)", "name a thread");
  return undefined(env);
}
