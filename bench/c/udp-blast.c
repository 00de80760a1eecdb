/*
 * udp-blast ADDRESS PORT SECONDS - send 18-byte UDP datagrams as fast as the kernel takes them.
 *
 * 18 bytes of payload make the smallest Ethernet frame (14 + 20 + 8 + 18 = 60). One flow, 64 datagrams to
 * a system call. Stops after SECONDS at the latest; whoever started it may end it earlier. Refusals
 * (an ICMP error that came back, a full queue) are not failures: offering too much is the point.
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

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct mmsghdr messages[BATCH];
	char payload[PAYLOAD + 1] = "natgate-bench-data";
	struct iovec vector = { .iov_base = payload, .iov_len = PAYLOAD };
	double end;
	int s;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: udp-blast ADDRESS PORT SECONDS\n");
		return 2;
	}
	to.sin_port = htons(atoi(argv[2]));
	end = now() + atof(argv[3]);

	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (s < 0 || connect(s, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("udp-blast: connect");
		return 1;
	}
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &vector;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (now() < end) {
		if (sendmmsg(s, messages, BATCH, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS &&
		    errno != EHOSTUNREACH && errno != ENETUNREACH && errno != EINTR) {
			perror("udp-blast: sendmmsg");
			return 1;
		}
	}
	return 0;
}
