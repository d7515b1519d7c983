// SPDX-License-Identifier: GPL-2.0
/*
 * Those who wait on a side of a ring, and who of them is woken.
 *
 * Sleepers are in read(2) or write(2). Where readers compete, and among writers always, one is
 * woken at a time, and what it leaves it passes on; readers that each see everything are all woken.
 * Pollers are told at each edge, from empty to non-empty or from full to not full.
 *
 * A sleeper says what it needs and a wake-up what there is: writers count bytes of room, readers
 * the position that the head must have reached.
 *
 * No function here is called with a lock held.
 */
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "ring.h"

/* Wakes a sleeper whatever it needs: further than any position or amount can be. */
#define ENOUGH	BIT_ULL(62)

struct sleeper {
	struct wait_queue_entry entry;
	unsigned long needs;
};

void side_init(struct side *side, __poll_t events, int band, bool exclusive)
{
	init_waitqueue_head(&side->sleepers);
	init_waitqueue_head(&side->pollers);
	side->events = events;
	side->band = band;
	side->exclusive = exclusive;
}

/* Leaves the sleeper in the queue if there is not enough for it. */
static int wake_if_enough(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key)
{
	struct sleeper *sleeper = container_of(entry, struct sleeper, entry);

	if ((long)((unsigned long)key - sleeper->needs) < 0)
		return 0;
	return autoremove_wake_function(entry, mode, flags, key);
}

/* Wakes those to whom it is enough; if they are woken one at a time, who has waited longest. */
void side_wake_sleepers(struct side *side, u64 there_is)
{
	__wake_up(&side->sleepers, TASK_INTERRUPTIBLE, 1, (void *)there_is);
}

void side_wake_pollers(struct side *side)
{
	wake_up_interruptible_poll(&side->pollers, side->events);
	kill_fasync(&side->signalled, SIGIO, side->band);
}

void side_wake_everybody(struct side *side, u64 there_is)
{
	__wake_up(&side->sleepers, TASK_INTERRUPTIBLE, 0, (void *)(there_is + ENOUGH));
	wake_up_interruptible_all(&side->pollers);
	kill_fasync(&side->signalled, SIGIO, side->band);
}

/*
 * Sleeps until it is ready, the deadline by CLOCK_MONOTONIC has passed if it is not 0, or a signal
 * arrives. Who was chosen by a wake-up and then is ready answers 0, signal or not: a wake-up is not
 * lost with a thread that is killed.
 */
int side_sleep(struct side *side, u64 needs, u64 deadline, bool (*ready)(void *of), void *of)
{
	struct sleeper sleeper = { .needs = needs };
	bool overdue = false;

	init_wait_entry(&sleeper.entry, side->exclusive ? WQ_FLAG_EXCLUSIVE : 0);
	sleeper.entry.func = wake_if_enough;
	for (;;) {
		long interrupted = prepare_to_wait_event(&side->sleepers, &sleeper.entry,
							 TASK_INTERRUPTIBLE);

		if (ready(of) || overdue)
			break;
		/* It was taken out of the queue, and runs. */
		if (interrupted)
			return interrupted;
		atomic_long_inc(&side->sleeps);
		if (deadline) {
			ktime_t expires = ns_to_ktime(min_t(u64, deadline, KTIME_MAX));

			overdue = !schedule_hrtimeout(&expires, HRTIMER_MODE_ABS);
		} else {
			schedule();
		}
		atomic_long_inc(&side->wakes);
	}
	finish_wait(&side->sleepers, &sleeper.entry);
	return 0;
}

/* The head has moved from before, and somebody waits for that. */
void tell_readers(struct ring *ring, u64 before, u64 head)
{
	struct side *readers = &ring->readers;

	if (has_sleepers(readers))
		side_wake_sleepers(readers, head);
	/* Only where the one cursor is the tail does a writer see whether readers had caught up. */
	if (has_pollers(readers) &&
	    (!ring->cursor_is_tail || wants_every_edge(readers) ||
	     !is_beyond(before, READ_ONCE(ring->tail))))
		side_wake_pollers(readers);
}

/*
 * Returns how many bytes must be free before any write goes on, whatever its length: what POLLOUT
 * means where nothing is overwritten, and the most that a writer waits for.
 */
u64 ring_max_needed(const struct ring *ring)
{
	if (ring->is_record)
		return stored(max_record(ring_capacity(ring)));
	return ring->full == RINGDEV_BLOCK ? ATOMIC_WRITE : 1;
}

/*
 * Returns how many bytes must be free before a reader wakes a writer that sleeps: a quarter, but no
 * less than any writer may need. Otherwise one that needs more could wait for ever while others
 * take what becomes free.
 */
static u64 writer_watermark(const struct ring *ring)
{
	return max(ring_capacity(ring) / 4, ring_max_needed(ring));
}

/*
 * The tail has moved from before, and somebody waits for that. A writer below the watermark is not
 * forgotten: a reader sleeps only when the ring is empty, and has passed the watermark by then.
 */
void tell_writers(struct ring *ring, u64 before)
{
	u64 needed = ring_max_needed(ring);
	struct side *writers = &ring->writers;
	u64 room = ring_room(ring);

	if (has_sleepers(writers) && room >= writer_watermark(ring))
		side_wake_sleepers(writers, room);
	/* The edge: too little room for some write before, enough for any now. */
	if (has_pollers(writers) &&
	    (wants_every_edge(writers) ||
	     (room >= needed &&
	      is_beyond(READ_ONCE(ring->head) + needed, before + ring_capacity(ring)))))
		side_wake_pollers(writers);
}

/*
 * For a writer that leaves, whatever the reason, or may be held up by user space: if it has left
 * room, the next sleeper that fits gets its wake-up.
 */
void pass_on_to_writer(struct ring *ring)
{
	u64 room;

	if (!has_sleepers(&ring->writers))
		return;
	room = ring_room(ring);
	if (room)
		side_wake_sleepers(&ring->writers, room);
}

/* For a reader, where readers compete: if it was woken for what it has not taken. */
void pass_on_to_reader(struct ring *ring, struct cursor *cursor)
{
	if (has_sleepers(&ring->readers) && ring_unread(ring, cursor->mark))
		side_wake_sleepers(&ring->readers, READ_ONCE(ring->head));
}
