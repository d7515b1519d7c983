// SPDX-License-Identifier: GPL-2.0

//! The rules that hold for every kind of ring: each is checked for each of the 24 that it is
//! about.
//!
//! Nothing is ever lost without being counted: what was received, what was lost and what was
//! dropped is together what was sent.

use std::fs;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SaFlags, Signal};

use crate::abi::{Header, stored};
use crate::control::{Kind, Ring};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note};
use crate::memory::{PAGE, Pages, Span};
use crate::random::Random;
use crate::task::{Call, Process, Task, on_signal};
use crate::words::{Account, Receiver, Sender, WORD, WORDS_MAX};

/// A rule, the kinds of rings that it is about, and the function that checks it.
type Rule = (&'static str, fn(Kind) -> bool, fn(Kind));

macro_rules! rules {
    ($($check:ident: $applies:expr,)*) => {
        [$((stringify!($check), $applies, $check)),*]
    };
}

const RULES: [Rule; 25] = rules! {
    info_says_what_was_asked_for: every,
    accounts_add_up_with_a_stopped_reader: every,
    accounts_add_up_with_a_slow_reader: every,
    accounts_add_up_with_a_killed_reader: every,
    accounts_add_up_with_many_of_both: every,
    fault_of_a_reader_loses_nothing: every,
    fault_of_a_writer_adds_and_overwrites_nothing: every,
    nonblocking_read_never_waits: every,
    nonblocking_write_never_waits: every,
    poll_says_what_read_and_write_do: every,
    pollout_promises_what_a_write_does: every,
    poll_wakes_for_what_is_written: every,
    destroy_takes_the_node_and_leaves_the_data: every,
    destroy_frees_the_name_at_once: every,
    destroy_ends_a_blocked_read: every,
    destroy_ends_a_blocked_write: Kind::blocks,
    destroy_wakes_pollers: every,
    dup_and_fork_share_the_cursor: every,
    signal_interrupts_a_read: every,
    signal_interrupts_a_write: Kind::blocks,
    sigkill_of_a_blocked_reader_leaves_the_data: every,
    sigkill_of_a_blocked_writer_adds_nothing: Kind::blocks,
    end_of_file_comes_with_hangup_only: every,
    broken_pipe_comes_with_hangup_only: every,
    what_fits_exactly_goes_in: never_overwritten,
};

fn every(_: Kind) -> bool {
    true
}

fn never_overwritten(kind: Kind) -> bool {
    !kind.overwrites()
}

/// Each rule for each kind that it is about.
pub fn tests() -> Vec<Test> {
    RULES
        .into_iter()
        .flat_map(|(rule, applies, check)| {
            Kind::all()
                .filter(move |kind| applies(*kind))
                .map(move |kind| Test::of_kind(rule, kind, check))
        })
        .collect()
}

const CAPACITY: u64 = 4096;

const IN: PollFlags = PollFlags::POLLIN.union(PollFlags::POLLRDNORM);
const OUT: PollFlags = PollFlags::POLLOUT.union(PollFlags::POLLWRNORM);
const NONE: PollFlags = PollFlags::empty();

/// A small ring with a reading and a writing end.
fn small(kind: Kind) -> (Ring, Endpoint, Endpoint) {
    let ring = Ring::small(kind);
    (ring, ring.reader(), ring.writer())
}

/// Writes until the ring is full, or has been filled twice over if it never is. Returns how many
/// writes went through. The last of them may have been short.
fn fill(writer: Endpoint) -> u64 {
    let mut written = 0;
    writer.set_nonblocking(true);
    for _ in 0..2 * CAPACITY / 100 {
        match writer.write(&[b'f'; 100]) {
            Ok(_) => written += 1,
            Err(Errno::EAGAIN | Errno::ENOBUFS) => break,
            Err(error) => panic!("fill the ring: {error}"),
        }
    }
    writer.set_nonblocking(false);
    written
}

/// What a write that finds no room is told.
fn refusal(kind: Kind) -> Errno {
    if kind.drops() {
        Errno::ENOBUFS
    } else {
        Errno::EAGAIN
    }
}

fn info_says_what_was_asked_for(kind: Kind) {
    let (ring, reader, writer) = small(kind);
    let info = reader.info();
    assert_eq!(ring.info(), info);
    assert_eq!(writer.info(), info);
    assert_eq!(info.name, kind.request(ring.name(), 0).name);
    assert_eq!(
        (info.framing, info.full),
        (kind.framing as u32, kind.full as u32)
    );
    assert_eq!(info.delivery, kind.delivery as u32);
    assert_eq!(info.flags, kind.hangup.into());
    assert_eq!((info.capacity, info.mode), (CAPACITY, 0o600));
    assert_eq!((info.uid, info.gid), (0, 0));
    assert_eq!((info.readers, info.writers), (1, 1));
    assert_eq!((info.unread, info.high_water), (0, 0));
    assert_eq!(Account::of_ring(kind, &info), Account::default());
}

/// Fails unless all that was sent is accounted for: by the ring, and by the one cursor of this
/// receiver, which has read all there was.
fn assert_adds_up(kind: Kind, sent: Account, receiver: &Receiver) {
    let info = receiver.ring.info();
    let ring = Account::of_ring(kind, &info);
    let cursor = Account::of_cursor(kind, &receiver.ring.cursor());
    note!("sent {sent:?}, the ring {ring:?}, the cursor {cursor:?}");
    assert_eq!(sent.sent, sent.accepted + sent.dropped);
    assert_eq!((ring.accepted, ring.dropped), (sent.accepted, sent.dropped));
    assert_eq!(cursor.received + cursor.lost + ring.dropped, sent.sent);
    if kind.is_broadcast() {
        assert_eq!(cursor.received, receiver.account.received);
    } else {
        assert_eq!((ring.received, ring.lost), (cursor.received, cursor.lost));
    }
    assert_eq!(info.unread, 0);
    assert!(info.high_water <= CAPACITY);
    if !kind.overwrites() {
        assert_eq!(cursor.lost, 0);
    }
    if !kind.drops() {
        assert_eq!(ring.dropped, 0);
    }
}

/// Sends so many messages from a thread of its own.
fn sender(writer: Endpoint, kind: Kind, number: u64, messages: u64) -> Task<Account> {
    Task::spawn(move || {
        let mut sender = Sender::new(writer, kind, number);
        sender.send_many(messages);
        sender.account
    })
}

/// Receives as much as comes until the senders are done.
fn receive_until_done<T: Send + 'static>(
    receiver: &mut Receiver,
    senders: Vec<Task<T>>,
    mut between: impl FnMut(),
) -> Vec<T> {
    loop {
        let done = senders.iter().all(Task::is_finished);
        receiver.drain();
        if done {
            return senders.into_iter().map(Task::finish).collect();
        }
        between();
    }
}

