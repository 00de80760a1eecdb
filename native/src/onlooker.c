/*
 * What one thread may see of another that no longer answers: the arena of its exchange, and how much of a processor it has
 * had. The watcher of the workers asks (src/gateway/engines/worker-watch.ts): a worker that is stuck in a packet cannot say in
 * which, but the packet lies in its arena.
 *
 * A list of the arenas in this process, by the exchange's wake-up descriptor. A lock guards the list, so an arena is there
 * for as long as it is copied; its bytes may change meanwhile, when the thread is not stuck after all.
 */
#include "onlooker.h"

#include "addon.h"
#include "call.h"
#include "exchange.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* As many workers as there can be, and those of tests. */
#define MOST_ARENAS 64

typedef struct {
  const uint8_t *arena; /* NULL: free */
  int wake_fd;
  pthread_t thread;
} Shown;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Shown shown[MOST_ARENAS];

void show_arena(const uint8_t *arena, int wake_fd) {
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < MOST_ARENAS; i++) {
    if (shown[i].arena != NULL) continue;
    shown[i] = (Shown){.arena = arena, .wake_fd = wake_fd, .thread = pthread_self()};
    break;
  }
  pthread_mutex_unlock(&lock);
}

void hide_arena(const uint8_t *arena) {
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < MOST_ARENAS; i++) {
    if (shown[i].arena == arena) shown[i].arena = NULL;
  }
  pthread_mutex_unlock(&lock);
}

/* With the lock held. NULL: there is none. */
static const Shown *find(int wake_fd) {
  for (unsigned i = 0; i < MOST_ARENAS; i++) {
    if (shown[i].arena != NULL && shown[i].wake_fd == wake_fd) return &shown[i];
  }
  return NULL;
}

napi_value onlooker_copy(napi_env env, napi_callback_info info) {
  Call call;
  int wake_fd;
  int64_t offset, bytes;
  if (!call_begin(&call, env, info, "arenaCopy") || !take_fd(&call, 0, &wake_fd) ||
      !take_int(&call, 1, "offset", 0, ARENA_BYTES, &offset) ||
      !take_int(&call, 2, "bytes", 0, ARENA_BYTES - offset, &bytes))
    return NULL;
  /* Made before the lock is taken: what is collected for it may be an exchange. */
  napi_value buffer, result = NULL;
  void *copy;
  if (napi_create_arraybuffer(env, (size_t)bytes, &copy, &buffer) != napi_ok) return NULL;
  pthread_mutex_lock(&lock);
  const Shown *found = find(wake_fd);
  if (found != NULL) memcpy(copy, found->arena + offset, (size_t)bytes);
  pthread_mutex_unlock(&lock);
  if (found == NULL)
    napi_get_null(env, &result);
  else
    napi_create_typedarray(env, napi_uint8_array, (size_t)bytes, buffer, 0, &result);
  return result;
}

napi_value onlooker_cpu(napi_env env, napi_callback_info info) {
  Call call;
  int wake_fd;
  if (!call_begin(&call, env, info, "arenaCpu") || !take_fd(&call, 0, &wake_fd)) return NULL;
  clockid_t clock;
  struct timespec used;
  double ms = -1;
  pthread_mutex_lock(&lock);
  const Shown *found = find(wake_fd);
  /* The exchange goes with its thread, at the latest, so the thread is there. */
  if (found != NULL && pthread_getcpuclockid(found->thread, &clock) == 0 && clock_gettime(clock, &used) == 0)
    ms = (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6;
  pthread_mutex_unlock(&lock);
  napi_value result = NULL;
  napi_create_double(env, ms, &result);
  return result;
}
