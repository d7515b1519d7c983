// SPDX-License-Identifier: GPL-2.0

//! Histories that are wrong, and what the oracle has to say of each; and one of each sort that is
//! right, of which it must say nothing.

use super::{Complaint, judge};
use crate::abi::Header;
use crate::history::{
    Call, CursorState, Endpoint, EndpointId, EndpointState, Event, Flags, History, NO_ENDPOINT,
    Observation, RingState, payload,
};
use crate::program::{Delivery, Framing, Full, Kind};

const CAPACITY: u64 = 65_536;

const STREAM: Kind = Kind {
    framing: Framing::Stream,
    full: Full::Block,
    delivery: Delivery::Shared,
    hangup: false,
};
const RECORD: Kind = Kind {
    framing: Framing::Record,
    ..STREAM
};
const BROADCAST: Kind = Kind {
    delivery: Delivery::Broadcast,
    ..STREAM
};
const HANGUP: Kind = Kind {
    hangup: true,
    ..STREAM
};
const OVERWRITE: Kind = Kind {
    full: Full::Overwrite,
    ..STREAM
};

const IN: i16 = libc::POLLIN;
const OUT: i16 = libc::POLLOUT;

/// Writes a history down as it happens.
struct Script {
    history: History,
    tick: u64,
    ring: RingState,
    /// What each actor has sent: bytes, or records.
    sent: [u64; 4],
}

impl Script {
    fn new(kind: Kind) -> Self {
        let history = History {
            kind,
            solo: false,
            endpoints: Vec::new(),
            events: Vec::new(),
            observations: Vec::new(),
            settling: usize::MAX,
        };
        let ring = RingState {
            capacity: CAPACITY,
            ..Default::default()
        };
        Self {
            history,
            tick: 0,
            ring,
            sent: [0; 4],
        }
    }

    fn solo(kind: Kind) -> Self {
        let mut script = Self::new(kind);
        script.history.solo = true;
        script.observe(&[]);
        script
    }

    fn tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    fn event(&mut self, call: Call, endpoint: EndpointId, len: u64, result: i64) -> &mut Event {
        let begin = self.tick();
        let end = self.tick();
        self.history.events.push(Event {
            actor: 0,
            begin,
            end: Some(end),
            call,
            endpoint,
            flags: Flags(Flags::SOUND.0 | Flags::DIRECT.0),
            len,
            mapped: len,
            result,
            data: Vec::new(),
        });
        self.history.events.last_mut().expect("it was just added")
    }

    fn open(&mut self, reads: bool, writes: bool) -> EndpointId {
        let id = self.history.endpoints.len() as EndpointId;
        let begin = self.tick + 2;
        self.event(Call::Open, id, 0, 0).end = Some(begin + 3);
        self.history.endpoints.push(Endpoint {
            reads,
            writes,
            opened: (begin, begin + 1),
            closed: None,
        });
        self.tick = begin + 3;
        self.ring.readers += u32::from(reads);
        self.ring.writers += u32::from(writes);
        id
    }

    fn close(&mut self, id: EndpointId) {
        let begin = self.tick + 2;
        self.event(Call::Close, id, 0, 0).end = Some(begin + 3);
        self.history.endpoints[usize::from(id)].closed = Some((begin, begin + 1));
        self.tick = begin + 3;
        let endpoint = self.history.endpoints[usize::from(id)];
        self.ring.readers -= u32::from(endpoint.reads);
        self.ring.writers -= u32::from(endpoint.writes);
    }

    /// A write of which all is taken.
    fn write(&mut self, actor: usize, id: EndpointId, len: u64) -> &mut Event {
        let record = self.history.kind.is_record();
        self.sent[actor] += if record { 1 } else { len };
        self.ring.bytes_in += len;
        self.ring.records_in += u64::from(record);
        self.ring.unread += if record { super::stored(len) } else { len };
        let event = self.event(Call::Write, id, len, len as i64);
        event.actor = actor;
        event
    }

    /// A read that returns these data.
    fn read(&mut self, id: EndpointId, data: Vec<u8>) -> &mut Event {
        let len = data.len() as u64;
        let record = self.history.kind.is_record();
        self.ring.bytes_out += len;
        self.ring.records_out += u64::from(record);
        let space = if record { super::stored(len) } else { len };
        self.ring.unread = self.ring.unread.saturating_sub(space);
        let event = self.event(Call::Read, id, len, len as i64);
        event.data = data;
        event
    }

