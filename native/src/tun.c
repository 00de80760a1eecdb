/*
 * TUN devices.
 *
 * One flavour only: layer 3, no packet information, a virtio_net_hdr of 10 bytes before every packet, and
 * multi-queue even for one queue, because a device cannot change between single and multi queue later. With
 * the offloads the kernel may hand over super-packets and unfinished checksums; it takes them back in the same
 * form. TUN_F_USO4/6 (UDP segmentation) came with Linux 6.2, later than the headers of some distributions.
 */
#include "addon.h"
#include "call.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define VNET_HEADER_BYTES 10

static napi_value fail(napi_env env, int fd, const char *syscall, const char *name) {
  int error = errno;
  close(fd);
  return throw_errno(env, error, syscall, "open TUN device %s", name);
}

napi_value tun_open(napi_env env, napi_callback_info info) {
  Call call;
  char name[IFNAMSIZ];
  if (!call_begin(&call, env, info, "tunOpen") || !take_text(&call, 0, "name", name, sizeof name)) return NULL;
  /* The kernel would expand it as a pattern. */
  if (strchr(name, '%') != NULL) {
    refuse(&call, "name must not contain %%");
    return NULL;
  }

  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return throw_errno(env, errno, "open(/dev/net/tun)", "open TUN device %s", name);

  struct ifreq request = {0};
  memcpy(request.ifr_name, name, sizeof name);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
  if (ioctl(fd, TUNSETIFF, &request) < 0) return fail(env, fd, "ioctl(TUNSETIFF)", name);

  int header_bytes = VNET_HEADER_BYTES;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0) return fail(env, fd, "ioctl(TUNSETVNETHDRSZ)", name);

  unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  bool uso = ioctl(fd, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) == 0;
  if (!uso && ioctl(fd, TUNSETOFFLOAD, offloads) < 0) return fail(env, fd, "ioctl(TUNSETOFFLOAD)", name);

  napi_value result;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_set_named_property(env, result, "fd", int_value(env, fd)) != napi_ok ||
      napi_set_named_property(env, result, "uso", boolean(env, uso)) != napi_ok) {
    close(fd);
    return NULL;
  }
  return result;
}

napi_value tun_set_persist(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  bool on;
  if (!call_begin(&call, env, info, "tunSetPersist") || !take_fd(&call, 0, &fd) || !take_bool(&call, 1, "on", &on))
    return NULL;
  if (ioctl(fd, TUNSETPERSIST, (unsigned long)on) < 0)
    return throw_errno(env, errno, "ioctl(TUNSETPERSIST)", "make TUN descriptor %d %s", fd,
                       on ? "persistent" : "transient");
  return undefined(env);
}

napi_value tun_set_steering(napi_env env, napi_callback_info info) {
  Call call;
  int fd, program;
  if (!call_begin(&call, env, info, "tunSetSteering") || !take_fd(&call, 0, &fd) || !take_fd(&call, 1, &program))
    return NULL;
  if (ioctl(fd, TUNSETSTEERINGEBPF, &program) < 0)
    return throw_errno(env, errno, "ioctl(TUNSETSTEERINGEBPF)", "steer the queues of TUN descriptor %d", fd);
  return undefined(env);
}

napi_value tun_name(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  if (!call_begin(&call, env, info, "tunName") || !take_fd(&call, 0, &fd)) return NULL;
  struct ifreq request = {0};
  napi_value result = NULL;
  /* ENOTTY, EBADFD …: no queue of a device that is still there. */
  if (ioctl(fd, TUNGETIFF, &request) < 0) napi_get_null(env, &result);
  else napi_create_string_utf8(env, request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ), &result);
  return result;
}
