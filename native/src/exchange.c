/*
 * The hot path: whole batches of packets between TUN queues and the arena, one call per batch.
 *
 * `run` writes what the engine decided about the last batch, reads the next one, and waits only when there is
 * none. It takes one packet from each queue in turn, and begins each batch at another queue, so that neither
 * direction starves the other. A queue that had nothing is not asked again in the same run. When a batch of a packet
 * or two has emptied the queues, hardly ever more has come by the next run, which then waits without reading first.
 *
 * A TUN moves one packet per system call; packets that follow each other in a flow are made one (writer.c). Nothing is
 * allocated and no JavaScript object but the result is made. The calls go round the C library's read and write: those are
 * cancellation points, which in a process with several threads costs two atomic operations each time.
 *
 * Waking from a sleep is most of what a packet on an idle line waits for. The answer to a packet that ended an idle time
 * may come before a sleep would pay, so `run` then looks for it for SPIN_NS first. Where no answer comes that soon (it is
 * far away, or needs the very processor that is spinning), each spin in vain doubles the number of occasions passed over
 * before the next. So a spin costs at most SPIN_NS of IDLE_NS, much less where it does not pay, and nothing while
 * packets flow.
 *
 * Invariant: no byte outside the arena is touched, whatever stands in the out list. The kernel side cannot be
 * trusted to be well either: a device that is down swallows writes (counted) and gives no packets; one that was
 * deleted is an error of `run`, remembered, so that a busy queue beside it does not hide it.
 *
 * Life: the arena buffer and the four functions each hold a reference; the memory goes with the last. `close`
 * only makes `run` refuse. The descriptors are the caller's.
 *
 * Limits: one thread. EINTR ends a wait like a time-out.
 */
#include "exchange.h"

#include "addon.h"
#include "call.h"
#include "error.h"
#include "onlooker.h"
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* More than any IPv4 packet can have; a read that fills it all is one that the kernel cut off. */
#define READ_BYTES (VNET_BYTES + LINEAR_BYTES + OVERFLOW_BYTES)

/* A batch of at most so many packets that empties the queues takes less time than it takes for more to come. */
#define SHORT_BATCH 2

/* How long a run sleeps when a queue reports an error that reading does not show (it is being deleted). */
#define FAULT_PAUSE_MS 100

/* How long a run looks for an answer before it sleeps, and how long the wait before the packet must have been. */
#define SPIN_NS 50000
#define IDLE_NS 1000000
/* Occasions passed over after spins in vain: at most 2 to this power. */
#define MOST_MISSES 10

typedef struct {
  int32_t device;
  int32_t length;
} InEntry;

typedef struct {
  uint8_t *arena;
  int32_t *control;
  InEntry *in;
  unsigned queues;
  unsigned first; /* queue that the next batch begins with */
  bool drained;   /* the last batch was short and left the queues empty */
  bool after_idle; /* the last batch ended a wait of IDLE_NS or more */
  uint32_t misses; /* spins in vain since the last that found a packet */
  uint32_t passes; /* occasions to pass over before the next spin */
  int broken;     /* errno of a queue that is gone, or of close() */
  unsigned references;
  struct pollfd polled[MAX_QUEUES + 1]; /* the queues, then the wake-up */
  Writer writer;
} Exchange;

/* Reads into a slot. Returns the length of the packet, 0 for none, or a negative errno. */
static ssize_t read_packet(Exchange *x, unsigned device, int32_t slot) {
  struct iovec parts[2] = {
      {x->arena + HEADERS + slot * HEADER_BYTES + VNET_OFFSET, VNET_BYTES + LINEAR_BYTES},
      {x->arena + OVERFLOW + (size_t)slot * OVERFLOW_BYTES, OVERFLOW_BYTES},
  };
  ssize_t bytes = syscall(SYS_readv, x->polled[device].fd, parts, 2);
  if (bytes < 0) return -errno;
  return bytes < VNET_BYTES ? 0 : bytes - VNET_BYTES;
}

static uint32_t all_queues(const Exchange *x) {
  return (1u << x->queues) - 1;
}

