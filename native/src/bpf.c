/*
 * bpf(2): maps and programs.
 *
 * The kernel copies keys and values by the sizes of the map, not by those of the caller's buffers, so each map
 * operation asks the map for its sizes first. Per-CPU maps, whose values are copied once per CPU, are refused.
 * A program that does not load is loaded again with a log, which becomes the error's `log`: the verifier
 * explains there, instruction by instruction, what it did not like.
 */
#include "addon.h"
#include "call.h"
#include "error.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_LOG_BYTES (64u << 10)
#define MOST_LOG_BYTES (1u << 20)
#define MOST_BYTES (1 << 20)

/* The attribute is smaller in older kernels; they take a larger one whose tail is zero. */
static int bpf(enum bpf_cmd command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static uint64_t address(const void *pointer) { return (uint64_t)(uintptr_t)pointer; }

napi_value bpf_map_create(napi_env env, napi_callback_info info) {
  Call call;
  int64_t type, key_size, value_size, entries, flags;
  char name[BPF_OBJ_NAME_LEN];
  if (!call_begin(&call, env, info, "bpfMapCreate") || !take_int(&call, 0, "type", 0, UINT32_MAX, &type) ||
      !take_int(&call, 1, "keySize", 0, UINT32_MAX, &key_size) ||
      !take_int(&call, 2, "valueSize", 0, UINT32_MAX, &value_size) ||
      !take_int(&call, 3, "entries", 0, UINT32_MAX, &entries) ||
      !take_int(&call, 4, "flags", 0, UINT32_MAX, &flags) || !take_text(&call, 5, "name", name, sizeof name))
    return NULL;
  union bpf_attr attributes = {
      .map_type = (uint32_t)type,
      .key_size = (uint32_t)key_size,
      .value_size = (uint32_t)value_size,
      .max_entries = (uint32_t)entries,
      .map_flags = (uint32_t)flags,
  };
  memcpy(attributes.map_name, name, strlen(name));
  int fd = bpf(BPF_MAP_CREATE, &attributes);
  if (fd < 0) return throw_errno(env, errno, "bpf(BPF_MAP_CREATE)", "make BPF map %s", name);
  return int_value(env, fd);
}

/* Takes the map from argument 0 and the sizes of its keys and values from the kernel. */
static bool take_map(const Call *call, int *fd, struct bpf_map_info *map) {
  if (!take_fd(call, 0, fd)) return false;
  memset(map, 0, sizeof *map);
  union bpf_attr attributes = {
      .info = {.bpf_fd = (uint32_t)*fd, .info_len = sizeof *map, .info = address(map)},
  };
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) < 0) {
    throw_errno(call->env, errno, "bpf(BPF_OBJ_GET_INFO_BY_FD)", "read what BPF map descriptor %d is", *fd);
    return false;
  }
  switch (map->type) {
    case BPF_MAP_TYPE_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
    case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
      return refuse(call, "per-CPU maps are not supported");
    default:
      return true;
  }
}

static napi_value fail_on_map(napi_env env, const char *syscall, const char *verb, const struct bpf_map_info *map) {
  return throw_errno(env, errno, syscall, "%s BPF map %s", verb, map->name);
}

napi_value bpf_map_update(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  struct bpf_map_info map;
  Bytes key, value;
  if (!call_begin(&call, env, info, "bpfMapUpdate") || !take_map(&call, &fd, &map) ||
      !take_sized_bytes(&call, 1, "key", map.key_size, &key) ||
      !take_sized_bytes(&call, 2, "value", map.value_size, &value))
    return NULL;
  union bpf_attr attributes = {
      .map_fd = (uint32_t)fd, .key = address(key.data), .value = address(value.data), .flags = BPF_ANY};
  if (bpf(BPF_MAP_UPDATE_ELEM, &attributes) < 0) return fail_on_map(env, "bpf(BPF_MAP_UPDATE_ELEM)", "write to", &map);
  return undefined(env);
}

napi_value bpf_map_delete(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  struct bpf_map_info map;
  Bytes key;
  if (!call_begin(&call, env, info, "bpfMapDelete") || !take_map(&call, &fd, &map) ||
      !take_sized_bytes(&call, 1, "key", map.key_size, &key))
    return NULL;
  union bpf_attr attributes = {.map_fd = (uint32_t)fd, .key = address(key.data)};
  bool deleted = bpf(BPF_MAP_DELETE_ELEM, &attributes) == 0;
  if (!deleted && errno != ENOENT) return fail_on_map(env, "bpf(BPF_MAP_DELETE_ELEM)", "delete from", &map);
  return boolean(env, deleted);
}

static napi_value null(napi_env env) {
  napi_value value = NULL;
  napi_get_null(env, &value);
  return value;
}

napi_value bpf_map_lookup(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  struct bpf_map_info map;
  Bytes key;
  int64_t value_size;
  if (!call_begin(&call, env, info, "bpfMapLookup") || !take_map(&call, &fd, &map) ||
      !take_sized_bytes(&call, 1, "key", map.key_size, &key) ||
      !take_int(&call, 2, "valueSize", map.value_size, map.value_size, &value_size))
    return NULL;
  void *value = malloc(map.value_size);
  if (value == NULL) return throw_errno(env, ENOMEM, "malloc", "read from BPF map %s", map.name);
  union bpf_attr attributes = {.map_fd = (uint32_t)fd, .key = address(key.data), .value = address(value)};
  napi_value result;
  if (bpf(BPF_MAP_LOOKUP_ELEM, &attributes) == 0)
    result = copy_to_uint8array(env, value, map.value_size);
  else if (errno == ENOENT)
    result = null(env);
  else
    result = fail_on_map(env, "bpf(BPF_MAP_LOOKUP_ELEM)", "read from", &map);
  free(value);
  return result;
}

