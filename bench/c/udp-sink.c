/*
 * udp-sink PORT SECONDS [BYTES] - count datagrams of BYTES of payload (18) that arrive at any local address.
 *
 * Within SECONDS after the first; with SECONDS 0 until it is ended by SIGTERM. Prints "ready" once it listens, and at the
 * end one line of JSON: how many arrived, in how many seconds (with SECONDS 0: between the first and the last), and
 * the source address of the first one, so that the caller can tell translated packets from others. Gives up, with
 * received 0, when nothing arrives for 5 s.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define MAX_BYTES 9000
#define PATIENCE 5.0

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

int main(int argc, char **argv)
{
	static char buffers[BATCH][MAX_BYTES];
	struct sockaddr_in here = { .sin_family = AF_INET }, sources[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	struct timeval timeout = { .tv_usec = 50000 };
	struct sigaction action = { .sa_handler = end_now };
	char source[INET_ADDRSTRLEN] = "";
	unsigned long received = 0;
	double seconds, begun, first = 0, last = 0, t;
	unsigned bytes = 18;
	int s, room = 8 << 20;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: udp-sink PORT SECONDS [BYTES]\n");
		return 2;
	}
	here.sin_port = htons(atoi(argv[1]));
	seconds = atof(argv[2]);
	if (argc == 4)
		bytes = atoi(argv[3]);

	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof(here)) < 0) {
		perror("udp-sink: bind");
		return 1;
	}
	/* A wake-up must not cost datagrams. Without CAP_NET_ADMIN the default size has to do. */
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	/* Not restarted: recvmmsg returns EINTR. */
	sigaction(SIGTERM, &action, NULL);

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		vectors[i].iov_base = buffers[i];
		vectors[i].iov_len = sizeof(buffers[i]);
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = &sources[i];
	}
	puts("ready");
	fflush(stdout);

	begun = now();
	for (;;) {
		int n;

		for (int i = 0; i < BATCH; i++)
			messages[i].msg_hdr.msg_namelen = sizeof(sources[i]);
		n = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
		t = now();
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			perror("udp-sink: recvmmsg");
			return 1;
		}
		if (n > 0)
			last = t;
		if (n > 0 && !first) {
			first = t;
			inet_ntop(AF_INET, &sources[0].sin_addr, source, sizeof(source));
		}
		for (int i = 0; i < n; i++)
			received += messages[i].msg_len == bytes;
		/* What has arrived by then is counted, so an end takes effect when there is nothing more. */
		if (seconds > 0 && first ? t >= first + seconds : ended && n <= 0)
			break;
		if (!first && t >= begun + PATIENCE)
			break;
	}
	printf("{\"received\":%lu,\"seconds\":%.6f,\"source\":\"%s\"}\n", received, (seconds > 0 && first ? t : last) - first,
	       source);
	return 0;
}