/* Reads from the queues of the bit set `ready`. Returns the number of packets, or a negative errno. */
static int32_t read_batch(Exchange *x, uint32_t ready) {
  int32_t count = 0;
  ssize_t bytes = 0;
  unsigned device = x->first;
  x->first = device + 1 == x->queues ? 0 : device + 1;
  while (ready != 0 && count < BATCH && bytes < BATCH_BYTES) {
    if (ready & (1u << device)) {
      ssize_t length = read_packet(x, device, count);
      if (length > 0 && length < READ_BYTES - VNET_BYTES) {
        x->in[count].device = (int32_t)device;
        x->in[count].length = (int32_t)length;
        bytes += length;
        count++;
      } else {
        ready &= ~(1u << device);
        if (length > 0)
          x->control[READ_TRUNCATED]++;
        else if (length < 0 && length != -EAGAIN && length != -EINTR && length != -EIO) /* EIO: device down */
          x->broken = (int)-length;
      }
    }
    device = device + 1 == x->queues ? 0 : device + 1;
  }
  x->drained = ready == 0 && count <= SHORT_BATCH;
  return count == 0 ? -x->broken : count;
}

static void drain_wake_up(Exchange *x) {
  eventfd_t value;
  if (eventfd_read(x->polled[x->queues].fd, &value) < 0 && errno != EAGAIN) x->broken = errno;
}

static int32_t wait_and_read(Exchange *x, int32_t timeout_ms) {
  x->control[WAITS]++;
  if (poll(x->polled, x->queues + 1, timeout_ms) <= 0) return 0;

  uint32_t ready = 0;
  bool fault = false;
  for (unsigned i = 0; i < x->queues; i++) {
    if (x->polled[i].revents == 0) continue;
    ready |= 1u << i;
    fault |= (x->polled[i].revents & POLLERR) != 0;
  }
  struct pollfd *wake_up = &x->polled[x->queues];
  if (wake_up->revents != 0) drain_wake_up(x);
  int32_t count = read_batch(x, ready);
  if (count == 0 && fault) {
    int pause = timeout_ms < 0 || timeout_ms > FAULT_PAUSE_MS ? FAULT_PAUSE_MS : timeout_ms;
    if (poll(wake_up, 1, pause) > 0) drain_wake_up(x);
  }
  return count;
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Reads until there is something or `end` has come. A read that finds nothing costs less than poll; a wake-up waits. */
static int32_t spin_and_read(Exchange *x, uint64_t end) {
  int32_t count;
  do count = read_batch(x, all_queues(x));
  while (count == 0 && now_ns() < end);
  if (count > 0) {
    x->misses = 0;
  } else {
    if (x->misses < MOST_MISSES) x->misses++;
    x->passes = 1u << x->misses;
  }
  return count;
}

/* The queues are empty: spins where there is an occasion for it, then sleeps. */
static int32_t wait_for_batch(Exchange *x, int32_t timeout_ms) {
  uint64_t begun = now_ns();
  int32_t count = 0;
  if (x->after_idle) {
    if (x->passes > 0)
      x->passes--;
    else
      count = spin_and_read(x, begun + SPIN_NS);
  }
  if (count == 0) count = wait_and_read(x, timeout_ms);
  x->after_idle = count > 0 && now_ns() - begun >= IDLE_NS;
  return count;
}

static void store_now(Exchange *x) {
  x->control[NOW] = (int32_t)(uint32_t)(now_ns() / 1000000);
}

static int32_t run(Exchange *x, int32_t out_count, int32_t timeout_ms) {
  if (x->broken != 0) return -x->broken;
  write_batch(&x->writer, out_count);
  int32_t count = x->drained && timeout_ms != 0 ? 0 : read_batch(x, all_queues(x));
  if (count == 0 && timeout_ms != 0)
    count = wait_for_batch(x, timeout_ms);
  else
    x->after_idle = false;
  store_now(x);
  return count;
}

static napi_value exchange_run(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  size_t argc = 2;
  void *data;
  int32_t out_count, timeout_ms;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, &data) != napi_ok) return NULL;
  if (napi_get_value_int32(env, argv[0], &out_count) != napi_ok ||
      napi_get_value_int32(env, argv[1], &timeout_ms) != napi_ok)
    return int_value(env, -EINVAL);
  return int_value(env, run(data, out_count, timeout_ms));
}

static napi_value exchange_flush(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  size_t argc = 1;
  void *data;
  int32_t out_count;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, &data) != napi_ok) return NULL;
  Exchange *x = data;
  if (napi_get_value_int32(env, argv[0], &out_count) == napi_ok && x->broken == 0) write_batch(&x->writer, out_count);
  return NULL;
}

static napi_value exchange_close(napi_env env, napi_callback_info info) {
  void *data;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) != napi_ok) return NULL;
  ((Exchange *)data)->broken = EBADF;
  return NULL;
}

#define CONSTANT(name) {#name, name}