fn accounts_add_up_with_a_stopped_reader(kind: Kind) {
    let (_, reader, writer) = small(kind);
    let mut receiver = Receiver::new(reader, kind);
    let sender = sender(writer, kind, 1, 100);
    if kind.blocks() {
        // Writers wait for it ...
        sender.sleeper.await_sleep_in(Call::WRITE);
        sender.sleeper.sleeps_through(Call::WRITE, || {});
    } else {
        // ... or do not.
        while !sender.is_finished() {
            thread::yield_now();
        }
    }
    let sent = receive_until_done(&mut receiver, vec![sender], thread::yield_now)[0];
    assert_adds_up(kind, sent, &receiver);
    assert_eq!(receiver.account.received == sent.sent, kind.blocks());
}

fn accounts_add_up_with_a_slow_reader(kind: Kind) {
    let (_, reader, writer) = small(kind);
    let mut receiver = Receiver::new(reader, kind);
    let sender = sender(writer, kind, 1, by_lane(3000, 500));
    let mut random = Random::new(3);
    let sent = receive_until_done(&mut receiver, vec![sender], || {
        thread::sleep(Duration::from_micros(random.up_to(200)));
    })[0];
    assert_adds_up(kind, sent, &receiver);
}

fn accounts_add_up_with_a_killed_reader(kind: Kind) {
    let (ring, reader, writer) = small(kind);
    let mut receiver = Receiver::new(reader, kind);
    let doomed = Process::fork(|| {
        let mut doomed = Receiver::new(ring.reader(), kind);
        loop {
            doomed.receive().expect("read");
        }
    });
    while ring.info().readers < 2 {
        thread::yield_now();
    }
    let sender = sender(writer, kind, 1, 500);
    // It is in the middle of it when it dies.
    while Account::of_ring(kind, &ring.info()).received == 0 {
        thread::yield_now();
    }
    doomed.kill_for_good();
    let sent = receive_until_done(&mut receiver, vec![sender], thread::yield_now)[0];
    assert_adds_up(kind, sent, &receiver);
    assert_eq!(ring.info().readers, 1, "the dead one is gone");
}

