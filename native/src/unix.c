/*
 * Descriptors between processes: unix sockets of whole messages (SOCK_SEQPACKET) with SCM_RIGHTS, which Node lacks.
 *
 * A message is text and up to MOST_DESCRIPTORS descriptors. Received ones are close-on-exec. What was sent but not received, because the
 * message was cut, is closed by the kernel.
 */
#include "addon.h"
#include "call.h"
#include "error.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* SCM_MAX_FD of the kernel. */
#define MOST_DESCRIPTORS 253
#define MOST_BYTES 65536

/* The address of a path; a leading '@' means the abstract namespace. False with a TypeError pending. */
static bool take_address(const Call *call, size_t index, struct sockaddr_un *address, socklen_t *length) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (!take_text(call, index, "path", address->sun_path, sizeof address->sun_path)) return false;
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address->sun_path));
  if (address->sun_path[0] == '@') address->sun_path[0] = 0;
  return true;
}

/* Returns the bytes sent, or -1 with errno. */
static ssize_t send_message(int socket, struct sockaddr_un *address, socklen_t address_length, const Bytes *data,
                            const int *fds, uint32_t count) {
  union {
    char bytes[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct iovec part = {.iov_base = data->data, .iov_len = data->length};
  struct msghdr message = {.msg_name = address, .msg_namelen = address_length, .msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *header = &control.align;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}

napi_value unix_listen(napi_env env, napi_callback_info info) {
  Call call;
  struct sockaddr_un address;
  socklen_t length;
  if (!call_begin(&call, env, info, "unixListen") || !take_address(&call, 0, &address, &length)) return NULL;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "listen on a unix socket");
  /* The socket file has the mode of the descriptor: there is no moment in which others could connect. */
  if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 8) < 0) {
    int error = errno;
    close(fd);
    return throw_errno(env, error, "bind", "listen on unix socket %s", address.sun_path);
  }
  return int_value(env, fd);
}

napi_value unix_accept(napi_env env, napi_callback_info info) {
  Call call;
  int listener;
  if (!call_begin(&call, env, info, "unixAccept") || !take_fd(&call, 0, &listener)) return NULL;
  napi_value result = NULL;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno != EAGAIN && errno != ECONNABORTED) return throw_errno(env, errno, "accept4", "accept a connection");
    napi_get_null(env, &result);
    return result;
  }
  struct ucred peer = {0};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
    int error = errno;
    close(fd);
    return throw_errno(env, error, "getsockopt(SO_PEERCRED)", "see who connects");
  }
  if (napi_create_object(env, &result) != napi_ok ||
      napi_set_named_property(env, result, "fd", int_value(env, fd)) != napi_ok ||
      napi_set_named_property(env, result, "pid", int_value(env, peer.pid)) != napi_ok ||
      napi_set_named_property(env, result, "uid", int_value(env, (int32_t)peer.uid)) != napi_ok) {
    close(fd);
    return NULL;
  }
  return result;
}

napi_value unix_connect(napi_env env, napi_callback_info info) {
  Call call;
  struct sockaddr_un address;
  socklen_t length;
  if (!call_begin(&call, env, info, "unixConnect") || !take_address(&call, 0, &address, &length)) return NULL;
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "connect to a unix socket");
  if (connect(fd, (struct sockaddr *)&address, length) < 0) {
    int error = errno;
    close(fd);
    return throw_errno(env, error, "connect", "connect to unix socket %s", address.sun_path);
  }
  return int_value(env, fd);
}

napi_value unix_send_fds(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  Bytes data;
  int32_t fds[MOST_DESCRIPTORS];
  uint32_t count;
  if (!call_begin(&call, env, info, "unixSendFds") || !take_fd(&call, 0, &fd) || !take_bytes(&call, 1, "data", &data) ||
      !take_ints(&call, 2, "fds", 0, INT32_MAX, MOST_DESCRIPTORS, fds, &count))
    return NULL;
  if (send_message(fd, NULL, 0, &data, fds, count) < 0)
    return throw_errno(env, errno, "sendmsg", "send a message with %u descriptors", count);
  return undefined(env);
}

napi_value unix_notify(napi_env env, napi_callback_info info) {
  Call call;
  struct sockaddr_un address;
  socklen_t length;
  Bytes data;
  int32_t fds[MOST_DESCRIPTORS];
  uint32_t count;
  if (!call_begin(&call, env, info, "unixNotify") || !take_address(&call, 0, &address, &length) ||
      !take_bytes(&call, 1, "data", &data) ||
      !take_ints(&call, 2, "fds", 0, INT32_MAX, MOST_DESCRIPTORS, fds, &count))
    return NULL;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return throw_errno(env, errno, "socket", "send to a unix socket");
  ssize_t sent = send_message(fd, &address, length, &data, fds, count);
  int error = errno;
  close(fd);
  if (sent < 0) {
    bool is_abstract = address.sun_path[0] == 0;
    return throw_errno(env, error, "sendmsg", "send to unix socket %s%s", is_abstract ? "@" : "",
                       address.sun_path + is_abstract);
  }
  return undefined(env);
}

/* Adds the descriptors of a message to the array; returns how many there are now. */
static uint32_t collect(napi_env env, struct msghdr *message, napi_value array) {
  uint32_t count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t there = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < there; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      if (napi_set_element(env, array, count, int_value(env, fd)) == napi_ok) count++;
      else close(fd);
    }
  }
  return count;
}

napi_value unix_receive_fds(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  if (!call_begin(&call, env, info, "unixReceiveFds") || !take_fd(&call, 0, &fd)) return NULL;
  union {
    char bytes[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
    struct cmsghdr align;
  } control;
  char *buffer = malloc(MOST_BYTES);
  if (buffer == NULL) return throw_errno(env, ENOMEM, "malloc", "receive a message");
  struct iovec part = {.iov_base = buffer, .iov_len = MOST_BYTES};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t length = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  napi_value result = NULL;
  if (length < 0) {
    int error = errno;
    free(buffer);
    if (error != EAGAIN) return throw_errno(env, error, "recvmsg", "receive a message");
    napi_get_null(env, &result);
    return result;
  }
  napi_value array, data = copy_to_uint8array(env, buffer, (size_t)length);
  free(buffer);
  if (data == NULL || napi_create_array(env, &array) != napi_ok) return NULL;
  collect(env, &message, array);
  if (napi_create_object(env, &result) != napi_ok || napi_set_named_property(env, result, "data", data) != napi_ok ||
      napi_set_named_property(env, result, "fds", array) != napi_ok)
    return NULL;
  return result;
}
