/*
 * Arguments of a call from JavaScript, checked.
 *
 * Nothing a caller passes may crash the process: each argument goes through one of these functions, which throw
 * a TypeError that names the function and the argument. Lengths are checked where the kernel would read or
 * write past the end of a buffer. Typed arrays are taken with their offset; one whose buffer was detached has
 * length 0 and is refused like any other empty one.
 */
#include "call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool call_begin(Call *call, napi_env env, napi_callback_info info, const char *function) {
  size_t count = MAX_ARGUMENTS;
  call->env = env;
  call->function = function;
  return napi_get_cb_info(env, info, &count, call->argv, NULL, NULL) == napi_ok;
}

bool refuse(const Call *call, const char *text, ...) {
  char detail[256], message[320];
  va_list arguments;
  va_start(arguments, text);
  vsnprintf(detail, sizeof detail, text, arguments);
  va_end(arguments);
  snprintf(message, sizeof message, "%s: %s", call->function, detail);
  napi_throw_type_error(call->env, "ERR_INVALID_ARG", message);
  return false;
}

static bool read_int(napi_env env, napi_value value, int64_t least, int64_t most, int64_t *out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  /* Written so that NaN fails. */
  if (!(number >= (double)least && number <= (double)most)) return false;
  *out = (int64_t)number;
  return (double)*out == number;
}

bool take_int(const Call *call, size_t index, const char *what, int64_t least, int64_t most, int64_t *out) {
  if (read_int(call->env, call->argv[index], least, most, out)) return true;
  return refuse(call, "%s must be a whole number from %lld to %lld", what, (long long)least, (long long)most);
}

bool take_fd(const Call *call, size_t index, int *out) {
  int64_t fd = -1;
  if (!take_int(call, index, "the descriptor", 0, INT32_MAX, &fd)) return false;
  *out = (int)fd;
  return true;
}

bool take_bool(const Call *call, size_t index, const char *what, bool *out) {
  if (napi_get_value_bool(call->env, call->argv[index], out) == napi_ok) return true;
  return refuse(call, "%s must be true or false", what);
}

bool take_text(const Call *call, size_t index, const char *what, char *out, size_t size) {
  size_t length = 0;
  if (napi_get_value_string_utf8(call->env, call->argv[index], NULL, 0, &length) == napi_ok && length > 0 &&
      length < size && napi_get_value_string_utf8(call->env, call->argv[index], out, size, &length) == napi_ok &&
      strlen(out) == length)
    return true;
  return refuse(call, "%s must be a string of 1 to %zu bytes", what, size - 1);
}

bool take_bytes(const Call *call, size_t index, const char *what, Bytes *out) {
  bool is_typed_array = false;
  napi_typedarray_type type;
  void *data = NULL;
  if (napi_is_typedarray(call->env, call->argv[index], &is_typed_array) != napi_ok || !is_typed_array ||
      napi_get_typedarray_info(call->env, call->argv[index], &type, &out->length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array)
    return refuse(call, "%s must be a Uint8Array", what);
  if (out->length == 0 || data == NULL) return refuse(call, "%s must not be empty", what);
  out->data = data;
  return true;
}

bool take_sized_bytes(const Call *call, size_t index, const char *what, size_t length, Bytes *out) {
  if (!take_bytes(call, index, what, out)) return false;
  if (out->length == length) return true;
  return refuse(call, "%s must have %zu bytes, not %zu", what, length, out->length);
}

bool take_ints(const Call *call, size_t index, const char *what, int64_t least, int64_t most, uint32_t capacity,
               int32_t *out, uint32_t *count) {
  bool is_array = false;
  if (napi_is_array(call->env, call->argv[index], &is_array) != napi_ok || !is_array ||
      napi_get_array_length(call->env, call->argv[index], count) != napi_ok || *count > capacity)
    return refuse(call, "%s must be an array of at most %u numbers", what, capacity);
  for (uint32_t i = 0; i < *count; i++) {
    napi_value element;
    int64_t number;
    if (napi_get_element(call->env, call->argv[index], i, &element) != napi_ok) return false;
    if (!read_int(call->env, element, least, most, &number))
      return refuse(call, "%s must be whole numbers from %lld to %lld", what, (long long)least, (long long)most);
    out[i] = (int32_t)number;
  }
  return true;
}

bool take_function(const Call *call, size_t index, const char *what, napi_value *out) {
  napi_valuetype type;
  *out = call->argv[index];
  if (napi_typeof(call->env, *out, &type) == napi_ok && type == napi_function) return true;
  return refuse(call, "%s must be a function", what);
}

bool is_null(const Call *call, size_t index) {
  napi_valuetype type;
  return napi_typeof(call->env, call->argv[index], &type) == napi_ok && type == napi_null;
}

napi_value undefined(napi_env env) {
  napi_value value = NULL;
  napi_get_undefined(env, &value);
  return value;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value int_value(napi_env env, int32_t value) {
  napi_value result = NULL;
  napi_create_int32(env, value, &result);
  return result;
}

napi_value copy_to_uint8array(napi_env env, const void *bytes, size_t length) {
  napi_value buffer, array;
  void *data;
  if (napi_create_arraybuffer(env, length, &data, &buffer) != napi_ok) return NULL;
  if (length > 0) memcpy(data, bytes, length);
  if (napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &array) != napi_ok) return NULL;
  return array;
}

bool add_method(napi_env env, napi_value object, const char *name, napi_callback callback, void *data,
                napi_finalize finalize) {
  napi_value function;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function) != napi_ok ||
      napi_add_finalizer(env, function, data, finalize, NULL, NULL) != napi_ok) {
    finalize(env, data, NULL);
    return false;
  }
  return napi_set_named_property(env, object, name, function) == napi_ok;
}
