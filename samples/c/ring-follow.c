// SPDX-License-Identifier: GPL-2.0
/*
 * ring-follow RING...: prints the records of several rings as they come.
 *
 * One thread waits for all of them with epoll. A line is the name of the ring, the number of the
 * record, and what was written; what was overwritten before it could be read has a line of its own.
 * It ends when nothing will come any more (a ring with hangup ends with its last writer, any other
 * when it is destroyed), or at SIGHUP, SIGINT or SIGTERM: then all that it has taken is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <linux/ringdev.h>

#define EVENTS	16

struct source {
	const char *name;
	int fd;
};

/* Shared by all rings: what was read is printed before anything else is read. */
static char *buffer;
static size_t buffer_size;

static int complain(const char *what, const char *name)
{
	fprintf(stderr, "ring-follow: %s %s: %s\n", what, name, strerror(errno));
	return -1;
}

static int grow_buffer(size_t size)
{
	char *larger = realloc(buffer, size);

	if (!larger)
		return -1;
	buffer = larger;
	buffer_size = size;
	return 0;
}

static int open_ring(const char *name)
{
	struct ringdev_read_mode mode = {
		.size = sizeof(mode),
		.flags = RINGDEV_HEADERS,
	};
	char path[64];
	int fd;

	if (snprintf(path, sizeof(path), "/dev/ring/%s", name) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return complain("cannot open", name);
	}
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return complain("cannot open", name);
	/* EINVAL: it is a stream. */
	if (ioctl(fd, RINGDEV_IOC_READ_MODE, &mode) < 0) {
		complain("cannot read records from", name);
		close(fd);
		return -1;
	}
	return fd;
}

static void print_record(const char *name, const struct ringdev_record *header, const char *payload)
{
	if (header->lost)
		printf("%s: %llu lost\n", name, (unsigned long long)header->lost);
	printf("%s %llu: ", name, (unsigned long long)header->sequence);
	fwrite(payload, 1, header->length, stdout);
	if (payload[header->length - 1] != '\n')
		putchar('\n');
}

/* Whole records, each behind its header, and each header at a multiple of RINGDEV_ALIGN. */
static void print_records(const char *name, size_t length)
{
	struct ringdev_record header;
	size_t at = 0;

	while (at < length) {
		memcpy(&header, buffer + at, sizeof(header));
		at += sizeof(header);
		print_record(name, &header, buffer + at);
		at += header.length;
		at = (at + RINGDEV_ALIGN - 1) & ~((size_t)RINGDEV_ALIGN - 1);
	}
}

/* Reads once and prints: 1, or 0 at the end of the ring, or -1. */
static int follow(const struct source *source)
{
	ssize_t length = read(source->fd, buffer, buffer_size);
	int needed;

	if (length < 0 && errno == EMSGSIZE) {
		/* The next record is longer, and stays where it is until there is room for it. */
		if (ioctl(source->fd, FIONREAD, &needed) < 0)
			return complain("cannot ask for a record's length in", source->name);
		/* By now another reader may have taken it: what is next needs less, if anything. */
		if ((size_t)needed > buffer_size && grow_buffer(needed) < 0)
			return complain("cannot read a long record from", source->name);
		return 1;
	}
	/* Another reader was faster. */
	if (length < 0 && errno == EAGAIN)
		return 1;
	if (length < 0)
		return complain("cannot read from", source->name);
	print_records(source->name, length);
	return length > 0;
}

static int watch(int epoll, int fd, struct source *source)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.ptr = source,
	};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Has these signals wait to be read, so that none comes between a read and its output. */
static int open_signals(void)
{
	struct sigaction hangup;
	sigset_t signals;

	sigemptyset(&signals);
	/* Unless it was told to outlive its terminal, as nohup(1) tells a program. */
	if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN)
		sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -1;
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

static int follow_all(int epoll, int rings)
{
	struct epoll_event events[EVENTS];
	struct source *source;
	int status = 0;
	int count, more, i;

	while (rings > 0) {
		count = epoll_wait(epoll, events, EVENTS, -1);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return complain("cannot wait for", "the rings");
		for (i = 0; i < count; i++) {
			source = events[i].data.ptr;
			/* Only the signals have none. */
			if (!source)
				return status;
			more = follow(source);
			if (fflush(stdout) < 0)
				return complain("cannot write to", "stdout");
			if (more > 0)
				continue;
			/* To close it takes it out of the epoll instance as well. */
			close(source->fd);
			rings--;
			status = more < 0 ? -1 : status;
		}
	}
	return status;
}

int main(int argc, char **argv)
{
	struct source *sources;
	int epoll, signals;
	int rings = argc - 1;
	int i;

	if (rings < 1) {
		fprintf(stderr, "usage: ring-follow RING...\n");
		return 2;
	}
	sources = calloc(rings, sizeof(*sources));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	signals = open_signals();
	if (!sources || epoll < 0 || signals < 0 || watch(epoll, signals, NULL) < 0 ||
	    grow_buffer(1 << 16) < 0) {
		complain("cannot", "begin");
		return 1;
	}
	for (i = 0; i < rings; i++) {
		sources[i].name = argv[i + 1];
		sources[i].fd = open_ring(sources[i].name);
		if (sources[i].fd < 0)
			return 1;
		if (watch(epoll, sources[i].fd, &sources[i]) < 0) {
			complain("cannot watch", sources[i].name);
			return 1;
		}
	}
	return follow_all(epoll, rings) < 0 ? 1 : 0;
}
