/*
 * null-forwarder CLIENT PUBLIC - the least that a program on natgate's TUNs can do: swap two fixed addresses.
 *
 * Descriptor 3 is the TUN queue of the private interface, 4 that of the public one. What comes from 3 leaves through 4
 * as from PUBLIC; what comes from 4 leaves through 3, to CLIENT. There is no table, no port, no check; what is
 * left is what the devices and the steering cost. The sums are kept right, since packets are dropped otherwise: by
 * constant deltas in the byte order of the machine, which one's complement sums do not mind. A partial checksum
 * (VIRTIO_NET_HDR_F_NEEDS_CSUM) holds the pseudo-header's sum, not inverted.
 *
 * One packet is read, changed and written before the next one, so that it stays in the cache: reading batches first measures
 * no better. It sleeps in poll when both queues are empty.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3
#define VNET_BYTES 10
#define BURST 64

/* Two bytes of a packet. */
typedef uint16_t __attribute__((may_alias)) half;

struct direction {
	int from, to;
	unsigned address_at;	/* of the address that changes, within the IPv4 header */
	uint32_t address;	/* the new one, as it lies in memory */
	uint32_t delta;		/* new minus old */
	uint32_t header_delta;	/* the same, and one hop less */
};

static uint32_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static uint32_t halves(uint32_t address)
{
	return (address & 0xffff) + (address >> 16);
}

static void set_up(struct direction *d, int from, int to, unsigned address_at, uint32_t before, uint32_t after)
{
	/* TTL is the first byte of its word in memory. */
	uint16_t hop;

	memcpy(&hop, (const uint8_t[]){ 1, 0 }, 2);
	d->from = from;
	d->to = to;
	d->address_at = address_at;
	d->address = after;
	d->delta = fold(halves(~before) + halves(after));
	d->header_delta = fold(d->delta + (uint16_t)~hop);
}

static inline void update(half *sum, uint32_t delta)
{
	*sum = ~fold((uint16_t)~*sum + delta);
}

static inline void swap(const struct direction *d, uint8_t *vnet)
{
	uint8_t *ip = vnet + VNET_BYTES, *transport = ip + (ip[0] & 15) * 4;
	half *sum;

	memcpy(ip + d->address_at, &d->address, 4);
	ip[8]--;
	update((half *)(ip + 10), d->header_delta);
	if (ip[9] == IPPROTO_TCP)
		sum = (half *)(transport + 16);
	else if (ip[9] == IPPROTO_UDP)
		sum = (half *)(transport + 6);
	else
		return;
	if ((ip[6] & 0x1f) | ip[7]) /* no first fragment */
		return;
	if (vnet[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		*sum = fold(*sum + d->delta);
	else if (ip[9] == IPPROTO_TCP)
		update(sum, d->delta);
	else if (*sum != 0) {
		update(sum, d->delta);
		if (*sum == 0)
			*sum = 0xffff;
	}
}

/* Returns how many packets there were, or -1 when the queue is broken. */
static int forward(const struct direction *d, uint8_t *vnet, size_t room)
{
	for (int i = 0; i < BURST; i++) {
		ssize_t n = read(d->from, vnet, room);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR || errno == EIO ? i : -1;
		if (n < VNET_BYTES + 20)
			continue;
		swap(d, vnet);
		/* A full queue loses the packet, as everywhere. */
		if (write(d->to, vnet, n) < 0 && errno == EBADFD)
			return -1;
	}
	return BURST;
}

int main(int argc, char **argv)
{
	static _Alignas(64) uint8_t memory[2 + VNET_BYTES + 65536];
	struct direction out, in;
	struct in_addr client, public;
	struct pollfd readable[2] = { { .fd = FIRST_FD, .events = POLLIN }, { .fd = FIRST_FD + 1, .events = POLLIN } };

	if (argc != 3 || inet_pton(AF_INET, argv[1], &client) != 1 || inet_pton(AF_INET, argv[2], &public) != 1) {
		fprintf(stderr, "usage: null-forwarder CLIENT PUBLIC\n");
		return 2;
	}
	set_up(&out, FIRST_FD, FIRST_FD + 1, 12, client.s_addr, public.s_addr);
	set_up(&in, FIRST_FD + 1, FIRST_FD, 16, public.s_addr, client.s_addr);
	for (int fd = FIRST_FD; fd <= FIRST_FD + 1; fd++) {
		if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
			perror("null-forwarder: descriptors 3 and 4");
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		/* Two bytes of padding align the IPv4 header. */
		int sent = forward(&out, memory + 2, sizeof(memory) - 2), received = forward(&in, memory + 2, sizeof(memory) - 2);

		if (sent < 0 || received < 0) {
			perror("null-forwarder: a queue is gone");
			return 1;
		}
		if (sent + received == 0)
			poll(readable, 2, -1);
	}
}