    fn fail(&mut self, call: Call, id: EndpointId, len: u64, errno: i32) -> &mut Event {
        self.event(call, id, len, -i64::from(errno))
    }

    fn observe(&mut self, endpoints: &[EndpointState]) {
        let at = self.tick();
        self.history.observations.push(Observation {
            after: self.history.events.len(),
            at,
            ring: self.ring,
            endpoints: endpoints.to_vec(),
        });
    }

    /// From here on, everything settles.
    fn settle(&mut self, endpoints: &[EndpointState]) {
        self.history.settling = self.history.events.len();
        self.observe(endpoints);
    }

    fn rules(&self) -> Vec<&'static str> {
        judge(&self.history)
            .iter()
            .map(|complaint: &Complaint| complaint.rule)
            .collect()
    }

    #[track_caller]
    fn is_right(&self) {
        assert_eq!(judge(&self.history), []);
    }

    #[track_caller]
    fn breaks(&self, rule: &str) {
        assert!(self.rules().contains(&rule), "{:?}", judge(&self.history));
    }
}

/// Bytes of an actor's stream, or of the record with this number.
fn bytes(actor: usize, from: u64, count: u64) -> Vec<u8> {
    payload(actor, from, count as usize).to_vec()
}

fn state(endpoint: EndpointId, revents: i16, next_read: u64, unread: u64) -> EndpointState {
    let cursor = Some(CursorState {
        unread,
        ..Default::default()
    });
    EndpointState {
        endpoint,
        revents,
        next_read,
        cursor,
    }
}

fn writer_state(endpoint: EndpointId, revents: i16) -> EndpointState {
    EndpointState {
        endpoint,
        revents,
        next_read: 0,
        cursor: None,
    }
}

#[test]
fn what_was_sent_and_received_in_order_is_right() {
    let mut script = Script::new(STREAM);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 300);
    script.read(reader, bytes(1, 0, 100));
    script.write(2, writer, 50);
    script.read(reader, [bytes(1, 100, 200), bytes(2, 0, 50)].concat());
    script.settle(&[]);
    script.is_right();
}

#[test]
fn a_byte_that_is_lost_is_found() {
    let mut script = Script::new(STREAM);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 300);
    script.read(reader, bytes(1, 0, 100));
    script.read(reader, bytes(1, 101, 199));
    script.ring.unread = 0;
    script.settle(&[]);
    script.breaks("data arrive once and in order");
    // The ring says that it handed out 299, and has nothing left.
    script.breaks("received, lost and unread are what was sent");
}

#[test]
fn a_byte_that_is_received_twice_is_found() {
    let mut script = Script::new(STREAM);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 300);
    script.read(reader, bytes(1, 0, 100));
    script.read(reader, bytes(1, 99, 201));
    script.settle(&[]);
    script.breaks("data arrive once and in order");
}

#[test]
fn a_byte_that_is_changed_is_found() {
    let mut script = Script::new(STREAM);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 100);
    let mut data = bytes(1, 0, 100);
    data[50] = 0;
    script.read(reader, data);
    script.settle(&[]);
    script.breaks("what is received was sent");
}

#[test]
fn a_gap_within_a_read_is_found_even_where_data_may_be_lost() {
    let mut script = Script::new(OVERWRITE);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 300);
    script.read(reader, [bytes(1, 0, 100), bytes(1, 110, 90)].concat());
    script.breaks("a read returns bytes that follow each other");
}

#[test]
fn what_was_overwritten_has_to_be_counted() {
    for counted in [30, 29] {
        let mut script = Script::new(OVERWRITE);
        let (reader, writer) = (script.open(true, false), script.open(false, true));
        script.write(1, writer, 300);
        script.read(reader, bytes(1, 0, 100));
        script.read(reader, bytes(1, 130, 170));
        script.ring.bytes_lost = counted;
        script.ring.unread = 0;
        script.settle(&[]);
        if counted == 30 {
            script.is_right();
        } else {
            script.breaks("what is missing was counted as lost");
        }
    }
}

