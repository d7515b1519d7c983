// SPDX-License-Identifier: GPL-2.0
/* Reading from a ring: all but the short way, which is in endpoint.c. */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "ring.h"

/* The least that a reader goes on to try to copy at a time after it was lapped. */
#define LAPPED_MIN	256

/* Copies until the first byte whose page is not there. The iterator moves past what was copied. */
static size_t copy_nofault(const void *from, size_t len, struct iov_iter *to)
{
	size_t copied;

	pagefault_disable();
	copied = copy_to_iter(from, len, to);
	pagefault_enable();
	return copied;
}

static void pass_on(struct ring *ring, struct cursor *cursor)
{
	if (!ring->is_broadcast)
		pass_on_to_reader(ring, cursor);
}

/* Makes the next bytes present, for so many times in a row, and returns how many can be written. */
static size_t fault_in(struct ring *ring, struct cursor *cursor, struct iov_iter *to, size_t bytes,
		       unsigned int faults)
{
	/* This may take long: whatever this thread was woken for is for others now. */
	pass_on(ring, cursor);
	bytes -= fault_in_iov_iter_writeable(to, bytes);
	return faults > FAULTS_MAX ? 0 : bytes;
}

/*
 * What was copied has been overwritten meanwhile. The less is tried next, the less often that
 * happens; never more, as no more may be present. A signal ends it.
 */
static int lapped(size_t *piece)
{
	/* Not signal_pending(), which is also true for io_uring's work. */
	if (task_sigpending(current))
		return -ERESTARTSYS;
	*piece = min(*piece, max_t(size_t, *piece / 2, LAPPED_MIN));
	return 0;
}

/*
 * A reader has taken something. If it was the last, those who poll learn that the end has come.
 * With no lock held.
 */
static void note_end(struct ring *ring, struct cursor *cursor, bool ending)
{
	if (unlikely(ending) && !ring_unread(ring, cursor->mark))
		cursor_wake_pollers(cursor);
}

struct wait {
	struct ring *ring;
	const struct read_end *end;
	/* What it sleeps for. */
	struct awaited awaited;
};

/* Nothing will come any more, or not here. */
static bool is_over(const struct wait *wait)
{
	return ring_is_at_end(wait->ring, wait->end) || READ_ONCE(wait->end->cursor->evicted);
}

/*
 * Whether it is to sleep no longer, or for something else: there is something now, and so a time
 * limit, or no more, as another reader has taken it; there is another watermark, or the cursor was
 * moved back. If it only has to wait for more it may sleep on, and is woken too early.
 */
static bool has_data(void *of)
{
	struct wait *wait = of;
	struct awaited awaited;

	/*
	 * The end last. Another reader that takes the last data once nobody writes any more wakes
	 * no sleepers: whoever has seen it empty has to see the end as well.
	 */
	if (ring_is_ready(wait->ring, wait->end, &awaited) || is_over(wait))
		return true;
	return awaited.due_ns != wait->awaited.due_ns ||
	       is_beyond(wait->awaited.head, awaited.head);
}

/* Waits until there may be something at the cursor. Returns 1 if it is at the end instead. */
static int wait_for_data(struct ring *ring, const struct read_end *end, bool nowait)
{
	struct wait wait = { .ring = ring, .end = end };
	struct cursor *cursor = end->cursor;
	int err;

	if (READ_ONCE(cursor->evicted))
		return -ESHUTDOWN;
	if (ring_is_at_end(ring, end))
		return 1;
	if (nowait)
		return -EAGAIN;
	while (!ring_is_ready(ring, end, &wait.awaited)) {
		struct sleep sleep = {
			.needs = wait.awaited.head,
			.place = cursor->id,
			.deadline = wait.awaited.due_ns,
		};

		err = side_sleep(&ring->readers, &sleep, has_data, NULL, &wait);
		if (err)
			return err;
		if (is_over(&wait))
			break;
	}
	return 0;
}

