/*
 * soak-flows client DEVICE SOURCE CLIENTS SERVER RATE FLOWS - begin FLOWS flows, RATE a second at most, and end them in good order.
 * soak-flows server DEVICE - the other end.
 *
 * Every other flow is TCP: SYN, SYN-ACK, FIN-ACK, FIN-ACK, ACK; the others are UDP: one datagram there and one back. Neither end keeps
 * anything of a flow: an answer follows from the packet (test/soak/peer.ts is the same in memory), so any number of them is made. Sources are
 * 1000 ports of each of CLIENTS consecutive addresses, destinations the 16384 addresses from SERVER on; an endpoint has eight flows in a
 * row, and then none until all others have had theirs. Addresses need not be here: raw sockets write them, and packets are read off
 * DEVICE. Each second, and at the end, one line of JSON. The client ends two seconds after the last flow began, the server with its
 * standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FRAME 256
#define PORTS 1000
#define FIRST_PORT 20000
#define IN_A_ROW 8
#define DESTINATIONS 16384
#define PORT 7000
#define PAYLOAD 18
#define LINGER 2.0
/* Flows under way at most; those that are silent for so many seconds are lost. */
#define WINDOW 2000
#define SILENCE 0.5

/* Two bytes of a packet. */
typedef uint16_t __attribute__((may_alias)) half;

struct packet {
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct {
			struct udphdr udp;
			char payload[PAYLOAD];
		};
	};
};

static struct packet out[BATCH];
static struct sockaddr_in to[BATCH];
static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static int count, sender, isServer;
static unsigned long begun, answered, over, lost, foreign, failed;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static unsigned length_of(const struct packet *p)
{
	return p->ip.protocol == IPPROTO_TCP ? sizeof(p->ip) + sizeof(p->tcp) : sizeof(*p);
}

/* Pseudo-header and what follows the header. */
static uint16_t transport_checksum(const struct packet *p)
{
	const half *words = (const half *)&p->ip.saddr;
	unsigned length = length_of(p) - sizeof(p->ip);
	uint32_t sum = htons(p->ip.protocol) + htons(length);

	for (unsigned i = 0; i < (8 + length) / 2; i++)
		sum += words[i];
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return p->ip.protocol == IPPROTO_UDP && sum == 0xffff ? sum : (uint16_t)~sum;
}

static void flush(void)
{
	for (int done = 0; done < count;) {
		int n = sendmmsg(sender, messages + done, count - done, 0);

		if (n > 0) {
			done += n;
			continue;
		}
		/* One that cannot leave is lost. */
		failed++;
		done++;
	}
	count = 0;
}

static struct packet *room(void)
{
	if (count == BATCH)
		flush();
	return &out[count];
}

static void queue(void)
{
	struct packet *p = &out[count];

	p->ip.version = 4;
	p->ip.ihl = 5;
	p->ip.ttl = 64;
	p->ip.frag_off = htons(IP_DF);
	p->ip.tot_len = htons(length_of(p));
	if (p->ip.protocol == IPPROTO_TCP) {
		p->tcp.check = 0;
		p->tcp.check = transport_checksum(p);
	} else {
		p->udp.check = 0;
		p->udp.check = transport_checksum(p);
	}
	to[count].sin_family = AF_INET;
	to[count].sin_addr.s_addr = p->ip.daddr;
	vectors[count].iov_len = length_of(p);
	count++;
}

static void begin(unsigned long flow, uint32_t source, unsigned long clients, uint32_t server)
{
	unsigned long endpoints = clients * PORTS, endpoint = flow / IN_A_ROW % endpoints;
	unsigned long round = flow / (IN_A_ROW * endpoints);
	struct packet *p = room();

	memset(p, 0, sizeof(*p));
	p->ip.saddr = htonl(source + endpoint % clients);
	p->ip.daddr = htonl(server + (flow + IN_A_ROW * round) % DESTINATIONS);
	if (flow % 2) {
		p->ip.protocol = IPPROTO_TCP;
		p->tcp.source = htons(FIRST_PORT + endpoint / clients);
		p->tcp.dest = htons(PORT);
		p->tcp.seq = htonl(flow);
		p->tcp.doff = 5;
		p->tcp.syn = 1;
		p->tcp.window = htons(65535);
	} else {
		p->ip.protocol = IPPROTO_UDP;
		p->udp.source = htons(FIRST_PORT + endpoint / clients);
		p->udp.dest = htons(PORT);
		p->udp.len = htons(sizeof(p->udp) + PAYLOAD);
	}
	queue();
	begun++;
}

