/*
 * Arguments of a call from JavaScript. See call.c.
 *
 * Every take_* function returns false with a TypeError pending when the argument is not what it should be.
 */
#ifndef NATGATE_CALL_H
#define NATGATE_CALL_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_ARGUMENTS 6

typedef struct {
  napi_env env;
  const char *function; /* its JavaScript name, for messages */
  napi_value argv[MAX_ARGUMENTS];
} Call;

/* The memory of a Uint8Array. Valid until JavaScript runs again. */
typedef struct {
  uint8_t *data;
  size_t length;
} Bytes;

/* Arguments that were not given are undefined. */
bool call_begin(Call *call, napi_env env, napi_callback_info info, const char *function);

bool take_int(const Call *call, size_t index, const char *what, int64_t least, int64_t most, int64_t *out);
bool take_fd(const Call *call, size_t index, int *out);
bool take_bool(const Call *call, size_t index, const char *what, bool *out);
/* Text of at least one byte that fits in `size` with its NUL, without a NUL of its own. */
bool take_text(const Call *call, size_t index, const char *what, char *out, size_t size);
bool take_bytes(const Call *call, size_t index, const char *what, Bytes *out);
/* As take_bytes, with just `length` bytes. */
bool take_sized_bytes(const Call *call, size_t index, const char *what, size_t length, Bytes *out);
bool take_ints(const Call *call, size_t index, const char *what, int64_t least, int64_t most, uint32_t capacity,
               int32_t *out, uint32_t *count);
bool take_function(const Call *call, size_t index, const char *what, napi_value *out);
bool is_null(const Call *call, size_t index);

/* Throws a TypeError "function: text"; returns false. */
bool refuse(const Call *call, const char *text, ...) __attribute__((format(printf, 2, 3)));

napi_value undefined(napi_env env);
napi_value boolean(napi_env env, bool value);
napi_value int_value(napi_env env, int32_t value);
/* A Uint8Array of its own with a copy of the bytes; NULL with an exception pending when there is no memory. */
napi_value copy_to_uint8array(napi_env env, const void *bytes, size_t length);

/* Gives an object a method. `finalize(env, data, NULL)` runs when the method is collected, or at once on failure. */
bool add_method(napi_env env, napi_value object, const char *name, napi_callback callback, void *data,
                napi_finalize finalize);

#endif
