// SPDX-License-Identifier: GPL-2.0
/* Writing to a ring: all but the short way, which is in endpoint.c. */
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "ring.h"

/* Copies until the first byte whose page is not there. The iterator moves past what was copied. */
static size_t copy_nofault(void *to, size_t len, struct iov_iter *from)
{
	size_t copied;

	pagefault_disable();
	copied = copy_from_iter(to, len, from);
	pagefault_enable();
	return copied;
}

static bool has_no_readers(const struct ring *ring)
{
	return ring->has_hangup && !READ_ONCE(ring->endpoints_reading);
}

/* Whether a write would be refused now, for those who only want to know. */
bool ring_is_refused(const struct ring *ring)
{
	return READ_ONCE(ring->destroyed) || has_no_readers(ring);
}

/* With producer.lock held, so that nothing is written any more once it is not. */
static int may_write(const struct ring *ring)
{
	if (ring->producer.refused)
		return -ENODEV;
	if (has_no_readers(ring))
		return -EPIPE;
	return 0;
}

struct room {
	struct ring *ring;
	u64 bytes;
};

/*
 * Whether there is nothing to wait for. Also if a record has come to be too long, as the ring was
 * shrunk: who joins the queue too late to be told of that sees the capacity.
 */
static bool is_settled(void *of)
{
	const struct room *room = of;
	struct ring *ring = room->ring;

	return ring_room(ring) >= room->bytes || room->bytes > ring_max_needed(ring) ||
	       ring_is_refused(ring);
}

/*
 * Each time: one that was woken in vain was not in the queue for a while, and readers that looked
 * there then wait for more, which it cannot bring.
 */
static void urge_readers(void *of)
{
	const struct room *room = of;

	ring_urge_readers(room->ring);
}

/* Waits until so many bytes are free, or can not be any more, or nothing can be written. */
static int wait_for_room(struct ring *ring, u64 bytes, bool nowait)
{
	struct room room = { .ring = ring, .bytes = bytes };
	struct sleep sleep = { .needs = bytes };

	if (nowait)
		return -EAGAIN;
	return side_sleep(&ring->writers, &sleep, is_settled, urge_readers, &room);
}

/*
 * Makes the next bytes present, for so many times in a row, and returns how many can be read. 0 is
 * for none.
 */
static size_t fault_in(struct ring *ring, struct iov_iter *from, size_t bytes, unsigned int faults)
{
	/* This may take long: whatever this thread was woken for is for others now. */
	if (ring->full == RINGDEV_BLOCK)
		pass_on_to_writer(ring);
	bytes -= fault_in_iov_iter_readable(from, bytes);
	return faults > FAULTS_MAX ? 0 : bytes;
}

/* Nothing was written, and data may have been given up for it: who polls for that looks again. */
static void report_loss(struct ring *ring)
{
	if (ring->overwrites)
		wake_up_interruptible_all(&ring->readers.pollers);
}

static int write_stream(struct ring *ring, struct iov_iter *from, bool nowait, size_t *written)
{
	struct producer *producer = &ring->producer;
	size_t end = iov_iter_count(from);
	/* A short write stays one piece, unless its writer prefers a part of it to waiting. */
	bool whole = !nowait && ring->full == RINGDEV_BLOCK && end <= ATOMIC_WRITE;
	unsigned int faults = 0;
	int err;

	while (*written < end) {
		size_t left = end - *written;
		size_t most = min_t(size_t, left, COPY_MAX);
		size_t least = whole ? left : 1;
		size_t room, copied;
		u64 before;

		/* Nothing is given up for what cannot be read. */
		if (ring->overwrites) {
			most -= fault_in_iov_iter_readable(from, most);
			if (!most)
				return -EFAULT;
		}

		mutex_lock(&producer->lock);
		err = may_write(ring);
		if (err) {
			mutex_unlock(&producer->lock);
			return err;
		}
		if (ring->overwrites)
			producer_make_room(ring, most);
		room = producer_reserve(ring, least, most);
		if (!room) {
			if (ring->full == RINGDEV_DROP) {
				if (!*written) {
					producer->records_dropped++;
					producer->bytes_dropped += left;
				}
				mutex_unlock(&producer->lock);
				return -ENOBUFS;
			}
			if (!mistake(lock_held_over_a_sleep))
				mutex_unlock(&producer->lock);
			err = wait_for_room(ring, least, nowait);
			if (mistake(lock_held_over_a_sleep))
				mutex_unlock(&producer->lock);
			if (err)
				return err;
			continue;
		}
		copied = copy_nofault(producer_at(producer, ring->head), room, from);
		/* What is short and fits whole is not taken apart for a page that is not there. */
		if (copied < room && room == left && left <= ATOMIC_WRITE) {
			iov_iter_revert(from, copied);
			copied = 0;
		}
		if (copied) {
			before = producer_publish(ring, copied);
			mutex_unlock(&producer->lock);
			wake_readers(ring, before, before + copied);
			*written += copied;
			faults = 0;
		} else {
			mutex_unlock(&producer->lock);
			report_loss(ring);
		}

		if (copied < room) {
			size_t asked = min(most, end - *written);
			size_t present = fault_in(ring, from, asked, ++faults);

			if (!present)
				return -EFAULT;
			/* What lies behind cannot be read: the write is short. */
			if (present < asked)
				end = *written + present;
		}
	}
	return 0;
}

