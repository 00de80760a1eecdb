/*
 * udp-sink PORT SECONDS - count the datagrams of udp-blast that arrive within SECONDS after the first.
 *
 * Prints "ready" once it listens, and at the end one line of JSON: how many arrived, in how many seconds,
 * and the source address of the first one, so that the caller can tell translated packets from others.
 * Gives up, with received 0, when nothing arrives for 5 s.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define PAYLOAD 18
#define PATIENCE 5.0

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static char buffers[BATCH][64];
	struct sockaddr_in here = { .sin_family = AF_INET }, sources[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	struct timeval timeout = { .tv_usec = 50000 };
	char source[INET_ADDRSTRLEN] = "";
	unsigned long received = 0;
	double seconds, begun, first = 0, t;
	int s, room = 8 << 20;

	if (argc != 3) {
		fprintf(stderr, "usage: udp-sink PORT SECONDS\n");
		return 2;
	}
	here.sin_port = htons(atoi(argv[1]));
	seconds = atof(argv[2]);

	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof(here)) < 0) {
		perror("udp-sink: bind");
		return 1;
	}
	/* A wake-up must not cost datagrams. Without CAP_NET_ADMIN the default size has to do. */
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));

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
		if (n > 0 && !first) {
			first = t;
			inet_ntop(AF_INET, &sources[0].sin_addr, source, sizeof(source));
		}
		for (int i = 0; i < n; i++)
			received += messages[i].msg_len == PAYLOAD;
		if (first ? t >= first + seconds : t >= begun + PATIENCE)
			break;
	}
	printf("{\"received\":%lu,\"seconds\":%.6f,\"source\":\"%s\"}\n", received, first ? t - first : 0, source);
	return 0;
}
