/*
 * udp-rtt ADDRESS PORT SECONDS INTERVAL - round-trip times of small datagrams that udp-echo sends back.
 *
 * One every INTERVAL microseconds, whether or not the last one has come back: an answer that is late delays no other
 * question, so none of the bad moments is left out. After SECONDS it waits 200 ms more for answers. Prints one line of
 * JSON: how many were sent, and the times in microseconds of those that came back. ping knows no interval below
 * 2 ms for everybody, and its own work is part of what it measures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define PAYLOAD 18
#define LINGER_NS 200000000

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	char payload[PAYLOAD] = { 0 };
	int64_t *times, begun, end, next, interval, t;
	size_t room, sent = 0, received = 0;
	struct pollfd readable;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || atof(argv[4]) < 1) {
		fprintf(stderr, "usage: udp-rtt ADDRESS PORT SECONDS INTERVAL\n");
		return 2;
	}
	to.sin_port = htons(atoi(argv[2]));
	interval = atof(argv[4]) * 1000;
	room = atof(argv[3]) * 1e9 / interval + 2;
	times = calloc(room, sizeof(*times));
	readable = (struct pollfd){ .fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), .events = POLLIN };
	if (times == NULL || readable.fd < 0 || connect(readable.fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("udp-rtt: connect");
		return 1;
	}
	prctl(PR_SET_TIMERSLACK, 1UL);

	begun = next = t = now();
	end = begun + atof(argv[3]) * 1e9;
	while (t < end ? 1 : received < sent && t < end + LINGER_NS) {
		struct timespec wait;
		int64_t until;

		if (t < end && t >= next && sent < room) {
			memcpy(payload, &t, sizeof(t));
			/* A refusal is an answer that will not come. */
			if (send(readable.fd, payload, PAYLOAD, 0) < 0 && errno != EAGAIN && errno != ECONNREFUSED &&
			    errno != ENOBUFS) {
				perror("udp-rtt: send");
				return 1;
			}
			sent++;
			next += interval;
		}
		until = t < end && sent < room ? next : end + LINGER_NS;
		t = now();
		until = until > t ? until - t : 0;
		wait = (struct timespec){ until / 1000000000, until % 1000000000 };
		if (ppoll(&readable, 1, &wait, NULL) > 0) {
			while (recv(readable.fd, payload, PAYLOAD, 0) == PAYLOAD && received < room) {
				memcpy(&begun, payload, sizeof(begun));
				times[received++] = now() - begun;
			}
		}
		t = now();
	}
	printf("{\"sent\":%zu,\"times\":[", sent);
	for (size_t i = 0; i < received; i++)
		printf("%s%.1f", i == 0 ? "" : ",", times[i] / 1000.0);
	puts("]}");
	return 0;
}