#[test]
fn readers_together_receive_each_byte_once() {
    for twice in [false, true] {
        let mut script = Script::new(STREAM);
        let readers = [script.open(true, false), script.open(true, false)];
        let writer = script.open(false, true);
        script.write(1, writer, 200);
        script.read(readers[0], bytes(1, 0, 100));
        // At the same time.
        let begin = script.history.events.last().map(|event| event.begin);
        let data = if twice {
            bytes(1, 0, 100)
        } else {
            bytes(1, 100, 100)
        };
        let other = script.read(readers[1], data);
        other.begin = begin.unwrap_or_default();
        other.actor = 2;
        script.settle(&[]);
        if twice {
            script.breaks("data arrive once and in order");
        } else {
            script.is_right();
        }
    }
}

#[test]
fn a_killed_reader_may_have_taken_what_it_asked_for_and_no_more() {
    for taken in [100, 101] {
        let mut script = Script::new(STREAM);
        let (reader, writer) = (script.open(true, false), script.open(false, true));
        script.write(1, writer, 300);
        script.event(Call::Read, reader, 100, 0).end = None;
        script.ring.bytes_out = taken;
        script.ring.unread = 300 - taken;
        script.settle(&[]);
        if taken == 100 {
            script.is_right();
        } else {
            script.breaks("what was handed out was received");
        }
    }
}

#[test]
fn a_killed_writer_may_have_written_what_it_had_and_no_more() {
    for taken in [100, 101] {
        let mut script = Script::new(STREAM);
        let (_, writer) = (script.open(true, false), script.open(false, true));
        let event = script.event(Call::Write, writer, 100, 0);
        event.end = None;
        event.actor = 1;
        script.ring.bytes_in = taken;
        script.ring.unread = taken;
        script.settle(&[]);
        if taken == 100 {
            script.is_right();
        } else {
            script.breaks("what was written was taken");
        }
    }
}

#[test]
fn a_short_blocking_write_stays_in_one_piece() {
    let mut script = Script::new(STREAM);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 100);
    script.write(2, writer, 100);
    script.read(
        reader,
        [bytes(1, 0, 50), bytes(2, 0, 100), bytes(1, 50, 50)].concat(),
    );
    script.settle(&[]);
    script.breaks("a write of up to PIPE_BUF bytes is contiguous");
}

#[test]
fn a_short_blocking_write_is_not_short() {
    let mut script = Script::new(STREAM);
    let (_, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 50).len = 100;
    script.breaks("a blocking write of up to PIPE_BUF bytes is written whole or not at all");
}

#[test]
fn an_error_without_a_reason_is_found() {
    for (call, errno) in [
        (Call::Read, libc::EAGAIN),
        (Call::Read, libc::EFAULT),
        (Call::Read, libc::EIO),
        (Call::Read, libc::EMSGSIZE),
        (Call::Read, libc::ESHUTDOWN),
        (Call::Write, libc::EPIPE),
        (Call::Write, libc::ENODEV),
        (Call::Write, libc::ENOBUFS),
    ] {
        let mut script = Script::new(STREAM);
        let both = script.open(true, true);
        script.fail(call, both, 10, errno);
        script.breaks("an error has its reason");
    }
    let mut script = Script::new(STREAM);
    let both = script.open(true, true);
    script.fail(Call::Read, both, 10, libc::EAGAIN).flags.0 |= Flags::NONBLOCK.0;
    script.fail(Call::Read, both, 10, libc::EINTR);
    script.fail(Call::Read, both, 10, libc::EFAULT).flags = Flags::DIRECT;
    script.event(Call::Evict, both, 0, 0);
    script.fail(Call::Read, both, 10, libc::ESHUTDOWN);
    script.event(Call::Destroy, NO_ENDPOINT, 0, 0);
    script.fail(Call::Write, both, 10, libc::ENODEV);
    script.is_right();
}

#[test]
fn a_failed_read_that_changed_its_buffer_is_found() {
    let mut script = Script::new(STREAM);
    let reader = script.open(true, false);
    let event = script.fail(Call::Read, reader, 10, libc::EAGAIN);
    event.flags.0 |= Flags::NONBLOCK.0 | Flags::TOUCHED.0;
    script.breaks("a read changes only the bytes that it returns");
}