static const struct {
  const char *name;
  int32_t value;
} constants[] = {
    CONSTANT(CONTROL),       CONSTANT(IN_LIST),       CONSTANT(OUT_LIST),        CONSTANT(HEADERS),
    CONSTANT(HEADER_BYTES),  CONSTANT(SLOTS),         CONSTANT(OVERFLOW),        CONSTANT(OVERFLOW_BYTES),
    CONSTANT(ARENA_BYTES),   CONSTANT(BATCH),         CONSTANT(BATCH_BYTES),   CONSTANT(OUT_ENTRIES),     CONSTANT(VNET_OFFSET),
    CONSTANT(PACKET_OFFSET), CONSTANT(LINEAR_BYTES),  CONSTANT(NOW),             CONSTANT(WRITE_REFUSED),
    CONSTANT(WRITE_NO_BUFFER), CONSTANT(WRITE_DOWN),  CONSTANT(READ_TRUNCATED),  CONSTANT(WRITE_ERRNO),
    CONSTANT(WAITS),         CONSTANT(SUPER_PACKETS),    CONSTANT(COALESCED),
    CONSTANT(HANDLING),
};

static napi_value exchange_describe(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  if (napi_create_object(env, &result) != napi_ok) return NULL;
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
    napi_set_named_property(env, result, constants[i].name, int_value(env, constants[i].value));
  return result;
}

static void release(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Exchange *x = data;
  if (--x->references > 0) return;
  hide_arena(x->arena);
  munmap(x->arena, ARENA_BYTES);
  free(x);
}

static void release_arena(napi_env env, void *arena, void *exchange) {
  (void)arena;
  release(env, exchange, NULL);
}

/* Takes over the exchange, also on failure. */
static napi_value make_object(napi_env env, Exchange *x) {
  static const struct {
    const char *name;
    napi_callback callback;
  } methods[] = {
      {"run", exchange_run},
      {"flush", exchange_flush},
      {"describe", exchange_describe},
      {"close", exchange_close},
  };
  napi_value object, arena;
  bool made = napi_create_object(env, &object) == napi_ok;
  for (size_t i = 0; made && i < sizeof methods / sizeof *methods; i++) {
    x->references++;
    made = add_method(env, object, methods[i].name, methods[i].callback, x, release);
  }
  if (made) {
    x->references++;
    if (napi_create_external_arraybuffer(env, x->arena, ARENA_BYTES, release_arena, x, &arena) == napi_ok) {
      made = napi_set_named_property(env, object, "arena", arena) == napi_ok;
    } else {
      x->references--;
      made = false;
    }
  }
  release(env, x, NULL);
  return made ? object : NULL;
}

napi_value exchange_open(napi_env env, napi_callback_info info) {
  Call call;
  int32_t fds[MAX_QUEUES + 1];
  uint32_t queues;
  int wake_fd;
  if (!call_begin(&call, env, info, "exchangeOpen") ||
      !take_ints(&call, 0, "fds", 0, INT32_MAX, MAX_QUEUES, fds, &queues) || !take_fd(&call, 1, &wake_fd))
    return NULL;
  if (queues == 0) {
    refuse(&call, "fds must have at least one descriptor");
    return NULL;
  }
  fds[queues] = wake_fd;
  for (uint32_t i = 0; i <= queues; i++) {
    int flags = fcntl(fds[i], F_GETFL);
    /* A descriptor that blocks would stop the batch. */
    if (flags < 0 || fcntl(fds[i], F_SETFL, flags | O_NONBLOCK) < 0)
      return throw_errno(env, errno, "fcntl", "exchange packets with descriptor %d", fds[i]);
  }

  Exchange *x = calloc(1, sizeof *x);
  if (x == NULL) return throw_errno(env, ENOMEM, "calloc", "open an exchange");
  x->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (x->arena == MAP_FAILED) {
    int error = errno;
    free(x);
    return throw_errno(env, error, "mmap", "make the arena of an exchange");
  }
  /* Only advice. Between two TUNs a super-packet costs 5 % less in huge pages, a small packet 1 to 2 %. */
  madvise(x->arena, ARENA_BYTES, MADV_HUGEPAGE);
  x->control = (int32_t *)(x->arena + CONTROL);
  x->in = (InEntry *)(x->arena + IN_LIST);
  x->queues = queues;
  x->references = 1;
  x->writer = (Writer){
      .arena = x->arena,
      .control = x->control,
      .out = (const OutEntry *)(x->arena + OUT_LIST),
      .queues = x->polled,
      .queue_count = queues,
      .merged = MERGE_TCP | MERGE_UDP,
  };
  for (uint32_t i = 0; i <= queues; i++) x->polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  show_arena(x->arena, wake_fd);
  return make_object(env, x);
}
