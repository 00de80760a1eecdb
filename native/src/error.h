/* Failed system calls as JavaScript errors. See error.c. */
#ifndef NATGATE_ERROR_H
#define NATGATE_ERROR_H

#include <node_api.h>

/*
 * Throws an Error for a failed system call. `error` is a positive errno, `syscall` what was called, e.g.
 * "ioctl(TUNSETIFF)", and the format says what was being done, as it follows "cannot". Returns NULL, so that
 * a function can end with `return throw_errno(...)`.
 */
napi_value throw_errno(napi_env env, int error, const char *syscall, const char *doing, ...)
    __attribute__((format(printf, 4, 5)));

/* The same error, not thrown, for a caller that adds properties. */
napi_value make_errno(napi_env env, int error, const char *syscall, const char *doing);

#endif
