/*
 * Makes any kernel one without UDP segmentation offload, as Linux was before 6.2: preloaded, it refuses a writev that begins with
 * a virtio_net_hdr of gso_type UDP_L4.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define GSO_UDP_L4 5

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6];
	va_list arguments;

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (number == SYS_writev && ((const uint8_t *)((const struct iovec *)a[1])->iov_base)[1] == GSO_UDP_L4) {
		errno = EINVAL;
		return -1;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
