/*
 * udp-blast [-b BYTES] [-r RATE] [-a ADDRESSES] [-s SOCKETS] ADDRESS PORT SECONDS - send UDP datagrams.
 *
 * BYTES of payload (18: the smallest Ethernet frame, 14 + 20 + 8 + 18 = 60). Flows are SOCKETS source ports times
 * ADDRESSES consecutive destinations, taken in turn. Up to 64 datagrams to a system call. Without RATE as fast as the
 * kernel takes them; with it, RATE a second, evenly: it sleeps between bursts of about 100 us, because a sender that
 * spins would take a processor from what is measured, and never makes up for more than 1 ms that it missed.
 *
 * Stops after SECONDS, or earlier if it is ended, and prints one line of JSON. Refusals (an ICMP error that came back,
 * a full queue) are not failures: offering too much is the point.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MAX_SOCKETS 1024
#define MAX_BYTES 9000
#define BURST_SECONDS 100e-6
#define MISSED_SECONDS 1e-3

static volatile sig_atomic_t ended;

static void end_now(int signal)
{
	(void)signal;
	ended = 1;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void sleep_until(double when)
{
	struct timespec t = { .tv_sec = (time_t)when, .tv_nsec = (long)((when - (time_t)when) * 1e9) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int usage(void)
{
	fprintf(stderr, "usage: udp-blast [-b BYTES] [-r RATE] [-a ADDRESSES] [-s SOCKETS] ADDRESS PORT SECONDS\n");
	return 2;
}

int main(int argc, char **argv)
{
	static char payload[MAX_BYTES];
	static int sockets[MAX_SOCKETS];
	struct sockaddr_in first = { .sin_family = AF_INET }, to[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec vector = { .iov_base = payload };
	int bytes = 18, addresses = 1, count = 1, option;
	unsigned long sent = 0, turn = 0, address = 0;
	double rate = 0, begun, end, next, t;
	int batch = BATCH;

	while ((option = getopt(argc, argv, "b:r:a:s:")) != -1) {
		if (option == 'b')
			bytes = atoi(optarg);
		else if (option == 'r')
			rate = atof(optarg);
		else if (option == 'a')
			addresses = atoi(optarg);
		else if (option == 's')
			count = atoi(optarg);
		else
			return usage();
	}
	if (argc - optind != 3 || inet_pton(AF_INET, argv[optind], &first.sin_addr) != 1 || bytes < 1 ||
	    bytes > MAX_BYTES || addresses < 1 || count < 1 || count > MAX_SOCKETS || rate < 0)
		return usage();
	first.sin_port = htons(atoi(argv[optind + 1]));
	vector.iov_len = bytes;

	for (int i = 0; i < count; i++) {
		sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
		/* Connected it need not look for the route of each datagram. */
		if (sockets[i] < 0 ||
		    (addresses == 1 && connect(sockets[i], (struct sockaddr *)&first, sizeof(first)) < 0)) {
			perror("udp-blast: socket");
			return 1;
		}
	}
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		to[i] = first;
		messages[i].msg_hdr.msg_iov = &vector;
		messages[i].msg_hdr.msg_iovlen = 1;
		if (addresses > 1) {
			messages[i].msg_hdr.msg_name = &to[i];
			messages[i].msg_hdr.msg_namelen = sizeof(to[i]);
		}
	}
	signal(SIGTERM, end_now);
	/* The default slack of 50 us is half a burst. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (rate > 0) {
		batch = (int)(rate * BURST_SECONDS + 0.5);
		batch = batch < 1 ? 1 : batch > BATCH ? BATCH : batch;
	}

	begun = next = t = now();
	end = begun + atof(argv[optind + 2]);
	while (t < end && !ended) {
		int n;

		if (rate > 0) {
			if (next > t) {
				sleep_until(next);
				t = now();
			}
			if (next < t - MISSED_SECONDS)
				next = t - MISSED_SECONDS;
			next += batch / rate;
		}
		for (int i = 0; addresses > 1 && i < batch; i++) {
			to[i].sin_addr.s_addr = htonl(ntohl(first.sin_addr.s_addr) + address);
			address = address + 1 == (unsigned long)addresses ? 0 : address + 1;
		}
		n = sendmmsg(sockets[turn], messages, batch, 0);
		turn = turn + 1 == (unsigned long)count ? 0 : turn + 1;
		if (n > 0)
			sent += n;
		else if (n < 0 && errno != ECONNREFUSED && errno != ENOBUFS && errno != EHOSTUNREACH &&
			 errno != ENETUNREACH && errno != EINTR) {
			perror("udp-blast: sendmmsg");
			return 1;
		}
		t = now();
	}
	printf("{\"sent\":%lu,\"seconds\":%.6f}\n", sent, t - begun);
	return 0;
}
