/*
 * Failed system calls as JavaScript errors.
 *
 * They look like Node's own: `code` is the name of the errno, `errno` its negative number, `syscall` what was
 * called. The message says what was being done: "cannot open TUN device g0: ioctl(TUNSETIFF): Operation not
 * permitted (EPERM)".
 *
 * The names are listed here because libuv knows only some of them (EBADFD and ENOTSUPP are missing) and glibc
 * only since 2.32.
 */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Internal to the kernel, but bpf(2) lets it out. */
#ifndef ENOTSUPP
#define ENOTSUPP 524
#endif

#define NAME(error) case error: return #error;

static const char *errno_name(int error) {
  switch (error) {
    NAME(E2BIG) NAME(EACCES) NAME(EADDRINUSE) NAME(EADDRNOTAVAIL) NAME(EAFNOSUPPORT) NAME(EAGAIN)
    NAME(EALREADY) NAME(EBADF) NAME(EBADFD) NAME(EBADMSG) NAME(EBUSY) NAME(ECANCELED) NAME(ECHILD)
    NAME(ECONNABORTED) NAME(ECONNREFUSED) NAME(ECONNRESET) NAME(EDEADLK) NAME(EDESTADDRREQ) NAME(EDOM)
    NAME(EDQUOT) NAME(EEXIST) NAME(EFAULT) NAME(EFBIG) NAME(EHOSTDOWN) NAME(EHOSTUNREACH) NAME(EIDRM)
    NAME(EILSEQ) NAME(EINPROGRESS) NAME(EINTR) NAME(EINVAL) NAME(EIO) NAME(EISCONN) NAME(EISDIR)
    NAME(ELOOP) NAME(EMFILE) NAME(EMLINK) NAME(EMSGSIZE) NAME(ENAMETOOLONG) NAME(ENETDOWN)
    NAME(ENETRESET) NAME(ENETUNREACH) NAME(ENFILE) NAME(ENOBUFS) NAME(ENODATA) NAME(ENODEV) NAME(ENOENT)
    NAME(ENOEXEC) NAME(ENOLCK) NAME(ENOLINK) NAME(ENOMEM) NAME(ENOMSG) NAME(ENOPROTOOPT) NAME(ENOSPC)
    NAME(ENOSYS) NAME(ENOTCONN) NAME(ENOTDIR) NAME(ENOTEMPTY) NAME(ENOTSOCK) NAME(ENOTSUPP) NAME(ENOTTY)
    NAME(ENOTUNIQ) NAME(ENXIO) NAME(EOPNOTSUPP) NAME(EOVERFLOW) NAME(EPERM) NAME(EPFNOSUPPORT)
    NAME(EPIPE) NAME(EPROTO) NAME(EPROTONOSUPPORT) NAME(EPROTOTYPE) NAME(ERANGE) NAME(EREMOTEIO)
    NAME(EROFS) NAME(ESHUTDOWN) NAME(ESOCKTNOSUPPORT) NAME(ESPIPE) NAME(ESRCH) NAME(ESTALE)
    NAME(ETIMEDOUT) NAME(ETXTBSY) NAME(EUSERS) NAME(EXDEV)
    default: return NULL;
  }
}

napi_value make_errno(napi_env env, int error, const char *syscall, const char *doing) {
  char number[16];
  const char *code = errno_name(error);
  if (code == NULL) {
    snprintf(number, sizeof number, "E%d", error);
    code = number;
  }
  char message[768];
  snprintf(message, sizeof message, "cannot %s: %s: %s (%s)", doing, syscall,
           error == ENOTSUPP ? "Operation not supported" : strerror(error), code);

  napi_value code_value, message_value, syscall_value, errno_value, result;
  if (napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value) != napi_ok ||
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &message_value) != napi_ok ||
      napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &syscall_value) != napi_ok ||
      napi_create_int32(env, -error, &errno_value) != napi_ok ||
      napi_create_error(env, code_value, message_value, &result) != napi_ok ||
      napi_set_named_property(env, result, "errno", errno_value) != napi_ok ||
      napi_set_named_property(env, result, "syscall", syscall_value) != napi_ok)
    return NULL;
  return result;
}

napi_value throw_errno(napi_env env, int error, const char *syscall, const char *doing, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, doing);
  vsnprintf(text, sizeof text, doing, arguments);
  va_end(arguments);
  napi_value thrown = make_errno(env, error, syscall, text);
  if (thrown != NULL) napi_throw(env, thrown);
  return NULL;
}