fn accounts_add_up_with_many_of_both(kind: Kind) {
    const WRITERS: u64 = 3;
    let ring = Ring::small(kind);
    let messages = by_lane(1000, 200);
    // All are there before anything is sent.
    let ends = [ring.reader(), ring.reader(), ring.reader()];
    let writers: Vec<_> = (0..WRITERS).map(|_| ring.writer()).collect();
    let last = ring.reader();
    let readers = ends.map(|end| {
        Task::spawn(move || {
            let mut receiver = Receiver::new(end, kind);
            // Until the ring is destroyed, or with hangup, the writers are gone.
            while receiver.receive().expect("read") > 0 {}
            receiver.account.lost = Account::of_cursor(kind, &end.cursor()).lost;
            receiver.account
        })
    });
    let senders: Vec<_> = (1..)
        .zip(writers)
        .map(|(number, writer)| sender(writer, kind, number, messages))
        .collect();
    let mut receiver = Receiver::new(last, kind);
    let mut sent = Account::default();
    for account in receive_until_done(&mut receiver, senders, thread::yield_now) {
        sent.add(account);
    }
    ring.destroy();
    receiver.drain();
    let mut received = receiver.account.received;
    for reader in readers {
        let account = reader.finish();
        if kind.is_broadcast() {
            assert_eq!(account.received + account.lost + sent.dropped, sent.sent);
        } else {
            received += account.received;
        }
    }
    assert_adds_up(kind, sent, &receiver);
    let lost = Account::of_cursor(kind, &last.cursor()).lost;
    assert_eq!(received + lost + sent.dropped, sent.sent);
}

// errno: read EFAULT
fn fault_of_a_reader_loses_nothing(kind: Kind) {
    let (_, reader, writer) = small(kind);
    writer.put(b"stays here");
    let pages = Pages::map(2);
    pages.protect(1, 1, nix::sys::mman::ProtFlags::PROT_NONE);
    let before = (reader.available(), reader.cursor());
    for bad in [Span::null(100), Span::kernel(100), pages.span(PAGE, 100)] {
        assert_eq!(reader.read_to(bad), Err(Errno::EFAULT));
        assert_eq!(reader.readv_to(&[bad]), Err(Errno::EFAULT));
    }
    assert_eq!((reader.available(), reader.cursor()), before);
    // Good for a part of it: of a stream that much is read, of a record nothing.
    let partly = reader.read_to(pages.span(PAGE - 4, 100));
    let left = if kind.is_stream() {
        assert_eq!(partly, Ok(4));
        assert_eq!(pages.get(PAGE - 4, 4), b"stay");
        &b"s here"[..]
    } else {
        assert_eq!(partly, Err(Errno::EFAULT));
        assert_eq!(reader.cursor(), before.1);
        &b"stays here"[..]
    };
    assert_eq!(reader.take(100), Ok(left.to_vec()));
    assert_eq!(reader.available(), 0);
}

// errno: write EFAULT
fn fault_of_a_writer_adds_and_overwrites_nothing(kind: Kind) {
    let (_, reader, writer) = small(kind);
    let full = fill(writer);
    if !kind.overwrites() {
        // Room for what follows, if it were good.
        reader.take(200).expect("read");
    }
    let before = (writer.info(), reader.cursor());
    let pages = Pages::map(2);
    pages.protect(1, 1, nix::sys::mman::ProtFlags::PROT_NONE);
    for bad in [Span::null(50), Span::kernel(50), pages.span(PAGE, 50)] {
        assert_eq!(writer.write_from(bad), Err(Errno::EFAULT), "after {full}");
        assert_eq!(writer.writev_from(&[bad]), Err(Errno::EFAULT));
    }
    if !kind.is_stream() {
        let partly = writer.write_from(pages.span(PAGE - 4, 50));
        assert_eq!(partly, Err(Errno::EFAULT));
    }
    assert_eq!((writer.info(), reader.cursor()), before);
    if kind.is_stream() {
        assert_eq!(writer.write_from(pages.span(PAGE - 4, 50)), Ok(4));
        assert_eq!(writer.info().bytes_in, before.0.bytes_in + 4);
    }
}

