// SPDX-License-Identifier: GPL-2.0
/*
 * When a reader is woken: at once, or when there is enough to be worth it.
 *
 * The first data after none still wake one who waits, who looks, sees that it is too little, and
 * waits on with a time limit: a sleeper in its sleep, a poller by a timer of the cursor. So a
 * writer sets no timer, and what is not used costs nothing. A writer that has to wait overrides the
 * watermark, or the two would wait for each other; and so does the last one that leaves.
 */
#include <linux/ktime.h>

#include "ring.h"

#define DELAY_MAX_NS	(60 * (u64)NSEC_PER_SEC)

/* Has those look again who poll at the cursor. */
enum hrtimer_restart watermark_alarm(struct hrtimer *timer)
{
	cursor_wake_pollers(container_of(timer, struct cursor, alarm));
	return HRTIMER_NORESTART;
}

/* Whether it is time to wake those who wait at an endpoint, else what they wait for. */
bool ring_is_ready(struct ring *ring, const struct read_end *end, struct awaited *awaited)
{
	struct cursor *cursor = end->cursor;
	/* First: if readers move it on meanwhile, one is woken too early, and not too late. */
	u64 mark = READ_ONCE(*cursor->mark);
	u64 unread = ring_unread(ring, cursor->mark);
	u64 bytes, since, now;

	if (!unread) {
		since = READ_ONCE(cursor->since_ns);
		/* Of data that are gone. Who has seen the next ones come by now has set it anew. */
		if (since && !ring_unread(ring, cursor->mark))
			cmpxchg_relaxed(&cursor->since_ns, since, 0);
		*awaited = (struct awaited) { .head = mark + 1 };
		return false;
	}
	bytes = READ_ONCE(cursor->watermark.bytes);
	if (unread >= bytes)
		return true;
	/* The ring may have been shrunk since, and half of it is always enough. */
	bytes = min(bytes, ring_capacity(ring) / 2);
	if (unread >= bytes)
		return true;
	now = ktime_get_ns();
	since = READ_ONCE(cursor->since_ns);
	if (!since) {
		/* Two who see it first at the same time see it at nearly the same time. */
		since = now;
		WRITE_ONCE(cursor->since_ns, now);
	}
	awaited->head = mark + bytes;
	awaited->due_ns = since + READ_ONCE(cursor->watermark.delay_ns);
	/* A writer that waits cannot bring more, nor can one that has left. */
	return now >= awaited->due_ns || has_sleepers(&ring->writers) ||
	       ring_is_abandoned(ring, end);
}

/* For who polls, and has joined the queue. */
bool ring_is_ready_to_poll(struct ring *ring, const struct read_end *end)
{
	struct awaited awaited;

	if (ring_is_ready(ring, end, &awaited))
		return true;
	if (awaited.due_ns)
		hrtimer_start(&end->cursor->alarm, ns_to_ktime(awaited.due_ns), HRTIMER_MODE_ABS);
	return false;
}

int cursor_set_watermark(struct ring *ring, struct cursor *cursor, struct watermark watermark)
{
	bool waits = watermark.bytes > 1;

	if (watermark.bytes > ring_capacity(ring) / 2 || watermark.delay_ns > DELAY_MAX_NS ||
	    (waits && !watermark.delay_ns))
		return -EINVAL;
	if (waits) {
		/* Who polls cannot go by the edges from empty to non-empty any more. */
		WRITE_ONCE(ring->readers.every_edge, true);
		WRITE_ONCE(ring->readers.must_look, true);
		/* Before anybody waits for it, or looks at it: see ring_urge_readers(). */
		WRITE_ONCE(ring->has_watermarks, true);
	}

	mutex_lock(&cursor->lock);
	if (!cursor->data) {
		mutex_unlock(&cursor->lock);
		return -ESHUTDOWN;
	}
	cursor->gauged = waits;
	WRITE_ONCE(cursor->at_once, waits ? 0 : ring->at_once);
	WRITE_ONCE(cursor->watermark.delay_ns, watermark.delay_ns);
	WRITE_ONCE(cursor->watermark.bytes, watermark.bytes);
	WRITE_ONCE(cursor->since_ns, 0);
	mutex_unlock(&cursor->lock);

	/* Who waits there may have waited long enough for this one. */
	cursor_look_again(cursor);
	return 0;
}
