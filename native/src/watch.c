/*
 * Calls back on the event loop whenever a descriptor is readable, for netlink sockets and the like.
 *
 * A watch is a uv_poll handle. It has two owners: libuv, until the handle's close callback has run, and the
 * `close` function that JavaScript holds, until that is collected; its memory goes with the later of them. When
 * its thread ends first, an async cleanup hook closes it, because a loop must not end with an open handle.
 * An exception in the callback is an uncaught exception, as in any event of Node. Close a watch before its
 * descriptor.
 */
#include "addon.h"
#include "call.h"
#include "error.h"

#include <fcntl.h>
#include <errno.h>
#include <stdlib.h>
#include <uv.h>

typedef struct {
  uv_poll_t poll;
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
  bool closing;
  unsigned owners;
} Watch;

static void release(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  Watch *watch = data;
  if (--watch->owners == 0) free(watch);
}

static void on_closed(uv_handle_t *handle) {
  Watch *watch = handle->data;
  napi_remove_async_cleanup_hook(watch->hook);
  release(watch->env, watch, NULL);
}

static void stop(Watch *watch) {
  if (watch->closing) return;
  watch->closing = true;
  uv_poll_stop(&watch->poll);
  napi_delete_reference(watch->env, watch->callback);
  napi_async_destroy(watch->env, watch->context);
  uv_close((uv_handle_t *)&watch->poll, on_closed);
}

static void on_thread_end(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  stop(data);
}

static void on_readable(uv_poll_t *poll, int status, int events);

/* libuv stops polling a descriptor with an error; for a netlink socket that is only lost events (ENOBUFS). */
static void resume(Watch *watch) {
  uv_os_fd_t fd;
  bool open = uv_fileno((uv_handle_t *)&watch->poll, &fd) == 0 && fcntl(fd, F_GETFD) >= 0;
  if (!open || uv_poll_start(&watch->poll, UV_READABLE, on_readable) != 0) stop(watch);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  (void)events;
  Watch *watch = poll->data;
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_value callback, receiver, exception;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_get_global(env, &receiver) == napi_ok &&
      napi_make_callback(env, watch->context, receiver, callback, 0, NULL, NULL) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
  napi_close_handle_scope(env, scope);
  if (status < 0 && !watch->closing) resume(watch);
}

static napi_value watch_close(napi_env env, napi_callback_info info) {
  void *data;
  if (napi_get_cb_info(env, info, NULL, NULL, NULL, &data) != napi_ok) return NULL;
  stop(data);
  return undefined(env);
}

napi_value watch_readable(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  napi_value callback, name, object;
  uv_loop_t *loop;
  if (!call_begin(&call, env, info, "watchReadable") || !take_fd(&call, 0, &fd) ||
      !take_function(&call, 1, "callback", &callback))
    return NULL;
  if (napi_create_object(env, &object) != napi_ok || napi_get_uv_event_loop(env, &loop) != napi_ok ||
      napi_create_string_utf8(env, "natgate:watch", NAPI_AUTO_LENGTH, &name) != napi_ok)
    return NULL;

  Watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return throw_errno(env, ENOMEM, "calloc", "watch descriptor %d", fd);
  int error = uv_poll_init(loop, &watch->poll, fd);
  if (error != 0) {
    free(watch);
    return throw_errno(env, -error, "uv_poll_init", "watch descriptor %d", fd);
  }
  watch->poll.data = watch;
  watch->env = env;
  watch->owners = 2;
  /* From here on only stop() takes it down; none of these fail in a live environment. */
  napi_create_reference(env, callback, 1, &watch->callback);
  napi_async_init(env, NULL, name, &watch->context);
  napi_add_async_cleanup_hook(env, on_thread_end, watch, &watch->hook);
  error = uv_poll_start(&watch->poll, UV_READABLE, on_readable);
  if (error != 0) {
    stop(watch);
    release(env, watch, NULL);
    return throw_errno(env, -error, "uv_poll_start", "watch descriptor %d", fd);
  }
  if (!add_method(env, object, "close", watch_close, watch, release)) {
    stop(watch);
    return NULL;
  }
  return object;
}