// errno: read EAGAIN
fn nonblocking_read_never_waits(kind: Kind) {
    let (_, reader, writer) = small(kind);
    reader.set_nonblocking(true);
    let mut buffer = [0; 100];
    for _ in 0..3 {
        assert_eq!(reader.take(100), Err(Errno::EAGAIN));
        writer.put(b"x");
        assert_eq!(reader.take(100), Ok(b"x".to_vec()));
        reader.set_nonblocking(false);
        let nowait = |buffer: &mut _| reader.preadv2(buffer, -1, libc::RWF_NOWAIT);
        assert_eq!(nowait(&mut buffer), Err(Errno::EAGAIN));
        writer.put(b"y");
        assert_eq!(nowait(&mut buffer), Ok(1));
        reader.set_nonblocking(true);
    }
    // The flag counts when the call begins.
    reader.set_nonblocking(false);
    let sleeper = Task::asleep_in(Call::READ, move || reader.take(100));
    writer.put(b"z");
    assert_eq!(sleeper.finish(), Ok(b"z".to_vec()));
}

fn nonblocking_write_never_waits(kind: Kind) {
    let (_, reader, writer) = small(kind);
    fill(writer);
    let message = [b'x'; 1000];
    writer.set_nonblocking(true);
    let refused = Err(refusal(kind));
    if kind.overwrites() {
        for _ in 0..10 {
            writer.put(&message);
        }
        return;
    }
    assert_eq!(writer.write(&message), refused);
    writer.set_nonblocking(false);
    let nowait = || writer.pwritev2(&message, -1, libc::RWF_NOWAIT);
    assert_eq!(nowait(), refused);
    if kind.drops() {
        assert_eq!(writer.write(&message), refused, "and never waits anyway");
    }
    // Room for a part of it: of a stream that goes in.
    reader.take(100).expect("read");
    if kind.is_stream() {
        assert_eq!(nowait(), Ok(100));
    } else {
        assert_eq!(nowait(), refused);
    }
    Receiver::new(reader, kind).ring.drain();
    assert_eq!(nowait(), Ok(1000));
}

/// Writes and reads at random. Before each of them poll says whether it would go through.
fn poll_says_what_read_and_write_do(kind: Kind) {
    let (_, reader, writer) = small(kind);
    reader.set_nonblocking(true);
    writer.set_nonblocking(true);
    let mut random = Random::new(7);
    // What is never refused while poll says that one can write.
    let least = match kind.is_stream() {
        true => free_for_pollout(kind, CAPACITY),
        false => CAPACITY as usize / 4,
    };
    // What fills it, as often as it is read out.
    let most = if kind.is_stream() { 3000 } else { 1000 };
    let (mut read, mut written) = ([0; 2], [0; 2]);
    for _ in 0..by_lane(2000, 400) {
        if random.up_to(2) == 1 {
            let ready = reader.ready(IN);
            assert!(ready == IN || ready.is_empty(), "{ready:?}");
            let answer = reader.take(random.up_to(1500).max(1024) as usize);
            match ready.is_empty() {
                true => assert_eq!(answer, Err(Errno::EAGAIN)),
                false => assert!(
                    matches!(&answer, Ok(bytes) if !bytes.is_empty()),
                    "{answer:?}"
                ),
            }
            read[usize::from(ready.is_empty())] += 1;
        } else {
            let ready = writer.ready(OUT);
            assert!(ready == OUT || ready.is_empty(), "{ready:?}");
            let answer = writer.write(&vec![b'x'; least]);
            match ready.is_empty() {
                // A nonblocking write to a stream takes what fits.
                true if kind.is_stream() && kind.blocks() => assert_ne!(answer, Ok(least)),
                true => assert_eq!(answer, Err(refusal(kind))),
                false => assert_eq!(answer, Ok(least)),
            }
            written[usize::from(ready.is_empty())] += 1;
            let _ = writer.write(&vec![b'x'; random.up_to(most) as usize]);
        }
    }
    note!("read and not, written and not: {read:?} {written:?}");
    assert_eq!(written[1] > 0, !kind.overwrites());
    assert!(read[0] > 0 && read[1] > 0 && written[0] > 0);
}

