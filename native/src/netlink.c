/*
 * Netlink sockets: requests and events.
 *
 * A request socket asks one question at a time. Its answer is every message with the question's sequence
 * number, up to the one that ends it; leftovers of a question that failed carry another number and are passed
 * over. A dump that the kernel marks as interrupted (NLM_F_DUMP_INTR: the table changed meanwhile) may lack or
 * repeat entries, so it is asked again. Refusals carry the kernel's own words (NETLINK_EXT_ACK), which say more
 * than the errno.
 *
 * An event socket is joined to multicast groups and only receives. Its buffer is large, because events that do
 * not fit are lost (ENOBUFS) and the watcher must then dump everything anew.
 */
#include "addon.h"
#include "call.h"
#include "error.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_GROUPS 64
#define EVENT_BUFFER_BYTES (4 << 20)
#define ANSWER_TIMEOUT_MS 5000
#define DUMP_ATTEMPTS 8

/* A byte buffer that grows. */
typedef struct {
  uint8_t *data;
  size_t length;
  size_t capacity;
} Buffer;

static bool reserve(Buffer *buffer, size_t capacity) {
  if (capacity <= buffer->capacity) return true;
  size_t doubled = buffer->capacity * 2;
  if (capacity < doubled) capacity = doubled;
  uint8_t *data = realloc(buffer->data, capacity);
  if (data == NULL) return false;
  buffer->data = data;
  buffer->capacity = capacity;
  return true;
}

static bool append(Buffer *buffer, const void *bytes, size_t length) {
  if (!reserve(buffer, buffer->length + length)) return false;
  memcpy(buffer->data + buffer->length, bytes, length);
  buffer->length += length;
  return true;
}

napi_value netlink_open(napi_env env, napi_callback_info info) {
  Call call;
  int64_t protocol;
  int32_t groups[MOST_GROUPS];
  uint32_t count;
  if (!call_begin(&call, env, info, "netlinkOpen") || !take_int(&call, 0, "protocol", 0, 255, &protocol) ||
      !take_ints(&call, 1, "groups", 1, INT32_MAX, MOST_GROUPS, groups, &count))
    return NULL;

  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, (int)protocol);
  if (fd < 0) return throw_errno(env, errno, "socket(AF_NETLINK)", "open netlink protocol %d", (int)protocol);

  const char *syscall = "bind";
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  int on = 1, bytes = EVENT_BUFFER_BYTES;
  bool ready = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
  if (ready) {
    syscall = "setsockopt(NETLINK_EXT_ACK)";
    ready = setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) == 0 &&
            setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on) == 0;
  }
  /* Without the privilege to exceed net.core.rmem_max the usual size must do. */
  if (ready && count > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  for (uint32_t i = 0; ready && i < count; i++) {
    syscall = "setsockopt(NETLINK_ADD_MEMBERSHIP)";
    ready = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof groups[i]) == 0;
  }
  if (!ready) {
    int error = errno;
    close(fd);
    return throw_errno(env, error, syscall, "open netlink protocol %d", (int)protocol);
  }
  return int_value(env, fd);
}