#[test]
fn the_end_of_the_file_needs_a_writer_of_this_session() {
    let rule = "the end of the file follows a writer of this session";
    // A writer that had left before the reader came.
    let mut script = Script::new(HANGUP);
    let writer = script.open(false, true);
    script.close(writer);
    let reader = script.open(true, false);
    script.event(Call::Read, reader, 10, 0);
    script.breaks(rule);
    // One that left later.
    let mut script = Script::new(HANGUP);
    let writer = script.open(false, true);
    let reader = script.open(true, false);
    script.close(writer);
    script.event(Call::Read, reader, 10, 0);
    script.is_right();
    // One that is still there.
    let mut script = Script::new(HANGUP);
    let (_, reader) = (script.open(false, true), script.open(true, false));
    script.event(Call::Read, reader, 10, 0);
    script.breaks(rule);
    // Without hangup there is no end.
    let mut script = Script::new(STREAM);
    let writer = script.open(false, true);
    let reader = script.open(true, false);
    script.close(writer);
    script.event(Call::Read, reader, 10, 0);
    script.breaks(rule);
}

#[test]
fn pollhup_needs_a_writer_of_this_session() {
    let mut script = Script::new(HANGUP);
    let writer = script.open(false, true);
    script.close(writer);
    let reader = script.open(true, false);
    script.observe(&[state(reader, IN | libc::POLLHUP, 0, 0)]);
    script.breaks("POLLHUP follows a writer of this session");
}

#[test]
fn pollout_means_that_pipe_buf_bytes_are_free() {
    let rule = "POLLOUT is set if and only if a write would not wait";
    for (free, revents, right) in [
        (libc::PIPE_BUF as u64, OUT, true),
        (libc::PIPE_BUF as u64 - 1, OUT, false),
        (libc::PIPE_BUF as u64, 0, false),
        (1, 0, true),
    ] {
        let mut script = Script::new(STREAM);
        let writer = script.open(false, true);
        script.ring.unread = CAPACITY - free;
        script.observe(&[writer_state(writer, revents)]);
        if right {
            script.is_right()
        } else {
            script.breaks(rule)
        }
    }
}

#[test]
fn pollin_and_fionread_agree_with_what_is_unread() {
    for (revents, next_read, unread, rule) in [
        (IN, 7, 7, ""),
        (0, 0, 0, ""),
        (0, 7, 7, "POLLIN is set if and only if a read would return"),
        (IN, 0, 0, "POLLIN is set if and only if a read would return"),
        (IN, 7, 8, "FIONREAD is what can be read"),
        (IN | libc::POLLPRI, 7, 7, "POLLPRI follows a loss"),
    ] {
        let mut script = Script::new(STREAM);
        let reader = script.open(true, false);
        script.observe(&[state(reader, revents, next_read, unread)]);
        if rule.is_empty() {
            script.is_right()
        } else {
            script.breaks(rule)
        }
    }
}

#[test]
fn fionread_of_an_evicted_cursor_is_nothing() {
    let mut script = Script::new(BROADCAST);
    let reader = script.open(true, false);
    script.event(Call::Evict, reader, 0, 0);
    script.tick();
    let events = IN | libc::POLLHUP | libc::POLLERR;
    script.observe(&[state(reader, events, 7, 0)]);
    script.breaks("an evicted cursor has nothing to read");
}

/// A reader reads some of 1,000 bytes and is evicted; the next one finds so many.
fn evicted_and_replaced(left: u64) -> Script {
    let mut script = Script::new(BROADCAST);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 1_000);
    script.read(reader, bytes(1, 0, 300));
    script.event(Call::Evict, reader, 0, 0);
    script.settle(&[]);
    let next = script.open(true, false);
    script.ring.unread = left;
    script.observe(&[state(next, IN, left, left)]);
    script
}

#[test]
fn what_an_evicted_reader_has_not_read_stays_for_the_next() {
    let rule = "what an evicted or closed reader has not read stays for the next";
    evicted_and_replaced(700).is_right();
    // Read by nobody and counted by nobody.
    evicted_and_replaced(0).breaks(rule);
    // The last piece twice.
    evicted_and_replaced(800).breaks(rule);
}

