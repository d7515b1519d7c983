// SPDX-License-Identifier: GPL-2.0
/*
 * Prints what comes through several rings, as it comes, until all of them are at their end.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int rings = argc - 1;
	char buffer[4096];

	if (epoll < 0)
		err(1, "epoll_create1");
	for (int i = 1; i < argc; i++) {
		int ring = open(argv[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		struct epoll_event event = { .events = EPOLLIN, .data.fd = ring };

		if (ring < 0)
			err(1, "%s", argv[i]);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, ring, &event))
			err(1, "epoll_ctl");
	}
	while (rings > 0) {
		struct epoll_event event;
		ssize_t got;

		if (epoll_wait(epoll, &event, 1, -1) < 0) {
			/* Stopped and continued, by Ctrl-Z and fg. */
			if (errno == EINTR)
				continue;
			err(1, "epoll_wait");
		}
		got = read(event.data.fd, buffer, sizeof(buffer));
		if (got > 0) {
			fwrite(buffer, 1, got, stdout);
			if (fflush(stdout))
				err(1, "stdout");
		} else if (got == 0) {
			/* The end. To close it takes it out of the epoll instance as well. */
			close(event.data.fd);
			rings--;
		} else if (errno != EAGAIN) {
			/* EAGAIN: another reader was here first. */
			err(1, "read");
		}
	}
	return 0;
}