/// How many bytes must be free for POLLOUT, in a ring of this capacity that does not overwrite: a
/// stream that blocks has room for any atomic write, a record ring for any record. A stream that
/// drops is only full when no byte is free.
fn free_for_pollout(kind: Kind, capacity: u64) -> usize {
    match (kind.is_stream(), kind.drops()) {
        (true, true) => 1,
        (true, false) => libc::PIPE_BUF,
        (false, _) => stored(capacity as usize / 4),
    }
}

/// The length of the payloads that [`leave_free`] reads.
const STEP: usize = 100;

/// Fills a ring, and then reads until at least `free` bytes are free. Returns how many are.
fn leave_free(kind: Kind, reader: Endpoint, writer: Endpoint, free: usize) -> usize {
    let capacity = writer.info().capacity as usize;
    let unread = || writer.info().unread as usize;
    writer.set_nonblocking(true);
    while unread() < capacity / 2 {
        writer.put(&[b'f'; STEP]);
    }
    if !kind.overwrites() {
        // Whatever fits, to the last byte.
        for length in [capacity / 8, STEP, 1] {
            while writer.write(&vec![b'f'; length]).is_ok() {}
        }
    }
    writer.set_nonblocking(false);
    while capacity - unread() < free {
        let more = free - (capacity - unread());
        let size = if kind.is_stream() { more } else { capacity };
        reader.take(size).expect("read");
    }
    capacity - unread()
}

/// What poll(2) says of a ring and what write(2) does are one predicate. While POLLOUT is set, a
/// blocking write of any length up to PIPE_BUF, or of any record, returns without sleeping. While
/// it is clear, the longest of them sleeps, or is refused where writers never wait.
fn pollout_promises_what_a_write_does(kind: Kind) {
    const LARGE: u64 = 1 << 17;
    let ring = Ring::new(kind, LARGE);
    let (reader, writer) = (ring.reader(), ring.writer());
    // How often it was set, and how often it was clear.
    let mut seen = [0; 2];
    for capacity in [LARGE, LARGE / 2] {
        reader.drain();
        ring.resize(capacity).expect("resize");
        let needed = free_for_pollout(kind, capacity);
        let longest = match kind.is_stream() {
            true => libc::PIPE_BUF,
            false => capacity as usize / 4,
        };
        let less = needed.saturating_sub(if kind.is_stream() { 1 } else { stored(STEP) });
        for level in [0, 1, less, needed, needed + 1, 2 * needed] {
            for length in [1, longest / 2 + 1, longest] {
                reader.drain();
                let free = leave_free(kind, reader, writer, level);
                let case = format!("{length} bytes, {free} of {capacity} free");
                let ready = writer.ready(OUT);
                let promised = kind.overwrites() || free >= needed;
                assert_eq!(ready, if promised { OUT } else { NONE }, "{case}");
                seen[usize::from(ready.is_empty())] += 1;

                let length = if promised { length } else { longest };
                let task = Task::spawn(move || writer.write(&vec![b'x'; length]));
                let at_once = task.ends_before_it_sleeps_in(Call::WRITE);
                assert_eq!(at_once, promised || kind.drops(), "{case}");
                if !at_once {
                    reader.drain();
                }
                let answer = if !promised && kind.drops() {
                    Err(Errno::ENOBUFS)
                } else if kind.is_stream() && kind.drops() {
                    // It takes what fits.
                    Ok(length.min(free))
                } else {
                    Ok(length)
                };
                assert_eq!(task.finish(), answer, "{case}");
            }
        }
    }
    note!("set and clear: {seen:?}");
    assert!(seen[0] > 0);
    assert_eq!(seen[1] > 0, !kind.overwrites());
}

fn poll_wakes_for_what_is_written(kind: Kind) {
    let (_, reader, writer) = small(kind);
    let wait = move |end: Endpoint, events| {
        Task::asleep_in(Call::POLL, move || end.poll(events, PollTimeout::NONE))
    };
    for _ in 0..3 {
        let poller = wait(reader, PollFlags::POLLIN);
        writer.put(b"x");
        assert_eq!(poller.finish(), Ok(PollFlags::POLLIN));
        reader.take(10).expect("read");
    }
    if !kind.overwrites() {
        fill(writer);
        let poller = wait(writer, PollFlags::POLLOUT);
        reader.drain();
        assert_eq!(poller.finish(), Ok(PollFlags::POLLOUT));
    }
}