#[test]
fn a_newcomer_begins_where_the_slowest_reader_is() {
    for (left, right) in [(700, true), (1_000, false), (400, false)] {
        let mut script = Script::new(BROADCAST);
        let readers = [script.open(true, false), script.open(true, false)];
        let writer = script.open(false, true);
        script.write(1, writer, 1_000);
        script.read(readers[0], bytes(1, 0, 300));
        script.read(readers[1], bytes(1, 0, 600));
        script.settle(&[]);
        let next = script.open(true, false);
        script.ring.unread = 700;
        script.observe(&[
            state(readers[0], IN, 700, 700),
            state(readers[1], IN, 400, 400),
            state(next, IN, left, left),
        ]);
        let rule = "a newcomer begins where the slowest reader is";
        assert_eq!(
            !script.rules().contains(&rule),
            right,
            "{:?}",
            judge(&script.history)
        );
    }
}

#[test]
fn data_that_sendfile_dropped_are_found() {
    // The output failed, and the cursor has moved all the same.
    let mut script = Script::solo(BROADCAST);
    let writer = script.open(false, true);
    script.observe(&[writer_state(writer, OUT)]);
    let reader = script.open(true, false);
    script.observe(&[writer_state(writer, OUT), state(reader, 0, 0, 0)]);
    script.write(0, writer, 100);
    script.observe(&[writer_state(writer, OUT), state(reader, IN, 100, 100)]);
    let event = script.fail(Call::Read, reader, 100, libc::ENOSPC);
    event.flags = Flags(Flags::UNSEEN.0 | Flags::JOINED.0 | Flags::SOUND.0);
    script.ring.bytes_out = 100;
    script.ring.unread = 0;
    let mut after = state(reader, 0, 0, 0);
    after.cursor = Some(CursorState {
        bytes_out: 100,
        ..Default::default()
    });
    script.observe(&[writer_state(writer, OUT), after]);
    script.breaks("the counters of the ring follow its calls");
}

/// A batch is read into a buffer of which so many bytes can be used.
fn batch_into(mapped: u64, result: i64) -> Script {
    let mut script = Script::solo(RECORD);
    let writer = script.open(false, true);
    script.observe(&[writer_state(writer, OUT)]);
    let reader = script.open(true, false);
    script.observe(&[writer_state(writer, OUT), state(reader, 0, 0, 0)]);
    script.write(0, writer, 10);
    script.observe(&[writer_state(writer, OUT), state(reader, IN, 42, 48)]);
    let event = script.event(Call::Read, reader, 200, result);
    event.mapped = mapped;
    event.flags = Flags(Flags::DIRECT.0 | Flags::HEADERS.0);
    script.observe(&[writer_state(writer, OUT), state(reader, IN, 42, 48)]);
    script
}

#[test]
fn a_record_that_fits_into_the_usable_part_of_the_buffer_is_read() {
    let fault = -i64::from(libc::EFAULT);
    batch_into(42, fault).breaks("a read returns what fits into the usable part of its buffer");
    batch_into(41, fault).is_right();
}

#[test]
fn a_record_that_does_not_fit_stays() {
    let mut script = batch_into(200, -i64::from(libc::EMSGSIZE));
    script.history.events.last_mut().expect("the read").len = 41;
    script.is_right();
    let last = script.history.observations.last_mut().expect("the last");
    last.endpoints[1] = state(1, 0, 0, 0);
    script.breaks("a record that does not fit stays");
}

#[test]
fn batches_are_taken_apart() {
    let header = |length: u32, sequence: u64, lost: u64| {
        Header {
            length,
            flags: 0,
            sequence,
            timestamp_ns: 1,
            lost,
        }
        .to_bytes()
        .to_vec()
    };
    let two = |second: Vec<u8>, gap: &[u8]| {
        [
            header(3, 0, 0),
            bytes(1, 0, 3),
            gap.to_vec(),
            second,
            bytes(1, 1, 9),
        ]
        .concat()
    };
    let read = |data: Vec<u8>| {
        let mut script = Script::new(RECORD);
        let (reader, writer) = (script.open(true, false), script.open(false, true));
        script.write(1, writer, 3);
        script.write(1, writer, 9);
        script.read(reader, data).flags.0 |= Flags::HEADERS.0;
        script.ring.bytes_out = 12;
        script.ring.records_out = 2;
        script.ring.unread = 0;
        script.settle(&[]);
        script
    };
    read(two(header(9, 1, 0), &[0; 5])).is_right();
    read(two(header(9, 1, 0), &[1; 5])).breaks("a batch is well formed");
    read(two(header(99, 1, 0), &[0; 5])).breaks("a batch is well formed");
    read(two(header(9, 2, 0), &[0; 5])).breaks("what is missing was counted as lost");
    read(two(header(9, 2, 1), &[0; 5])).breaks("what is missing was counted as lost");
}