/* Receives one datagram whole. Returns 0 or an errno. */
static int receive(int fd, Buffer *datagram) {
  struct sockaddr_nl sender;
  for (;;) {
    if (!reserve(datagram, 64 << 10)) return ENOMEM;
    ssize_t length = recv(fd, datagram->data, datagram->capacity, MSG_PEEK | MSG_TRUNC);
    if (length < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if ((size_t)length > datagram->capacity) {
      if (!reserve(datagram, (size_t)length)) return ENOMEM;
      continue;
    }
    socklen_t sender_length = sizeof sender;
    length = recvfrom(fd, datagram->data, datagram->capacity, 0, (struct sockaddr *)&sender, &sender_length);
    if (length < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    /* Only the kernel is believed. */
    if (sender.nl_pid != 0) continue;
    datagram->length = (size_t)length;
    return 0;
  }
}

static int receive_within(int fd, Buffer *datagram, int timeout_ms) {
  for (;;) {
    int error = receive(fd, datagram);
    if (error != EAGAIN) return error;
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    int ready = poll(&polled, 1, timeout_ms);
    if (ready == 0) return ETIMEDOUT;
    if (ready < 0 && errno != EINTR) return errno;
  }
}

/* Where a request stands. */
typedef struct {
  struct nlmsghdr request;
  Buffer answer;
  bool finished;
  bool interrupted;
  int error;
  char explanation[256]; /* the kernel's words about the error, or empty */
} Question;

/* The text of NLMSGERR_ATTR_MSG that follows a refusal. */
static void read_explanation(const struct nlmsghdr *message, char *out, size_t size) {
  if (!(message->nlmsg_flags & NLM_F_ACK_TLVS)) return;
  const struct nlmsgerr *refusal = NLMSG_DATA(message);
  size_t offset = NLMSG_HDRLEN + sizeof *refusal;
  if (!(message->nlmsg_flags & NLM_F_CAPPED)) offset += NLMSG_ALIGN(refusal->msg.nlmsg_len) - NLMSG_HDRLEN;
  while (offset + NLA_HDRLEN <= message->nlmsg_len) {
    const struct nlattr *attribute = (const void *)((const uint8_t *)message + offset);
    if (attribute->nla_len < NLA_HDRLEN || offset + attribute->nla_len > message->nlmsg_len) return;
    if ((attribute->nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
      size_t length = attribute->nla_len - NLA_HDRLEN;
      if (length >= size) length = size - 1;
      memcpy(out, (const uint8_t *)attribute + NLA_HDRLEN, length);
      out[length] = 0;
      return;
    }
    offset += NLA_ALIGN(attribute->nla_len);
  }
}

static void finish(Question *q, int error) {
  q->finished = true;
  q->error = error;
}

static void take_message(Question *q, const struct nlmsghdr *message) {
  if (message->nlmsg_seq != q->request.nlmsg_seq) return;
  if (message->nlmsg_flags & NLM_F_DUMP_INTR) q->interrupted = true;
  const int *status = NLMSG_DATA(message);
  size_t payload = message->nlmsg_len - NLMSG_HDRLEN;
  switch (message->nlmsg_type) {
    case NLMSG_NOOP:
      break;
    case NLMSG_OVERRUN:
      finish(q, ENOBUFS);
      break;
    case NLMSG_DONE:
      finish(q, payload >= sizeof *status && *status < 0 ? -*status : 0);
      break;
    case NLMSG_ERROR:
      if (payload < sizeof(struct nlmsgerr)) {
        finish(q, EBADMSG);
      } else {
        finish(q, -*status);
        read_explanation(message, q->explanation, sizeof q->explanation);
      }
      break;
    default:
      if (!append(&q->answer, message, NLMSG_ALIGN(message->nlmsg_len)))
        finish(q, ENOMEM);
      else if (!(message->nlmsg_flags & NLM_F_MULTI) && !(q->request.nlmsg_flags & NLM_F_ACK))
        finish(q, 0);
  }
}

static void take_datagram(Question *q, const Buffer *datagram) {
  size_t offset = 0;
  while (!q->finished && datagram->length - offset >= NLMSG_HDRLEN) {
    const struct nlmsghdr *message = (const void *)(datagram->data + offset);
    if (message->nlmsg_len < NLMSG_HDRLEN || message->nlmsg_len > datagram->length - offset) {
      finish(q, EBADMSG);
      return;
    }
    take_message(q, message);
    size_t step = NLMSG_ALIGN(message->nlmsg_len);
    offset = step > datagram->length - offset ? datagram->length : offset + step;
  }
}

/* Asks once. Returns the name of the call that failed when q->error is set. */
static const char *ask(Question *q, int fd, Bytes message, Buffer *datagram) {
  q->answer.length = 0;
  q->finished = q->interrupted = false;
  q->error = 0;
  ssize_t sent;
  do sent = send(fd, message.data, message.length, 0);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    finish(q, errno);
    return "send";
  }
  while (!q->finished) {
    int error = receive_within(fd, datagram, ANSWER_TIMEOUT_MS);
    if (error != 0) {
      finish(q, error);
      return "recv";
    }
    take_datagram(q, datagram);
  }
  return "netlink";
}

napi_value netlink_request(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  Bytes message;
  if (!call_begin(&call, env, info, "netlinkRequest") || !take_fd(&call, 0, &fd) ||
      !take_bytes(&call, 1, "message", &message))
    return NULL;
  Question q = {0};
  if (message.length >= NLMSG_HDRLEN) memcpy(&q.request, message.data, NLMSG_HDRLEN);
  if (message.length < NLMSG_HDRLEN || q.request.nlmsg_len != message.length) {
    refuse(&call, "message must be one netlink message, header and length included");
    return NULL;
  }

  Buffer datagram = {0};
  const char *syscall;
  int attempts = 0;
  do syscall = ask(&q, fd, message, &datagram);
  while (q.error == 0 && q.interrupted && ++attempts < DUMP_ATTEMPTS);
  if (q.error == 0 && q.interrupted) q.error = EAGAIN;

  napi_value result = NULL;
  if (q.error == 0)
    result = copy_to_uint8array(env, q.answer.data, q.answer.length);
  else
    throw_errno(env, q.error, syscall, "get netlink request of type %d done%s%s%s", q.request.nlmsg_type,
                q.explanation[0] == 0 ? "" : " (", q.explanation, q.explanation[0] == 0 ? "" : ")");
  free(datagram.data);
  free(q.answer.data);
  return result;
}

napi_value netlink_receive(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  if (!call_begin(&call, env, info, "netlinkReceive") || !take_fd(&call, 0, &fd)) return NULL;
  Buffer datagram = {0};
  int error = receive(fd, &datagram);
  napi_value result = NULL;
  if (error == 0)
    result = copy_to_uint8array(env, datagram.data, datagram.length);
  else if (error == EAGAIN)
    napi_get_null(env, &result);
  else
    throw_errno(env, error, "recv", "receive netlink events");
  free(datagram.data);
  return result;
}