/// What poll says of the two ends of a ring that was destroyed.
fn assert_polls_as_destroyed(reader: Endpoint, writer: Endpoint) {
    // The same predicate as the end of file: not before the last data are read.
    let end = if reader.available() > 0 {
        NONE
    } else {
        PollFlags::POLLHUP
    };
    assert_eq!(reader.ready(IN), IN | end);
    let out = writer.ready(OUT);
    assert!(out.contains(PollFlags::POLLERR), "{out:?}");
    assert_eq!(writer.write(b"x"), Err(Errno::ENODEV));
}

fn destroy_takes_the_node_and_leaves_the_data(kind: Kind) {
    let (ring, reader, writer) = small(kind);
    let messages = [&b"one"[..], b"two", b"three"];
    for message in messages {
        writer.put(message);
    }
    ring.destroy();
    assert!(!fs::exists(ring.path()).expect("stat"));
    for flags in [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR] {
        assert_eq!(ring.try_open(flags).map(drop), Err(Errno::ENOENT));
    }
    assert_polls_as_destroyed(reader, writer);
    // What is there can be read, and then comes the end.
    if kind.is_stream() {
        assert_eq!(reader.take(100), Ok(messages.concat()));
    } else {
        for message in messages {
            assert_eq!(reader.take(100), Ok(message.to_vec()));
        }
    }
    for _ in 0..3 {
        assert_eq!(reader.take(100), Ok(Vec::new()));
        assert_polls_as_destroyed(reader, writer);
    }
    reader.set_nonblocking(true);
    assert_eq!(reader.take(100), Ok(Vec::new()));
}

// errno: write ENODEV
fn destroy_frees_the_name_at_once(kind: Kind) {
    let mut before: Option<(u64, Endpoint, Endpoint)> = None;
    for _ in 0..5 {
        let ring = Ring::named("again", kind, CAPACITY);
        let id = ring.info().id;
        let (reader, writer) = (ring.reader(), ring.writer());
        writer.put(b"new");
        assert_eq!(reader.available(), 3);
        // Whoever has the old ring has that one, and not the new one of its name.
        if let Some((old_id, old_reader, old_writer)) = before {
            assert!(id > old_id, "a number is never given twice");
            assert_eq!(old_writer.write(b"old"), Err(Errno::ENODEV));
            assert_eq!(old_reader.info().id, old_id);
            assert_eq!(old_reader.take(100), Ok(b"new".to_vec()));
            assert_eq!(old_reader.take(100), Ok(Vec::new()));
            assert_eq!(reader.available(), 3);
        }
        before = Some((id, reader, writer));
        ring.destroy();
    }
}

fn destroy_ends_a_blocked_read(kind: Kind) {
    let (ring, reader, _writer) = small(kind);
    let readers: Vec<_> = (0..3)
        .map(|_| Task::asleep_in(Call::READ, move || reader.take(100)))
        .collect();
    ring.destroy();
    for reader in readers {
        assert_eq!(reader.finish(), Ok(Vec::new()), "the end");
    }
}

fn destroy_ends_a_blocked_write(kind: Kind) {
    let (ring, reader, writer) = small(kind);
    fill(writer);
    let there = writer.info().bytes_in;
    let writers: Vec<_> = (0..3)
        .map(|_| Task::asleep_in(Call::WRITE, move || writer.write(&[b'x'; 1000])))
        .collect();
    ring.destroy();
    for writer in writers {
        assert_eq!(writer.finish(), Err(Errno::ENODEV));
    }
    assert_eq!(reader.info().bytes_in, there);
    assert_eq!(reader.drain().len() as u64, there);
}

fn destroy_wakes_pollers(kind: Kind) {
    let (ring, reader, _writer) = small(kind);
    let poll = Task::asleep_in(Call::POLL, move || {
        reader.poll(PollFlags::POLLIN, PollTimeout::NONE)
    });
    let epoll = Task::asleep_in(Call::EPOLL_WAIT, move || {
        let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
        let edge = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
        set.add(reader.as_fd(), edge).expect("add");
        let mut events = [EpollEvent::empty()];
        set.wait(&mut events, EpollTimeout::NONE)
            .map(|_| events[0].events())
    });
    // And one that waits for room, where that can be.
    let full = (!kind.overwrites()).then(|| {
        let (ring, _, writer) = small(kind);
        fill(writer);
        let poll = Task::asleep_in(Call::POLL, move || {
            writer.poll(PollFlags::POLLOUT, PollTimeout::NONE)
        });
        (ring, poll)
    });
    ring.destroy();
    assert_eq!(poll.finish(), Ok(PollFlags::POLLIN | PollFlags::POLLHUP));
    assert_eq!(
        epoll.finish(),
        Ok(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP)
    );
    if let Some((ring, poll)) = full {
        ring.destroy();
        assert_eq!(poll.finish(), Ok(PollFlags::POLLOUT | PollFlags::POLLERR));
    }
}

