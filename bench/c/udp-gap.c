/*
 * udp-gap ADDRESS PORT INTERVAL THRESHOLD - how long nothing comes back of a steady stream that udp-echo sends back.
 *
 * A datagram every INTERVAL microseconds until standard input ends. Times are milliseconds of CLOCK_MONOTONIC. Each line is JSON: for
 * each time longer than THRESHOLD ms between two answers {"from":T,"to":T,"late":MS} - `late` is how long the sender itself was
 * not let run meanwhile, at most -, and every half second {"at":T,"last":T,"sent":N,"received":N,"again":N}: `last` the last answer,
 * `again` answers that came twice or that answer nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 18
#define REPORT_NS 500000000
/* Answers that are later than so many others are not looked for. */
#define WINDOW (1 << 16)

static uint64_t answered[WINDOW];

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
	uint64_t sent = 0, received = 0, again = 0, number;
	int64_t interval, threshold, next, last, late = 0, ran, report, t;
	struct pollfd waits[2] = { { .events = POLLIN }, { STDIN_FILENO, POLLIN, 0 } };

	if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || atof(argv[3]) < 1) {
		fprintf(stderr, "usage: udp-gap ADDRESS PORT INTERVAL THRESHOLD\n");
		return 2;
	}
	to.sin_port = htons(atoi(argv[2]));
	interval = atof(argv[3]) * 1000;
	threshold = atof(argv[4]) * 1000000;
	/* Not connected: an ICMP error is no end of it. */
	waits[0].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (waits[0].fd < 0) {
		perror("udp-gap: socket");
		return 1;
	}
	prctl(PR_SET_TIMERSLACK, 1UL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	t = ran = next = last = report = now();
	for (;;) {
		struct timespec wait;
		int64_t until = next > t ? next - t : 0;

		wait = (struct timespec){ until / 1000000000, until % 1000000000 };
		ppoll(waits, 2, &wait, NULL);
		if (waits[1].revents)
			break;
		t = now();
		if (t - ran > late)
			late = t - ran;
		ran = t;
		while (recv(waits[0].fd, payload, PAYLOAD, 0) == PAYLOAD) {
			memcpy(&number, payload, sizeof(number));
			if (number == 0 || number > sent || answered[number % WINDOW] >= number) {
				again++;
				continue;
			}
			answered[number % WINDOW] = number;
			received++;
			if (t - last > threshold)
				printf("{\"from\":%.1f,\"to\":%.1f,\"late\":%.1f}\n", last / 1e6, t / 1e6, late / 1e6);
			last = t;
			late = 0;
		}
		if (t >= next) {
			number = sent + 1;
			memcpy(payload, &number, sizeof(number));
			/* Where there is no route, no address or no room, it is lost like others. */
			sendto(waits[0].fd, payload, PAYLOAD, 0, (struct sockaddr *)&to, sizeof(to));
			sent++;
			/* What was missed is not made up for. */
			next = next + interval > t ? next + interval : t + interval;
		}
		if (t >= report) {
			printf("{\"at\":%.1f,\"last\":%.1f,\"sent\":%llu,\"received\":%llu,\"again\":%llu}\n", t / 1e6,
			       last / 1e6, (unsigned long long)sent, (unsigned long long)received, (unsigned long long)again);
			report = t + REPORT_NS;
		}
	}
	return 0;
}