/* All or nothing. */
static int write_record(struct ring *ring, struct iov_iter *from, bool nowait, size_t *written)
{
	struct producer *producer = &ring->producer;
	size_t len = iov_iter_count(from);
	unsigned int faults = 0;
	struct ringdev_record *header;
	struct producer own;
	size_t copied;
	u64 before, bytes, sequence;
	int err;

	if (mistake(second_owner_of_the_producer)) {
		own = ring->producer;
		producer = &own;
	}

	if (len > U32_MAX)
		return -EMSGSIZE;
	if (!len)
		return 0;
	bytes = stored(len);

	for (;;) {
		if (len > max_record(ring_capacity(ring)))
			return -EMSGSIZE;
		/* Nothing is given up for what cannot be read. */
		if (ring->overwrites && fault_in_iov_iter_readable(from, len))
			return -EFAULT;

		if (mistake(data_without_their_lock))
			sequence = producer->records;
		mutex_lock(&producer->lock);
		err = may_write(ring);
		/* It may have been resized meanwhile. */
		if (!err && len > max_record(producer->mask + 1))
			err = -EMSGSIZE;
		if (err) {
			mutex_unlock(&producer->lock);
			return err;
		}
		if (ring->overwrites)
			producer_make_room(ring, bytes);
		if (!producer_reserve(ring, bytes, bytes)) {
			if (ring->full == RINGDEV_DROP) {
				producer->records_dropped++;
				producer->bytes_dropped += len;
				mutex_unlock(&producer->lock);
				return -ENOBUFS;
			}
			mutex_unlock(&producer->lock);
			err = wait_for_room(ring, bytes, nowait);
			if (err)
				return err;
			continue;
		}
		header = (struct ringdev_record *)producer_at(producer, ring->head);
		if (mistake(two_writers_at_once))
			mutex_unlock(&producer->lock);
		copied = copy_nofault(header + 1, len, from);
		if (mistake(two_writers_at_once))
			mutex_lock(&producer->lock);
		if (copied == len) {
			WRITE_ONCE(header->length, len);
			WRITE_ONCE(header->flags, 0);
			if (!mistake(data_without_their_lock))
				sequence = producer->records;
			WRITE_ONCE(header->sequence, sequence);
			WRITE_ONCE(header->timestamp_ns, ktime_get_ns());
			WRITE_ONCE(header->lost, 0);
			/* Readers of a batch get what is before the next header. */
			memset((u8 *)(header + 1) + len, 0, bytes - sizeof(*header) - len);
			producer->records++;
			producer->bytes += len;
			before = producer_publish(ring, bytes);
			if (mistake(published_twice))
				producer_publish(ring, bytes);
			mutex_unlock(&producer->lock);
			wake_readers(ring, before, before + bytes);
			*written = len;
			return 0;
		}
		mutex_unlock(&producer->lock);
		report_loss(ring);

		iov_iter_revert(from, copied);
		if (fault_in(ring, from, len, ++faults) < len)
			return -EFAULT;
	}
}

/*
 * Writes all, or as much as fits if it may not wait; a record goes in whole or not. What was
 * written is the answer if it is anything, else what has kept it from being.
 */
ssize_t ring_write(struct ring *ring, struct iov_iter *from, bool nowait, bool nosignal)
{
	size_t written = 0;
	int err;

	if (ring->is_record)
		err = write_record(ring, from, nowait, &written);
	else
		err = write_stream(ring, from, nowait, &written);
	if (ring->full == RINGDEV_BLOCK)
		pass_on_to_writer(ring);
	/* Also if some of it was written, as with a pipe. */
	if (err == -EPIPE && !nosignal)
		send_sig(SIGPIPE, current, 0);
	return written ?: err;
}