static int read_stream(struct ring *ring, const struct read_end *end, struct iov_iter *to,
		       bool nowait, size_t *read)
{
	struct cursor *cursor = end->cursor;
	size_t piece = COPY_MAX;
	unsigned int faults = 0;
	u64 next = 0; /* Where what was read ends. */
	bool ending;
	int err;

	for (;;) {
		size_t most = min(iov_iter_count(to), piece);
		size_t len, copied;
		u64 position;

		if (!most)
			return 0;

		mutex_lock(&cursor->lock);
		if (!cursor->data) {
			mutex_unlock(&cursor->lock);
			return -ESHUTDOWN;
		}
		if (ring->overwrites)
			cursor_lose_up_to(ring, cursor, load_mark(&ring->tail));
		position = *cursor->mark;
		len = cursor->head_seen - position;
		if (len < most)
			len = cursor_look(ring, cursor, position);
		if (!len) {
			mutex_unlock(&cursor->lock);
			if (*read)
				return 0;
			err = wait_for_data(ring, end, nowait);
			if (err)
				return min(err, 0);
			continue;
		}
		/* Between two pieces, another reader may have taken what would have followed. */
		if (*read && position != next) {
			mutex_unlock(&cursor->lock);
			return 0;
		}
		/* Where data are overwritten there may seem to be more than the capacity. */
		len = min3(len, most, (size_t)cursor->mask + 1);
		if (mistake(range_after_its_lock)) {
			mutex_unlock(&cursor->lock);
			fault_in(ring, cursor, to, len, 0);
			mutex_lock(&cursor->lock);
		}
		copied = copy_nofault(cursor_at(cursor, position), len, to);
		if (copied < len) {
			size_t present;

			/*
			 * From the start again: a page that is gone for a moment ends no read in
			 * the middle of what somebody has written. Memory that ends there does.
			 */
			mutex_unlock(&cursor->lock);
			iov_iter_revert(to, copied);
			present = fault_in(ring, cursor, to, len, ++faults);
			if (!present)
				return -EFAULT;
			/* There may be more by now, but not for what is not present. */
			piece = present;
			continue;
		}
		if (cursor_was_lapped(ring, position)) {
			mutex_unlock(&cursor->lock);
			iov_iter_revert(to, copied);
			err = lapped(&piece);
			if (err)
				return err;
			continue;
		}
		release_mark(cursor->mark, position + copied);
		cursor_restart(cursor);
		ending = cursor->ending;
		mutex_unlock(&cursor->lock);
		ring_released(ring, position);
		note_end(ring, cursor, ending);
		*read += copied;
		next = position + copied;
		piece = COPY_MAX;
		faults = 0;
		/* Something may be missing before what comes next; or there was no more. */
		if (ring->overwrites || len < most)
			return 0;
	}
}

/* A run of whole records, as it was found at a cursor. */
struct run {
	u64 position;
	/* The first. */
	u32 length;
	u64 sequence;
	/* Where the next one begins. */
	u64 end;
	/* From the first header to the end of the last payload. */
	size_t len;
	u64 records;
	u64 bytes;
};

/*
 * Finds as many whole records as fit into so many bytes, each with its header, but at least one.
 * Where data are overwritten, what is found may be so already; the first was there after it had
 * been looked at.
 */
static bool find_run(struct ring *ring, struct cursor *cursor, size_t most, struct run *run)
{
	u64 position;

	do {
		if (ring->overwrites)
			cursor_lose_up_to(ring, cursor, load_mark(&ring->tail));
		position = *cursor->mark;
		if (cursor->head_seen == position && !cursor_look(ring, cursor, position))
			return false;
		run->length = record_length(cursor_at(cursor, position));
		run->sequence = record_sequence(cursor_at(cursor, position));
	} while (cursor_was_lapped(ring, position));

	run->position = position;
	run->end = position + stored(run->length);
	run->len = sizeof(struct ringdev_record) + run->length;
	run->records = 1;
	run->bytes = run->length;
	/* What seems to be more than the capacity was overwritten. */
	most = min(most, (size_t)cursor->mask + 1);
	if (run->len >= most)
		return true;
	cursor_look(ring, cursor, position);
	while (run->end != cursor->head_seen) {
		u32 length = record_length(cursor_at(cursor, run->end));
		u64 end = run->end + stored(length);
		/* Those before it, and it without the padding behind it. */
		size_t len = run->end - position + sizeof(struct ringdev_record) + length;

		/* The latter is so only of what was overwritten, and is no header any more. */
		if (len > most || is_beyond(end, cursor->head_seen))
			break;
		run->end = end;
		run->len = len;
		run->records++;
		run->bytes += length;
	}
	return true;
}

/* The records have been copied. Who got their headers was told by them what was lost before. */
static void release_run(struct cursor *cursor, const struct run *run, bool told)
{
	u64 lost = run->sequence - cursor->next;

	if (lost) {
		cursor->untold |= !told && cursor->missed;
		if (!cursor->untold)
			WRITE_ONCE(cursor->missed, false);
	}
	cursor->next = run->sequence + run->records;
	cursor->received.records_lost += lost;
	cursor->received.records += run->records;
	cursor->received.bytes += run->bytes;
	release_mark(cursor->mark, run->end);
}

