// SPDX-License-Identifier: GPL-2.0
/*
 * ring-send RING: makes a record of each line of stdin, many with one system call.
 *
 * What one read(2) of stdin brings is written by one call of io_uring: a write for each line, each
 * linked to the one before it, so that the records come in the order of the lines. Where the ring
 * has no room, io_uring waits for it, and no thread does.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/ringdev.h>

/* How many lines go with one system call at most, and how long all of them may be. */
#define LINES	64
#define BYTES	65536

static int complain(const char *what, const char *name, int error)
{
	fprintf(stderr, "ring-send: %s %s: %s\n", what, name, strerror(error));
	return -1;
}

static int open_ring(const char *name)
{
	struct ringdev_info info = { .size = sizeof(info) };
	char path[64];
	int fd;

	if (snprintf(path, sizeof(path), "/dev/ring/%s", name) >= (int)sizeof(path))
		return complain("cannot open", name, ENAMETOOLONG);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return complain("cannot open", name, errno);
	if (ioctl(fd, RINGDEV_IOC_INFO, &info) < 0) {
		complain("cannot ask what it is:", name, errno);
		close(fd);
		return -1;
	}
	/* A stream may take a part of a line, and the next line behind it. */
	if (info.framing != RINGDEV_RECORD) {
		fprintf(stderr, "ring-send: %s is a stream, and keeps no lines apart\n", name);
		close(fd);
		return -1;
	}
	return fd;
}

/* Looks at what has come of a write; returns how many records the ring has refused, or -1. */
static int reap(struct io_uring *uring, const char *name)
{
	struct io_uring_cqe *cqe;
	int result;

	do {
		result = io_uring_wait_cqe(uring, &cqe);
	} while (result == -EINTR);
	if (result < 0)
		return complain("cannot wait for", name, -result);
	result = cqe->res;
	io_uring_cqe_seen(uring, cqe);
	/* A ring that drops is full. What is linked goes on, as the link is a hard one. */
	if (result == -ENOBUFS)
		return 1;
	if (result < 0)
		return complain("cannot write to", name, -result);
	/* Records are taken whole. */
	return 0;
}

/*
 * Writes the whole lines that begin at @bytes, LINES at most; with @last, what has no newline is a
 * line as well. Returns how many bytes these were, or -1, and adds to @dropped.
 */
static ssize_t send_lines(struct io_uring *uring, int fd, const char *name, const char *bytes,
			  size_t length, bool last, unsigned long *dropped)
{
	struct io_uring_sqe *sqe = NULL;
	const char *newline;
	size_t at = 0, line;
	int count = 0;
	int failed = 0;
	int result;

	while (at < length && count < LINES) {
		newline = memchr(bytes + at, '\n', length - at);
		if (!newline && !last)
			break;
		line = newline ? (size_t)(newline + 1 - bytes) - at : length - at;
		/* There is room for all of them. */
		sqe = io_uring_get_sqe(uring);
		io_uring_prep_write(sqe, fd, bytes + at, line, -1);
		sqe->flags |= IOSQE_IO_HARDLINK;
		at += line;
		count++;
	}
	if (!count)
		return 0;
	/* The chain ends here. */
	sqe->flags &= ~IOSQE_IO_HARDLINK;
	/* Short of memory, the kernel takes some of them only, and does not wait. */
	do {
		result = io_uring_submit_and_wait(uring, count);
	} while (result == -EINTR || (result > 0 && io_uring_sq_ready(uring)));
	if (result < 0)
		return complain("cannot submit writes to", name, -result);
	while (count--) {
		result = reap(uring, name);
		if (result < 0)
			failed = -1;
		else
			*dropped += result;
	}
	return failed ? -1 : (ssize_t)at;
}

static int send_all(struct io_uring *uring, int fd, const char *name, unsigned long *dropped)
{
	static char bytes[BYTES];
	size_t length = 0;
	ssize_t count, sent;
	bool last;

	do {
		count = read(STDIN_FILENO, bytes + length, sizeof(bytes) - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return complain("cannot read from", "stdin", errno);
		last = !count;
		length += count;
		do {
			sent = send_lines(uring, fd, name, bytes, length, last, dropped);
			if (sent < 0)
				return -1;
			length -= sent;
			memmove(bytes, bytes + sent, length);
		} while (sent);
		if (length == sizeof(bytes))
			return complain("a line is too long for", name, EMSGSIZE);
	} while (count);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long dropped = 0;
	struct io_uring uring;
	int fd, result;

	if (argc != 2) {
		fprintf(stderr, "usage: ring-send RING\n");
		return 2;
	}
	/* A ring without readers is told by EPIPE. */
	signal(SIGPIPE, SIG_IGN);
	fd = open_ring(argv[1]);
	if (fd < 0)
		return 1;
	result = io_uring_queue_init(LINES, &uring, 0);
	if (result < 0) {
		complain("cannot set up", "io_uring", -result);
		return 1;
	}
	result = send_all(&uring, fd, argv[1], &dropped);
	if (dropped)
		fprintf(stderr, "ring-send: %s was full: %lu dropped\n", argv[1], dropped);
	io_uring_queue_exit(&uring);
	close(fd);
	return result < 0 || dropped ? 1 : 0;
}
