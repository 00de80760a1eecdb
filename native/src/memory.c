/*
 * Files and BPF maps as memory.
 *
 * A mapping becomes an external ArrayBuffer, a plain one: V8's set and copy are several times slower on a
 * SharedArrayBuffer. It is unmapped when the buffer is collected or its thread ends. Reading a mapped file past
 * its end would be SIGBUS and the end of the process, hence the check of its size; a file that is cut short
 * later is the caller's fault. `fallocate` makes sure of the pages, so that a full file system shows at once.
 */
#include "addon.h"
#include "call.h"
#include "error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* V8 aborts the process on a length that it cannot have; 2^32 is the longest typed array of Node 20. */
#define MOST_BYTES ((int64_t)1 << 32)

static void unmap(napi_env env, void *address, void *bytes) {
  (void)env;
  munmap(address, (size_t)(uintptr_t)bytes);
}

napi_value memory_map(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  int64_t bytes;
  bool writable;
  if (!call_begin(&call, env, info, "mmap") || !take_fd(&call, 0, &fd) ||
      !take_int(&call, 1, "bytes", 1, MOST_BYTES, &bytes) || !take_bool(&call, 2, "writable", &writable))
    return NULL;

  struct stat status;
  if (fstat(fd, &status) < 0) return throw_errno(env, errno, "fstat", "map descriptor %d", fd);
  if (S_ISREG(status.st_mode) && status.st_size < bytes) {
    refuse(&call, "the file has %lld bytes, fewer than the %lld to map", (long long)status.st_size,
           (long long)bytes);
    return NULL;
  }

  void *address = mmap(NULL, (size_t)bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (address == MAP_FAILED)
    return throw_errno(env, errno, "mmap", "map %lld bytes of descriptor %d", (long long)bytes, fd);

  napi_value result;
  if (napi_create_external_arraybuffer(env, address, (size_t)bytes, unmap, (void *)(uintptr_t)bytes, &result) !=
      napi_ok) {
    munmap(address, (size_t)bytes);
    return NULL;
  }
  return result;
}

napi_value memory_fallocate(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  int64_t bytes;
  if (!call_begin(&call, env, info, "fallocate") || !take_fd(&call, 0, &fd) ||
      !take_int(&call, 1, "bytes", 1, MOST_BYTES, &bytes))
    return NULL;
  int result;
  /* tmpfs gives up at a signal. */
  do result = fallocate(fd, 0, 0, bytes);
  while (result < 0 && errno == EINTR);
  if (result < 0)
    return throw_errno(env, errno, "fallocate", "allocate %lld bytes for descriptor %d", (long long)bytes, fd);
  return undefined(env);
}
