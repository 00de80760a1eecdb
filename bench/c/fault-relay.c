/*
 * fault-relay ONE OTHER SEED - a bad wire between two interfaces: carries every frame from one to the other, both ways, and loses,
 * doubles, holds back, corrupts and cuts some of them (src/link/fault-link.ts is the same in memory). Until standard input ends.
 *
 * A line on standard input sets the faults from then on, six numbers: LOSS DUPLICATE REORDER CORRUPT TRUNCATE (chances, 0 to 1) DELAY
 * (milliseconds for everything). At first there are none. Only IPv4 is corrupted and cut, behind the Ethernet header: in at most 15 bits
 * next to each other, which checksums always find. The kernel must not leave checksums and segmentation to the device (ethtool -K
 * DEVICE tx off tso off gso off gro off at the far ends). Prints "ready" when it carries frames, at the end one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME 2048
#define BATCH 32
#define HELD 4096
#define REORDER_NS 25000000
#define MOST_BITS 15

enum { LOSS, DUPLICATE, REORDER, CORRUPT, TRUNCATE, DELAY, FAULTS };

/* A frame that waits. Frames are in order of their time; those of the same time in order of their coming. */
struct held {
	int64_t due;
	int to;
	unsigned length;
	unsigned char bytes[FRAME];
};

static double faults[FAULTS];
static struct held *held[HELD];
static unsigned waiting;
static unsigned long passed, lost, duplicated, reordered, corrupted, truncated, refused;
static uint64_t state;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* splitmix64: from 0 to just below 1. */
static double chance(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return ((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int happens(int fault)
{
	return faults[fault] > 0 && chance() < faults[fault];
}

static unsigned below(unsigned limit)
{
	return chance() * limit;
}

static void transmit(int to, const unsigned char *bytes, unsigned length)
{
	/* An interface that is down, or a queue that is full: lost, as on any wire. */
	if (send(to, bytes, length, 0) < 0)
		refused++;
}

static void hold(int to, const unsigned char *bytes, unsigned length, int64_t due)
{
	struct held *frame;
	unsigned at = waiting;

	if (waiting == HELD || (frame = malloc(sizeof(*frame))) == NULL) {
		lost++;
		return;
	}
	frame->due = due;
	frame->to = to;
	frame->length = length;
	memcpy(frame->bytes, bytes, length);
	for (; at > 0 && held[at - 1]->due > due; at--)
		held[at] = held[at - 1];
	held[at] = frame;
	waiting++;
}

static void damage(unsigned char *bytes, unsigned *length)
{
	unsigned bits = (*length - ETH_HLEN) * 8, count, first;

	if (happens(CORRUPT)) {
		corrupted++;
		count = 1 + below(MOST_BITS);
		first = below(bits - count + 1);
		for (unsigned bit = first; bit < first + count; bit++)
			if (bit == first || below(2) == 1)
				bytes[ETH_HLEN + bit / 8] ^= 0x80 >> bit % 8;
	}
	if (happens(TRUNCATE)) {
		truncated++;
		*length = ETH_HLEN + 1 + below(*length - ETH_HLEN - 1);
	}
}

static void arrive(int to, const unsigned char *frame, unsigned length)
{
	unsigned char bytes[FRAME];
	int64_t delay = faults[DELAY] * 1e6;

	memcpy(bytes, frame, length);
	if (length > ETH_HLEN + 20 && bytes[12] == 8 && bytes[13] == 0)
		damage(bytes, &length);
	if (happens(REORDER)) {
		reordered++;
		delay += REORDER_NS;
	}
	if (delay == 0)
		transmit(to, bytes, length);
	else
		hold(to, bytes, length, now() + delay);
}

static void carry(int from, int to)
{
	static unsigned char frames[BATCH][FRAME];
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	int n;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){ frames[i], FRAME };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	/* ENETDOWN, once, when the interface goes down. */
	n = recvmmsg(from, messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		if (messages[i].msg_hdr.msg_flags & MSG_TRUNC || messages[i].msg_len < ETH_HLEN)
			continue;
		if (happens(LOSS)) {
			lost++;
			continue;
		}
		passed++;
		arrive(to, frames[i], messages[i].msg_len);
		if (happens(DUPLICATE)) {
			duplicated++;
			arrive(to, frames[i], messages[i].msg_len);
		}
	}
}

static int attach(const char *name)
{
	struct sockaddr_ll here = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct packet_mreq all = { .mr_type = PACKET_MR_PROMISC };
	int s = socket(AF_PACKET, SOCK_RAW, 0), room = 8 << 20, yes = 1;

	here.sll_ifindex = all.mr_ifindex = if_nametoindex(name);
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (s < 0 || here.sll_ifindex == 0 ||
	    setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) < 0 ||
	    setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0 ||
	    bind(s, (struct sockaddr *)&here, sizeof(here)) < 0) {
		fprintf(stderr, "fault-relay: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return s;
}

/* Returns 0 when there will be no more. */
static int command(void)
{
	char line[256];
	double f[FAULTS];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		return 0;
	line[n] = 0;
	if (sscanf(line, "%lf %lf %lf %lf %lf %lf", &f[0], &f[1], &f[2], &f[3], &f[4], &f[5]) != FAULTS) {
		fprintf(stderr, "fault-relay: needs six numbers: %s", line);
		exit(2);
	}
	memcpy(faults, f, sizeof(faults));
	return 1;
}

int main(int argc, char **argv)
{
	struct pollfd waits[3] = { { .events = POLLIN }, { .events = POLLIN }, { STDIN_FILENO, POLLIN, 0 } };

	if (argc != 4) {
		fprintf(stderr, "usage: fault-relay ONE OTHER SEED\n");
		return 2;
	}
	waits[0].fd = attach(argv[1]);
	waits[1].fd = attach(argv[2]);
	state = strtoull(argv[3], NULL, 10);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct timespec wait = { 1, 0 };

		if (waiting > 0) {
			int64_t left = held[0]->due - now();

			wait.tv_sec = left > 0 ? left / 1000000000 : 0;
			wait.tv_nsec = left > 0 ? left % 1000000000 : 0;
		}
		ppoll(waits, 3, &wait, NULL);
		if (waits[0].revents)
			carry(waits[0].fd, waits[1].fd);
		if (waits[1].revents)
			carry(waits[1].fd, waits[0].fd);
		if (waits[2].revents && !command())
			break;
		for (int64_t t = now(); waiting > 0 && held[0]->due <= t;) {
			struct held *first = held[0];

			memmove(held, held + 1, --waiting * sizeof(*held));
			transmit(first->to, first->bytes, first->length);
			free(first);
		}
	}
	printf("{\"passed\":%lu,\"lost\":%lu,\"duplicated\":%lu,\"reordered\":%lu,\"corrupted\":%lu,\"truncated\":%lu,\"refused\":%lu}\n",
	       passed, lost, duplicated, reordered, corrupted, truncated, refused);
	return 0;
}
