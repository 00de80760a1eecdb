/*
 * udp-flows CLIENT CLIENTS FIRST-PORT PORTS SERVER SERVERS PORT - begin CLIENTS * PORTS * SERVERS UDP flows, as fast as the
 * kernel takes them: one datagram of 18 bytes for each.
 *
 * Sources are CLIENTS consecutive addresses with PORTS ports each, no port twice; destinations are SERVERS consecutive
 * addresses. Endpoints change fastest: all of them begin a flow to the first server, then all to the second. A raw
 * socket writes the sources, so neither the addresses nor a socket for each need be there. Checksums are complete, as
 * they would come from a network card. Prints one line of JSON at the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define PAYLOAD 18
#define BYTES (20 + 8 + PAYLOAD)

/* Two bytes of a packet. */
typedef uint16_t __attribute__((may_alias)) half;

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	char payload[PAYLOAD];
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Pseudo-header, UDP header and payload. */
static uint16_t udp_checksum(const struct packet *p)
{
	const half *words = (const half *)&p->ip.saddr;
	uint32_t sum = htons(IPPROTO_UDP) + p->udp.len;

	for (unsigned i = 0; i < (8 + sizeof(p->udp) + PAYLOAD) / 2; i++)
		sum += words[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff ? sum : ~sum;
}

int main(int argc, char **argv)
{
	static struct packet packets[BATCH];
	static struct sockaddr_in to[BATCH];
	static struct mmsghdr messages[BATCH];
	static struct iovec vectors[BATCH];
	struct in_addr client, server;
	unsigned long clients, first_port, ports, servers, endpoints, flows, sent = 0;
	double begun;
	int s;

	if (argc != 8 || inet_pton(AF_INET, argv[1], &client) != 1 || inet_pton(AF_INET, argv[5], &server) != 1) {
		fprintf(stderr, "usage: udp-flows CLIENT CLIENTS FIRST-PORT PORTS SERVER SERVERS PORT\n");
		return 2;
	}
	clients = atol(argv[2]);
	first_port = atol(argv[3]);
	ports = atol(argv[4]);
	servers = atol(argv[6]);
	endpoints = clients * ports;
	flows = endpoints * servers;
	if (flows == 0 || first_port + endpoints > 65536) {
		fprintf(stderr, "udp-flows: needs a port of its own for each endpoint\n");
		return 2;
	}

	s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (s < 0) {
		perror("udp-flows: socket");
		return 1;
	}
	for (int i = 0; i < BATCH; i++) {
		struct packet *p = &packets[i];

		p->ip = (struct iphdr){ .version = 4, .ihl = 5, .tot_len = htons(BYTES), .frag_off = htons(IP_DF),
					.ttl = 64, .protocol = IPPROTO_UDP };
		p->udp.dest = htons(atoi(argv[7]));
		p->udp.len = htons(sizeof(p->udp) + PAYLOAD);
		memset(p->payload, 'n', PAYLOAD);
		to[i].sin_family = AF_INET;
		vectors[i] = (struct iovec){ p, BYTES };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &to[i], .msg_namelen = sizeof(to[i]),
						       .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	begun = now();
	for (unsigned long flow = 0; flow < flows;) {
		int n = flows - flow < BATCH ? flows - flow : BATCH, done;

		for (int i = 0; i < n; i++) {
			struct packet *p = &packets[i];
			unsigned long endpoint = (flow + i) % endpoints;

			p->ip.saddr = htonl(ntohl(client.s_addr) + endpoint % clients);
			p->ip.daddr = htonl(ntohl(server.s_addr) + (flow + i) / endpoints);
			p->udp.source = htons(first_port + endpoint);
			p->udp.check = 0;
			p->udp.check = udp_checksum(p);
			to[i].sin_addr.s_addr = p->ip.daddr;
		}
		done = sendmmsg(s, messages, n, 0);
		if (done < 0 && errno != ENOBUFS && errno != EINTR) {
			perror("udp-flows: sendmmsg");
			return 1;
		}
		if (done > 0)
			sent += done;
		flow += n;
	}
	printf("{\"sent\":%lu,\"seconds\":%.6f}\n", sent, now() - begun);
	return 0;
}