napi_value bpf_map_next_key(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  struct bpf_map_info map;
  Bytes key = {0};
  int64_t key_size;
  if (!call_begin(&call, env, info, "bpfMapNextKey") || !take_map(&call, &fd, &map) ||
      !(is_null(&call, 1) || take_sized_bytes(&call, 1, "key", map.key_size, &key)) ||
      !take_int(&call, 2, "keySize", map.key_size, map.key_size, &key_size))
    return NULL;
  void *next = malloc(map.key_size);
  if (next == NULL) return throw_errno(env, ENOMEM, "malloc", "list BPF map %s", map.name);
  union bpf_attr attributes = {.map_fd = (uint32_t)fd, .key = address(key.data), .next_key = address(next)};
  napi_value result;
  if (bpf(BPF_MAP_GET_NEXT_KEY, &attributes) == 0)
    result = copy_to_uint8array(env, next, map.key_size);
  else if (errno == ENOENT)
    result = null(env);
  else
    result = fail_on_map(env, "bpf(BPF_MAP_GET_NEXT_KEY)", "list", &map);
  free(next);
  return result;
}

/* Returns a descriptor or a negative errno. EAGAIN: a signal came while the program was verified. */
static int load(union bpf_attr *attributes) {
  int fd;
  do fd = bpf(BPF_PROG_LOAD, attributes);
  while (fd < 0 && errno == EAGAIN);
  return fd < 0 ? -errno : fd;
}

/* As load, for a program that failed; sets *log to the verifier's words, which the caller frees, or NULL. */
static int load_with_log(union bpf_attr *attributes, char **log) {
  for (uint32_t size = FIRST_LOG_BYTES;; size *= 4) {
    *log = calloc(1, size);
    if (*log == NULL) return -ENOMEM;
    attributes->log_level = 1;
    attributes->log_size = size;
    attributes->log_buf = address(*log);
    int fd = load(attributes);
    if (fd != -ENOSPC || size >= MOST_LOG_BYTES) return fd;
    free(*log);
  }
}

static napi_value throw_load_error(napi_env env, int error, const char *name, const char *log) {
  char doing[64];
  snprintf(doing, sizeof doing, "load BPF program %s", name);
  napi_value thrown = make_errno(env, error, "bpf(BPF_PROG_LOAD)", doing);
  napi_value text;
  if (thrown != NULL && napi_create_string_utf8(env, log == NULL ? "" : log, NAPI_AUTO_LENGTH, &text) == napi_ok &&
      napi_set_named_property(env, thrown, "log", text) == napi_ok)
    napi_throw(env, thrown);
  return NULL;
}

napi_value bpf_prog_load(napi_env env, napi_callback_info info) {
  Call call;
  int64_t type;
  Bytes program;
  char name[BPF_OBJ_NAME_LEN];
  if (!call_begin(&call, env, info, "bpfProgLoad") || !take_int(&call, 0, "type", 0, UINT32_MAX, &type) ||
      !take_bytes(&call, 1, "insns", &program) || !take_text(&call, 2, "name", name, sizeof name))
    return NULL;
  if (program.length % sizeof(struct bpf_insn) != 0) {
    refuse(&call, "insns must be whole instructions of %zu bytes", sizeof(struct bpf_insn));
    return NULL;
  }
  union bpf_attr attributes = {
      .prog_type = (uint32_t)type,
      .insn_cnt = (uint32_t)(program.length / sizeof(struct bpf_insn)),
      .insns = address(program.data),
      .license = address("GPL"),
  };
  memcpy(attributes.prog_name, name, strlen(name));
  int fd = load(&attributes);
  if (fd >= 0) return int_value(env, fd);
  int error = -fd;
  char *log = NULL;
  fd = load_with_log(&attributes, &log);
  napi_value result = fd >= 0 ? int_value(env, fd) : throw_load_error(env, error, name, log);
  free(log);
  return result;
}

napi_value bpf_prog_run(napi_env env, napi_callback_info info) {
  Call call;
  int fd;
  Bytes input;
  int64_t output_size;
  if (!call_begin(&call, env, info, "bpfProgRun") || !take_fd(&call, 0, &fd) ||
      !take_bytes(&call, 1, "input", &input) || !take_int(&call, 2, "outputSize", 0, MOST_BYTES, &output_size))
    return NULL;
  if (input.length > MOST_BYTES) {
    refuse(&call, "input must have at most %d bytes", MOST_BYTES);
    return NULL;
  }
  uint8_t *output = calloc(1, (size_t)output_size + 1);
  if (output == NULL) return throw_errno(env, ENOMEM, "calloc", "run a BPF program");
  union bpf_attr attributes = {
      .test = {.prog_fd = (uint32_t)fd,
               .data_in = address(input.data),
               .data_size_in = (uint32_t)input.length,
               .data_out = output_size > 0 ? address(output) : 0,
               .data_size_out = (uint32_t)output_size,
               .repeat = 1},
  };
  napi_value result = NULL, bytes;
  if (bpf(BPF_PROG_TEST_RUN, &attributes) < 0) {
    throw_errno(env, errno, "bpf(BPF_PROG_TEST_RUN)", "run BPF program descriptor %d", fd);
  } else {
    size_t length = output_size > 0 ? attributes.test.data_size_out : 0;
    bytes = copy_to_uint8array(env, output, length);
    if (bytes == NULL || napi_create_object(env, &result) != napi_ok ||
        napi_set_named_property(env, result, "returnValue", int_value(env, (int32_t)attributes.test.retval)) !=
            napi_ok ||
        napi_set_named_property(env, result, "output", bytes) != napi_ok)
      result = NULL;
  }
  free(output);
  return result;
}
