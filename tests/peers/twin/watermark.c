// SPDX-License-Identifier: GPL-2.0
/*
 * When a reader is woken: at once, or when there is enough to be worth it.
 *
 * The first data after none still wake one who waits, who looks, sees that it is too little, and
 * waits on with a time limit: a sleeper in its sleep, a poller by a timer of the cursor. So a
 * writer sets no timer, and what is not used costs nothing. A writer that has to wait overrides the
 * watermark, or the two would wait for each other.
 */
#include <linux/ktime.h>

#include "ring.h"

#define DELAY_MAX_NS	(60 * (u64)NSEC_PER_SEC)

/* Has those who poll look again. */
enum hrtimer_restart watermark_alarm(struct hrtimer *timer)
{
	struct cursor *cursor = container_of(timer, struct cursor, alarm);

	side_wake_pollers(&cursor->ring->readers);
	return HRTIMER_NORESTART;
}

/* Whether it is time to wake those who wait at a cursor, or when it will be. */
enum readiness cursor_readiness(struct ring *ring, struct cursor *cursor, u64 *due_ns)
{
	u64 unread = ring_unread(ring, cursor->mark);
	u64 since, now;

	if (!unread)
		return NOTHING;
	if (unread >= READ_ONCE(cursor->watermark.bytes))
		return READY;
	now = ktime_get_ns();
	since = READ_ONCE(cursor->since_ns);
	if (!since) {
		/* Two who see it first at the same time see it at nearly the same time. */
		since = now;
		WRITE_ONCE(cursor->since_ns, now);
	}
	*due_ns = since + READ_ONCE(cursor->watermark.delay_ns);
	/* A writer that waits cannot bring more. */
	if (now >= *due_ns || has_sleepers(&ring->writers))
		return READY;
	return NOT_YET;
}

/* For who polls, and has joined the queue. */
bool cursor_is_ready_to_poll(struct ring *ring, struct cursor *cursor)
{
	u64 due_ns;

	switch (cursor_readiness(ring, cursor, &due_ns)) {
	case NOTHING:
		return false;
	case NOT_YET:
		hrtimer_start(&cursor->alarm, ns_to_ktime(due_ns), HRTIMER_MODE_ABS);
		return false;
	default:
		return true;
	}
}

int cursor_set_watermark(struct ring *ring, struct cursor *cursor, struct watermark watermark)
{
	bool waits = watermark.bytes > 1;

	if (watermark.bytes > ring_capacity(ring) / 2 || watermark.delay_ns > DELAY_MAX_NS ||
	    (waits && !watermark.delay_ns))
		return -EINVAL;
	/* Who polls cannot go by the edges from empty to non-empty any more. */
	if (waits)
		WRITE_ONCE(ring->readers.every_edge, true);

	mutex_lock(&cursor->lock);
	if (cursor->refused) {
		mutex_unlock(&cursor->lock);
		return -ESHUTDOWN;
	}
	cursor->gauged = waits;
	WRITE_ONCE(cursor->at_once, waits ? 0 : ring->at_once);
	WRITE_ONCE(cursor->watermark.delay_ns, watermark.delay_ns);
	WRITE_ONCE(cursor->watermark.bytes, watermark.bytes);
	WRITE_ONCE(cursor->since_ns, 0);
	mutex_unlock(&cursor->lock);

	/* Who waits may have waited long enough for this one. */
	ring_tell_everybody(ring, &ring->readers);
	return 0;
}