/*
 * All of a record or nothing; of a batch, the records that fit the present part of the memory, if
 * not all of it is.
 */
static int read_records(struct ring *ring, const struct read_end *end, struct iov_iter *to,
			bool headers, bool nowait, size_t *read)
{
	const size_t header_size = sizeof(struct ringdev_record);
	struct cursor *cursor = end->cursor;
	size_t piece = COPY_MAX;
	unsigned int faults = 0;
	bool ending;
	int err;

	for (;;) {
		size_t room = iov_iter_count(to);
		size_t len, copied, present;
		struct run run;
		u64 lost;

		mutex_lock(&cursor->lock);
		if (!cursor->data) {
			mutex_unlock(&cursor->lock);
			return -ESHUTDOWN;
		}
		if (!find_run(ring, cursor, headers ? min(room, piece) : 0, &run)) {
			mutex_unlock(&cursor->lock);
			err = wait_for_data(ring, end, nowait);
			if (err)
				return min(err, 0);
			continue;
		}
		len = headers ? run.len : run.length;
		if (len > room) {
			mutex_unlock(&cursor->lock);
			return -EMSGSIZE;
		}
		lost = run.sequence - cursor->next;
		if (!headers) {
			copied = copy_nofault(cursor_at(cursor, run.position + header_size), len,
					      to);
		} else if (!lost) {
			copied = copy_nofault(cursor_at(cursor, run.position), len, to);
		} else {
			/* In the ring nobody is said to have lost anything. */
			const char *at = cursor_at(cursor, run.position);
			struct ringdev_record first = {
				.length = run.length,
				.sequence = run.sequence,
				.timestamp_ns = record_timestamp(at),
				.lost = lost,
			};

			copied = copy_nofault(&first, header_size, to);
			if (copied == header_size)
				copied += copy_nofault(at + header_size, len - header_size, to);
		}
		if (copied < len) {
			mutex_unlock(&cursor->lock);
			iov_iter_revert(to, copied);
			present = fault_in(ring, cursor, to, len, ++faults);
			if (present < (headers ? header_size + run.length : len))
				return -EFAULT;
			/* There may be more by now, but not for what is not present. */
			piece = present;
			continue;
		}
		if (cursor_was_lapped(ring, run.position)) {
			mutex_unlock(&cursor->lock);
			iov_iter_revert(to, copied);
			err = lapped(&piece);
			if (err)
				return err;
			continue;
		}
		release_run(cursor, &run, headers);
		cursor_restart(cursor);
		ending = cursor->ending;
		mutex_unlock(&cursor->lock);
		ring_released(ring, run.position);
		note_end(ring, cursor, ending);
		*read = len;
		return 0;
	}
}

/*
 * Reads what is there; waits only if nothing is. What was read is the answer if it is anything, 0
 * if nothing will come any more, else what has kept it from being.
 */
ssize_t ring_read(struct ring *ring, const struct read_end *end, struct iov_iter *to, bool headers,
		  bool nowait)
{
	size_t read = 0;
	int err;

	if (!iov_iter_count(to))
		return 0;
	if (ring->is_record)
		err = read_records(ring, end, to, headers, nowait, &read);
	else
		err = read_stream(ring, end, to, nowait, &read);
	pass_on(ring, end->cursor);
	return read ?: err;
}

/* Waits until a read does not. The caller reads then, or passes on its wake-up. */
int ring_wait_to_read(struct ring *ring, const struct read_end *end)
{
	return min(wait_for_data(ring, end, false), 0);
}

/* A thread that has waited to read does not read after all. */
void ring_read_given_up(struct ring *ring, const struct read_end *end)
{
	pass_on(ring, end->cursor);
}

/*
 * How large a buffer the next read needs to take anything; 0 if there is nothing, or the cursor was
 * evicted.
 */
u64 ring_next_read(struct ring *ring, struct cursor *cursor, bool headers)
{
	struct run run = {};
	bool found;

	if (!ring->is_record)
		return READ_ONCE(cursor->evicted) ? 0 : ring_unread(ring, cursor->mark);
	mutex_lock(&cursor->lock);
	found = cursor->data && find_run(ring, cursor, 0, &run);
	mutex_unlock(&cursor->lock);
	if (!found)
		return 0;
	return run.length + (headers ? sizeof(struct ringdev_record) : 0);
}
