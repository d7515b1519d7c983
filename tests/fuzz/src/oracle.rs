// SPDX-License-Identifier: GPL-2.0

//! Says what is wrong with a history, by rules that hold for every interleaving.
//!
//! The rules are those of `Documentation/user-api.rst`. Where the order of two calls cannot be
//! known, or a process was killed in the middle of a call, a rule allows everything that might have
//! happened; it never guesses. In a program without concurrency nothing is unknown, and each call
//! is held against what the ring said of itself before and after it.

mod calls;
mod content;
mod polling;
mod steps;
mod totals;

#[cfg(test)]
mod tests;

use crate::history::{Call, Endpoint, EndpointId, Event, History};

/// Something that cannot happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The rule that was broken, in a few words. Two complaints with the same rule are most likely
    /// about the same fault.
    pub rule: &'static str,
    pub text: String,
}

impl Complaint {
    pub fn new(rule: &'static str, text: String) -> Self {
        Self { rule, text }
    }
}

/// Collects complaints. A rule that is broken many times is reported once.
#[derive(Default)]
struct Complaints(Vec<Complaint>);

impl Complaints {
    /// Complains unless the rule is kept.
    fn demand(&mut self, kept: bool, rule: &'static str, text: impl FnOnce() -> String) {
        if !kept && self.0.iter().all(|complaint| complaint.rule != rule) {
            self.0.push(Complaint::new(rule, text()));
        }
    }
}

/// Returns everything that is wrong with a history.
pub fn judge(history: &History) -> Vec<Complaint> {
    let mut complaints = Complaints::default();
    calls::judge(history, &mut complaints);
    content::judge(history, &mut complaints);
    polling::judge(history, &mut complaints);
    totals::judge(history, &mut complaints);
    if history.solo {
        steps::judge(history, &mut complaints);
    }
    complaints.0
}

/// The space that a record of this length takes up in a ring.
fn stored(length: u64) -> u64 {
    32 + length.next_multiple_of(8)
}

impl Endpoint {
    /// The endpoint was open during all of this time.
    fn surely_open(&self, from: u64, to: u64) -> bool {
        self.opened.1 < from && self.closed.is_none_or(|(begin, _)| begin > to)
    }

    /// The endpoint may have been open at some moment of this time.
    fn possibly_open(&self, from: u64, to: u64) -> bool {
        self.opened.0 < to && self.closed.is_none_or(|(_, end)| end > from)
    }
}

impl History {
    fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(usize::from(id))
    }

    fn of(&self, call: Call) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.call == call)
    }

    /// A call of this kind may have taken effect before `tick`.
    fn possibly_called(&self, call: Call, tick: u64) -> bool {
        self.of(call)
            .any(|event| event.begin < tick && (!event.ended() || event.result >= 0))
    }

    /// The endpoint may have been evicted before `tick`.
    fn possibly_evicted(&self, id: EndpointId, tick: u64) -> bool {
        self.of(Call::Evict).any(|event| {
            event.endpoint == id && event.begin < tick && (!event.ended() || event.result >= 0)
        })
    }

    /// The endpoint was evicted before `tick`.
    fn surely_evicted(&self, id: EndpointId, tick: u64) -> bool {
        self.of(Call::Evict).any(|event| {
            event.endpoint == id && event.result >= 0 && event.end.is_some_and(|end| end < tick)
        })
    }

    /// A hang-up ring may have had no endpoint at some moment after its first one, which ends the
    /// session and discards what is unread.
    fn session_may_have_ended(&self) -> bool {
        if !self.kind.hangup {
            return false;
        }
        let mut reached = match self
            .endpoints
            .iter()
            .map(|endpoint| endpoint.opened.1)
            .min()
        {
            Some(first) => first,
            None => return false,
        };
        // Extend the time that is surely covered until no endpoint extends it further.
        loop {
            let next = self
                .endpoints
                .iter()
                .filter(|endpoint| endpoint.opened.1 <= reached)
                .map(|endpoint| endpoint.closed.map_or(u64::MAX, |(begin, _)| begin))
                .max();
            match next {
                Some(u64::MAX) => return false,
                Some(next) if next > reached => reached = next,
                _ => return true,
            }
        }
    }

    /// Data may have been lost: overwritten, cleared, or discarded at the end of a session.
    fn may_lose(&self) -> bool {
        self.kind.overwrites()
            || self.possibly_called(Call::Clear, u64::MAX)
            || self.session_may_have_ended()
    }

    /// Whether the end of the file is what a reader has to see at this time: the ring was
    /// destroyed, or all writers of its session have left.
    fn may_have_ended(&self, reader: EndpointId, from: u64, to: u64) -> bool {
        if self.possibly_called(Call::Destroy, to) {
            return true;
        }
        let Some(reader) = self.endpoint(reader) else {
            return false;
        };
        let mut writers = self.endpoints.iter().filter(|endpoint| endpoint.writes);
        self.kind.hangup
            && writers.clone().all(|writer| !writer.surely_open(from, to))
            && writers.any(|writer| writer.possibly_open(reader.opened.0, to))
    }

    /// A write may have to be refused at this time: the ring was destroyed, or nobody reads.
    fn may_refuse(&self, from: u64, to: u64) -> bool {
        let mut readers = self.endpoints.iter().filter(|endpoint| endpoint.reads);
        self.possibly_called(Call::Destroy, to)
            || (self.kind.hangup && readers.all(|reader| !reader.surely_open(from, to)))
    }
}

/// What an actor has written, as far as it knows.
#[derive(Clone, Debug, Default)]
struct Writer {
    /// Bytes that were taken.
    bytes: u64,
    /// The lengths of the records that were taken.
    records: Vec<u64>,
    /// What a write may have added that was going on when its process was killed.
    uncertain: u64,
    /// Writes that must stay in one piece, as ranges of the writer's bytes.
    pieces: Vec<(u64, u64)>,
}

/// Returns what each actor has written.
fn writers(history: &History) -> Vec<Writer> {
    let mut writers = vec![Writer::default(); 4];
    for event in history.of(Call::Write) {
        let Some(writer) = writers.get_mut(event.actor) else {
            continue;
        };
        if !event.ended() {
            writer.uncertain += event.len;
            continue;
        }
        let written = event.bytes();
        if written == 0 {
            continue;
        }
        use crate::history::Flags;
        if history.kind.is_record() {
            writer.records.push(written);
        } else if history.kind.blocks()
            && event.flags.has(Flags::DIRECT)
            && !event.flags.has(Flags::NONBLOCK)
            && written == event.len
            && event.len <= libc::PIPE_BUF as u64
        {
            writer.pieces.push((writer.bytes, writer.bytes + written));
        }
        writer.bytes += written;
    }
    writers
}