fn dup_and_fork_share_the_cursor(kind: Kind) {
    let (ring, reader, writer) = small(kind);
    let other = Endpoint::keep(nix::unistd::dup(reader).expect("dup"));
    assert_eq!(ring.info().readers, 1, "one endpoint, two descriptors");
    for message in [b"1", b"2", b"3"] {
        writer.put(message);
    }
    assert_eq!(reader.take(1), Ok(b"1".to_vec()));
    assert_eq!(other.take(1), Ok(b"2".to_vec()));
    Process::fork(|| assert_eq!(reader.take(1), Ok(b"3".to_vec()))).finish();
    assert_eq!(reader.available(), 0);
    assert_eq!(reader.cursor(), other.cursor());
    assert_eq!(ring.cursors().len(), 1);
}

// errno: read EINTR
fn signal_interrupts_a_read(kind: Kind) {
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    let (_, reader, writer) = small(kind);
    let sleeper = Task::asleep_in(Call::READ, move || reader.take(10));
    sleeper.sleeper.signal(Signal::SIGUSR1);
    assert_eq!(sleeper.finish(), Err(Errno::EINTR));
    writer.put(b"x");
    assert_eq!(reader.take(10), Ok(b"x".to_vec()));
}

// errno: write EINTR
fn signal_interrupts_a_write(kind: Kind) {
    on_signal(Signal::SIGUSR1, SaFlags::empty());
    let (_, reader, writer) = small(kind);
    fill(writer);
    let there = writer.info().bytes_in;
    let sleeper = Task::asleep_in(Call::WRITE, move || writer.write(&[b'x'; 1000]));
    sleeper.sleeper.signal(Signal::SIGUSR1);
    assert_eq!(sleeper.finish(), Err(Errno::EINTR));
    assert_eq!(reader.drain().len() as u64, there);
    writer.put(b"x");
    assert_eq!(reader.take(10), Ok(b"x".to_vec()));
}

fn sigkill_of_a_blocked_reader_leaves_the_data(kind: Kind) {
    let (ring, reader, writer) = small(kind);
    Process::asleep_in(Call::READ, || {
        let _ = ring.reader().take(10);
    })
    .kill_for_good();
    assert_eq!(ring.info().readers, 1);
    writer.put(b"x");
    assert_eq!(reader.take(10), Ok(b"x".to_vec()));
}

fn sigkill_of_a_blocked_writer_adds_nothing(kind: Kind) {
    let (ring, reader, writer) = small(kind);
    fill(writer);
    let there = writer.info().bytes_in;
    Process::asleep_in(Call::WRITE, || {
        let _ = ring.writer().write(&[b'x'; 1000]);
    })
    .kill_for_good();
    assert_eq!(reader.drain().len() as u64, there);
    writer.put(b"x");
    assert_eq!(reader.take(10), Ok(b"x".to_vec()));
}

