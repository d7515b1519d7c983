// SPDX-License-Identifier: GPL-2.0
/*
 * Those who wait on a side of a ring, and who of them is woken.
 *
 * Sleepers are in read(2) or write(2). Where readers compete, and among writers always, one is
 * woken at a time, and what it leaves it passes on; readers that each see everything are all woken.
 * Pollers are told at each edge, from empty to non-empty or from too little room for some write to
 * enough for any.
 *
 * A sleeper says what it needs and a wake-up what there is: writers count bytes of room, readers
 * the position that the head must have reached.
 *
 * A wake-up reaches as far as its cause. What happens to the ring is announced to all, by a signal
 * as well. What changes a cursor has those look again who wait there: sleepers say at which one
 * they are, and pollers of a ring whose readers each see everything are in a queue of the cursor.
 * That one is a branch of the side's: it has an entry there, which passes wake-ups on. Its lock is
 * taken inside that of the side's queue.
 *
 * No function here is called with a lock held.
 */
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "ring.h"

struct sleeper {
	struct wait_queue_entry entry;
	struct sleep sleep;
};

/* What a wake-up offers to sleepers. */
struct offer {
	enum {
		/* There is so much. */
		OFFER_AMOUNT,
		/* Those at this place look again. */
		OFFER_PLACE,
		/* Those with a deadline look again. */
		OFFER_TIMED,
		/* All look again. */
		OFFER_ALL,
	} kind;
	u64 value;
};

void side_init(struct side *side, __poll_t events, int band, bool exclusive)
{
	init_waitqueue_head(&side->sleepers);
	init_waitqueue_head(&side->pollers);
	side->events = events;
	side->band = band;
	side->exclusive = exclusive;
}

static bool is_for(const struct offer *offer, const struct sleep *sleep)
{
	switch (offer->kind) {
	case OFFER_AMOUNT:
		return !is_beyond(sleep->needs, offer->value);
	case OFFER_PLACE:
		return offer->value == sleep->place;
	case OFFER_TIMED:
		return sleep->deadline;
	default:
		return true;
	}
}

/* Leaves the sleeper in the queue if the offer is not for it. */
static int wake_if_enough(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key)
{
	struct sleeper *sleeper = container_of(entry, struct sleeper, entry);

	if (!is_for(key, &sleeper->sleep))
		return 0;
	return autoremove_wake_function(entry, mode, flags, key);
}

/* Wakes those to whom it is enough; if they are woken one at a time, who has waited longest. */
void side_wake_sleepers(struct side *side, u64 there_is)
{
	struct offer offer = { .kind = OFFER_AMOUNT, .value = there_is };

	__wake_up(&side->sleepers, TASK_INTERRUPTIBLE, 1, &offer);
}

static void have_sleepers_look(struct side *side, struct offer offer)
{
	__wake_up(&side->sleepers, TASK_INTERRUPTIBLE, 0, &offer);
}

/*
 * Tells the pollers that the side is ready, which it is. One that is told of events may take this
 * for the answer and not look again, as io_uring does: they have to be true.
 */
void side_wake_pollers(struct side *side)
{
	/*
	 * All of them, if they have to look: without events to go by, one that waits for something
	 * else would take a wake-up that is for one alone (EPOLLEXCLUSIVE).
	 */
	if (READ_ONCE(side->must_look))
		wake_up_interruptible_all(&side->pollers);
	else
		wake_up_interruptible_poll(&side->pollers, side->events);
	side_signal(side);
}

/* Sends a signal to those who want one: they are told of each hand-over. */
void side_signal(struct side *side)
{
	kill_fasync(&side->signalled, SIGIO, side->band);
}

/* Something has happened to the ring, and may be the last that anybody can wait for. */
void side_announce(struct side *side)
{
	have_sleepers_look(side, (struct offer) { .kind = OFFER_ALL });
	wake_up_interruptible_all(&side->pollers);
	side_signal(side);
}

/*
 * Has those look again who have found something and wait for more, as there may be a reason to take
 * less. Nothing has happened that a signal would be sent for.
 */