static void answer(const struct packet *in)
{
	struct packet *p;

	if (in->ip.version != 4 || in->ip.ihl != 5 ||
	    (in->ip.protocol != IPPROTO_TCP && in->ip.protocol != IPPROTO_UDP) ||
	    ntohs(isServer ? in->udp.dest : in->udp.source) != PORT) {
		foreign++;
		return;
	}
	answered++;
	if (in->ip.protocol == IPPROTO_UDP) {
		if (!isServer) {
			over++;
			return;
		}
	} else if (in->tcp.rst || (!in->tcp.syn && !in->tcp.fin)) {
		over += isServer && !in->tcp.rst;
		foreign += in->tcp.rst;
		return;
	}
	p = room();
	*p = *in;
	p->ip.saddr = in->ip.daddr;
	p->ip.daddr = in->ip.saddr;
	p->udp.source = in->udp.dest;
	p->udp.dest = in->udp.source;
	if (in->ip.protocol == IPPROTO_TCP) {
		/* A SYN has no acknowledgment number. */
		p->tcp.seq = in->tcp.ack ? in->tcp.ack_seq : htonl(5000);
		p->tcp.ack_seq = htonl(ntohl(in->tcp.seq) + 1);
		p->tcp.ack = 1;
		p->tcp.syn = isServer && in->tcp.syn;
		p->tcp.fin = isServer ? in->tcp.fin : in->tcp.syn;
		over += !isServer && in->tcp.fin;
	}
	queue();
}

static void receive(int s)
{
	static struct { char ethernet[ETH_HLEN]; struct packet packet; char rest[FRAME]; } __attribute__((packed)) frames[BATCH];
	static struct mmsghdr incoming[BATCH];
	static struct iovec parts[BATCH];
	struct packet copy;
	int n;

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ &frames[i], sizeof(frames[i]) };
		incoming[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	while ((n = recvmmsg(s, incoming, BATCH, MSG_DONTWAIT, NULL)) > 0) {
		for (int i = 0; i < n; i++) {
			if (incoming[i].msg_len < ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))
				continue;
			memcpy(&copy, &frames[i].packet, sizeof(copy));
			answer(&copy);
		}
		flush();
		if (n < BATCH)
			break;
	}
}

static void report(void)
{
	printf("{\"begun\":%lu,\"answered\":%lu,\"over\":%lu,\"foreign\":%lu,\"failed\":%lu}\n", begun, answered, over, foreign,
	       failed);
	fflush(stdout);
}

static int reader(const char *name)
{
	struct sockaddr_ll here = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	int s = socket(AF_PACKET, SOCK_RAW, 0), bytes = 32 << 20, yes = 1;

	here.sll_ifindex = if_nametoindex(name);
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	if (s < 0 || here.sll_ifindex == 0 ||
	    setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) < 0 ||
	    bind(s, (struct sockaddr *)&here, sizeof(here)) < 0) {
		fprintf(stderr, "soak-flows: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	return s;
}

int main(int argc, char **argv)
{
	struct pollfd waits[2] = { { .events = POLLIN }, { STDIN_FILENO, POLLIN, 0 } };
	struct in_addr source = { 0 }, server = { 0 };
	unsigned long clients = 0, flows = 0;
	double rate = 0, start, told, heard, ended = 0, t;
	unsigned long done = 0;

	isServer = argc == 3 && strcmp(argv[1], "server") == 0;
	if (!isServer && (argc != 8 || strcmp(argv[1], "client") != 0 || inet_pton(AF_INET, argv[3], &source) != 1 ||
			  inet_pton(AF_INET, argv[5], &server) != 1)) {
		fprintf(stderr, "usage: soak-flows client DEVICE SOURCE CLIENTS SERVER RATE FLOWS | server DEVICE\n");
		return 2;
	}
	if (!isServer) {
		clients = atol(argv[4]);
		rate = atof(argv[6]);
		flows = strtoul(argv[7], NULL, 10);
	}
	sender = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (sender < 0) {
		perror("soak-flows: socket");
		return 1;
	}
	waits[0].fd = reader(argv[2]);
	for (int i = 0; i < BATCH; i++) {
		vectors[i].iov_base = &out[i];
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &to[i], .msg_namelen = sizeof(to[i]),
						       .msg_iov = &vectors[i], .msg_iovlen = 1 };
	}
	puts("ready");
	fflush(stdout);
	for (start = told = heard = t = now();; t = now()) {
		unsigned long due = (t - start) * rate + 1;

		if (over != done) {
			done = over;
			heard = t;
		} else if (t - heard > SILENCE || over + lost > begun)
			lost = begun > over ? begun - over : 0;
		if (due > over + lost + WINDOW)
			due = over + lost + WINDOW;
		/* What was missed is made up for, but not all at once. */
		for (int i = 0; !isServer && begun < flows && begun < due && i < BATCH; i++)
			begin(begun, ntohl(source.s_addr), clients, ntohl(server.s_addr));
		flush();
		poll(waits, isServer ? 2 : 1, !isServer && begun < flows ? (begun < due ? 0 : 1) : 100);
		if (waits[0].revents)
			receive(waits[0].fd);
		if (isServer && waits[1].revents)
			break;
		if (t - told >= 1) {
			report();
			told = t;
		}
		if (!isServer && begun == flows) {
			if (ended == 0)
				ended = t;
			if (t - ended > LINGER)
				break;
		}
	}
	report();
	return 0;
}
