/*
 * udp-echo PORT - send every datagram back to where it came from, until it is ended. Prints "ready" once it listens.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in here = { .sin_family = AF_INET }, from;
	char buffer[2048];
	int s;

	if (argc != 2) {
		fprintf(stderr, "usage: udp-echo PORT\n");
		return 2;
	}
	here.sin_port = htons(atoi(argv[1]));
	s = socket(AF_INET, SOCK_DGRAM, 0);
	if (s < 0 || bind(s, (struct sockaddr *)&here, sizeof(here)) < 0) {
		perror("udp-echo: bind");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t n = recvfrom(s, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &length);

		if (n > 0)
			sendto(s, buffer, n, 0, (struct sockaddr *)&from, length);
	}
}