void side_urge(struct side *side)
{
	have_sleepers_look(side, (struct offer) { .kind = OFFER_TIMED });
	wake_up_interruptible_all(&side->pollers);
}

/* Passes a wake-up of all pollers on to a branch, or takes its entry out if nobody is there. */
static int wake_branch(struct wait_queue_entry *entry, unsigned int mode, int flags, void *key)
{
	struct cursor *cursor = container_of(entry, struct cursor, branch);

	/*
	 * Who joins the branch puts the entry back afterwards, with the lock that is held here. Of
	 * those who share their wake-ups one is woken, or without a key all: a wake-up without one
	 * may be a hand-over or the end.
	 */
	if (!waitqueue_active(&cursor->pollers))
		list_del_init(&entry->entry);
	else
		__wake_up(&cursor->pollers, mode, key ? 1 : 0, key);
	/* It was no exclusive wake-up. */
	return 0;
}

void cursor_init_pollers(struct cursor *cursor)
{
	init_waitqueue_head(&cursor->pollers);
	init_waitqueue_func_entry(&cursor->branch, wake_branch);
	INIT_LIST_HEAD(&cursor->branch.entry);
}

/* For who polls at a cursor: a full barrier follows if it was not in the queue yet. */
void cursor_join_pollers(struct cursor *cursor, struct file *file, struct poll_table_struct *table)
{
	struct side *readers = &cursor->ring->readers;
	unsigned long flags;

	if (!cursor->ring->is_broadcast) {
		poll_wait(file, &readers->pollers, table);
		return;
	}
	poll_wait(file, &cursor->pollers, table);
	/* Who looks a second time is in the queue, and its entry among all pollers. */
	if (!table || !table->_qproc)
		return;
	/*
	 * A wake-up that has found the queue empty, and taken the entry out, had the lock before.
	 * One that has it later finds the poller.
	 */
	spin_lock_irqsave(&readers->pollers.lock, flags);
	if (list_empty(&cursor->branch.entry))
		__add_wait_queue(&readers->pollers, &cursor->branch);
	spin_unlock_irqrestore(&readers->pollers.lock, flags);
	/* Pairs with those in wake_readers() and wake_writers(): see has_pollers(). */
	smp_mb();
}

/* Its endpoint is being closed: nobody polls at it any more. */
void cursor_leave_pollers(struct cursor *cursor)
{
	remove_wait_queue(&cursor->ring->readers.pollers, &cursor->branch);
}

/* Has those look again who poll at a cursor. */
void cursor_wake_pollers(struct cursor *cursor)
{
	struct ring *ring = cursor->ring;

	if (ring->is_broadcast)
		wake_up_interruptible_all(&cursor->pollers);
	else
		wake_up_interruptible_all(&ring->readers.pollers);
}

/* Something has changed for those who wait at this cursor: they look again, and nobody else. */
void cursor_look_again(struct cursor *cursor)
{
	struct offer offer = { .kind = OFFER_PLACE, .value = cursor->id };

	have_sleepers_look(&cursor->ring->readers, offer);
	cursor_wake_pollers(cursor);
}

/*
 * Sleeps until it is ready, the deadline has passed if there is one, or a signal arrives. Who was
 * chosen by a wake-up and then is ready answers 0, signal or not: a wake-up is not lost with a
 * thread that is killed.
 *
 * Both functions are called in a sleeping state, and must not sleep. To look whether it is ready
 * has no effect on others; what has one is done before each sleep, from within the queue.
 */
int side_sleep(struct side *side, const struct sleep *sleep, bool (*ready)(void *of),
	       void (*before_sleep)(void *of), void *of)
{
	struct sleeper sleeper = { .sleep = *sleep };
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
		if (before_sleep)
			before_sleep(of);
		atomic_long_inc(&side->sleeps);
		if (sleep->deadline) {
			ktime_t expires = ns_to_ktime(min_t(u64, sleep->deadline, KTIME_MAX));

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
	if (!has_pollers(writers))
		return;
	/* The edge: too little room for some write before, enough for any now. */
	if (room < needed)
		side_signal(writers);
	else if (wants_every_edge(writers) ||
		 is_beyond(READ_ONCE(ring->head) + needed, before + ring_capacity(ring)))
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