#[test]
fn a_record_that_nobody_wrote_is_found() {
    let mut script = Script::new(RECORD);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.write(1, writer, 10);
    script.read(reader, bytes(1, 0, 9));
    script.breaks("what is received was sent");
}

#[test]
fn the_end_of_a_session_discards_what_is_unread() {
    for left in [0, 100] {
        let mut script = Script::solo(HANGUP);
        let reader = script.open(true, false);
        script.observe(&[state(reader, 0, 0, 0)]);
        let writer = script.open(false, true);
        script.observe(&[state(reader, 0, 0, 0), writer_state(writer, OUT)]);
        script.write(0, writer, 100);
        script.observe(&[state(reader, IN, 100, 100), writer_state(writer, OUT)]);
        script.close(reader);
        script.observe(&[writer_state(writer, OUT | libc::POLLERR)]);
        script.close(writer);
        script.ring.unread = left;
        script.ring.bytes_lost = 100 - left;
        script.observe(&[]);
        if left == 0 {
            script.is_right();
        } else {
            script.breaks("the end of a session discards what is unread");
        }
    }
}

#[test]
fn an_endpoint_that_was_in_use_is_closed_after_the_last_call() {
    let mut script = Script::new(HANGUP);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    script.close(reader);
    // Another actor was still reading there.
    script.tick();
    let (begin, end) = (script.tick(), script.tick());
    script.history.endpoints[usize::from(reader)].closed = Some((begin, end));
    script.settle(&[writer_state(writer, OUT | libc::POLLERR)]);
    script.is_right();
}

#[test]
fn a_reader_that_comes_later_may_begin_with_any_record() {
    for joined in [false, true] {
        let mut script = Script::new(Kind {
            delivery: Delivery::Broadcast,
            ..RECORD
        });
        let writer = script.open(false, true);
        // More than payloads tell apart: the first that it gets could be another of that length.
        for _ in 0..66 {
            script.write(1, writer, 3);
        }
        script.write(1, writer, 9);
        let reader = script.open(true, false);
        script.read(reader, bytes(1, 65, 3));
        let last = script.read(reader, bytes(1, 66, 9));
        last.flags.set(Flags::JOINED, joined);
        script.is_right();
    }
}

#[test]
fn what_another_reader_took_is_found_in_the_middle_of_a_long_read() {
    let piece = 128 << 10;
    let mut script = Script::new(STREAM);
    let (reader, writer) = (script.open(true, false), script.open(false, true));
    let first = script.write(1, writer, 3 * piece).begin;
    // Two reads at once: the other one got what is missing here.
    script.read(reader, bytes(1, piece, piece)).begin = first + 2;
    let data = [bytes(1, 0, piece), bytes(1, 2 * piece, piece)].concat();
    script.read(reader, data).begin = first + 3;
    script.breaks("a read returns bytes that follow each other");
}

#[test]
fn a_counter_that_does_not_follow_its_call_is_found() {
    let mut script = Script::solo(STREAM);
    let writer = script.open(false, true);
    script.observe(&[writer_state(writer, OUT)]);
    script.write(0, writer, 100);
    script.ring.bytes_in = 99;
    script.observe(&[writer_state(writer, OUT)]);
    script.breaks("the counters of the ring follow its calls");
}

#[test]
fn only_a_resize_that_succeeds_changes_the_capacity() {
    let half = CAPACITY / 2;
    for (result, capacity, right) in [
        (0, half, true),
        (0, CAPACITY, false),
        (-i64::from(libc::EBUSY), CAPACITY, true),
        (-i64::from(libc::EBUSY), half, false),
    ] {
        let mut script = Script::solo(STREAM);
        let ring = script.open(true, true);
        script.observe(&[]);
        script.event(Call::Resize, ring, half, result);
        script.ring.capacity = capacity;
        script.observe(&[]);
        let counts = "the counters of the ring follow its calls";
        assert_eq!(script.rules().contains(&counts), !right, "{result}");
    }
}