fn end_of_file_comes_with_hangup_only(kind: Kind) {
    let ring = Ring::small(kind);
    let reader = ring.reader();
    reader.set_nonblocking(true);
    // Not before the first writer has come.
    assert_eq!(reader.take(10), Err(Errno::EAGAIN));
    assert_eq!(reader.ready(IN), PollFlags::empty());
    let first = ring.open(OFlag::O_WRONLY);
    let second = ring.open(OFlag::O_WRONLY);
    assert_eq!(nix::unistd::write(&first, b"last"), Ok(4));
    drop(first);
    assert_eq!(reader.ready(IN), IN);
    drop(second);
    let end = if kind.hangup {
        (IN | PollFlags::POLLHUP, Ok(Vec::new()))
    } else {
        (PollFlags::empty(), Err(Errno::EAGAIN))
    };
    // First what is there.
    assert_eq!(reader.ready(IN), IN);
    assert_eq!(reader.take(10), Ok(b"last".to_vec()));
    assert_eq!((reader.ready(IN), reader.take(10)), end);
    // Another writer, and it goes on.
    let third = ring.open(OFlag::O_WRONLY);
    assert_eq!(reader.take(10), Err(Errno::EAGAIN));
    assert_eq!(reader.ready(IN), PollFlags::empty());
    reader.set_nonblocking(false);
    let sleeper = Task::asleep_in(Call::READ, move || reader.take(10));
    if kind.hangup {
        drop(third);
        assert_eq!(sleeper.finish(), Ok(Vec::new()));
    } else {
        sleeper.sleeper.sleeps_through(Call::READ, || drop(third));
        ring.writer().put(b"more");
        assert_eq!(sleeper.finish(), Ok(b"more".to_vec()));
    }
}

// errno: write EPIPE
fn broken_pipe_comes_with_hangup_only(kind: Kind) {
    let ring = Ring::new(kind, 1 << 16);
    let writer = ring.writer();
    writer.set_nonblocking(true);
    // The runtime of Rust ignores SIGPIPE; tests of the signal are in hangup.rs.
    let check = |readers: bool| {
        let (said, wrote) = (writer.ready(OUT), writer.write(b"x"));
        if readers || !kind.hangup {
            assert_eq!((said, wrote), (OUT, Ok(1)));
        } else {
            assert_eq!((said, wrote), (OUT | PollFlags::POLLERR, Err(Errno::EPIPE)));
        }
    };
    check(false);
    let reader = ring.open(OFlag::O_RDONLY);
    let other = ring.open(OFlag::O_RDWR);
    check(true);
    drop(reader);
    check(true);
    drop(other);
    check(false);
    let last = ring.reader();
    check(true);
    let words = WORDS_MAX as usize * WORD;
    assert!(last.take(words).is_ok());
}

/// A ring that is full to the last byte, of which some is read and as much is written: in other
/// pieces, so that they begin at any offset. Now and then it is a write that would wait.
fn what_fits_exactly_goes_in(kind: Kind) {
    let capacity = 2 * PAGE;
    let ring = Ring::new(kind, capacity as u64);
    let readers = [(); 2].map(|()| ring.reader());
    let writer = ring.writer();
    // What a piece takes up in the ring, and what is written then.
    let (least, most) = match kind.is_stream() {
        true => (1, capacity / 4),
        false => (stored(1), stored(capacity / 4)),
    };
    let mut random = Random::new(capacity as u64 + kind.hangup as u64 + 2 * kind.full as u64);
    let mut pieces = std::collections::VecDeque::new();
    let (mut head, mut offsets) = (0, std::collections::HashSet::new());
    let mut room = capacity;
    for round in 0..by_lane(300, 60) {
        writer.set_nonblocking(round % 4 != 0);
        while room > 0 {
            let mut takes = least + random.up_to((most - least) as u64) as usize;
            if !kind.is_stream() {
                takes = stored(takes - Header::SIZE).min(most);
            }
            // As much as there is, or so much less that another one fits.
            if room < takes + least {
                takes = if room <= most { room } else { room - least };
            }
            let length = match kind.is_stream() {
                true => takes,
                // With as much padding as there may be.
                false => takes - Header::SIZE - random.up_to(7) as usize,
            };
            offsets.insert(head % capacity);
            assert_eq!(
                writer.write(&vec![b'x'; length]),
                Ok(length),
                "{takes} of {room}"
            );
            pieces.push_back((takes, length));
            head += takes;
            room -= takes;
        }
        // Not a byte more.
        writer.set_nonblocking(true);
        assert_eq!(writer.ready(OUT), PollFlags::empty());
        assert_eq!(writer.write(b"x"), Err(refusal(kind)));
        assert_eq!(ring.info().unread, capacity as u64);
        for _ in 0..random.up_to(3) {
            let (takes, length) = pieces.pop_front().expect("a piece");
            let all = if kind.is_broadcast() {
                &readers[..]
            } else {
                &readers[..1]
            };
            for reader in all {
                assert_eq!(reader.take(length), Ok(vec![b'x'; length]));
            }
            room += takes;
        }
    }
    note!("{} pieces, at {} offsets", pieces.len(), offsets.len());
}
