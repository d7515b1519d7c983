// SPDX-License-Identifier: GPL-2.0

//! In a program without concurrency, each call is held against what the ring said before and after
//! it.

use super::calls::Brief;
use super::content::measure;
use super::{Complaints, History};
use crate::history::{Call, Event, Flags, Observation, RingState};

const COUNTS: &str = "the counters of the ring follow its calls";

pub fn judge(history: &History, complaints: &mut Complaints) {
    for pair in history.observations.windows(2) {
        let [before, after] = pair else { continue };
        let Some(events) = history.events.get(before.after..after.after) else {
            continue;
        };
        if let [event] = events {
            let step = Step {
                history,
                before,
                event,
                after,
            };
            step.counters(complaints);
            step.cursors(complaints);
            if !event.flags.has(Flags::INJECTED) {
                match event.call {
                    Call::Read => step.read(complaints),
                    Call::Write => step.write(complaints),
                    _ => {}
                }
            }
        }
    }
}

struct Step<'a> {
    history: &'a History,
    before: &'a Observation,
    event: &'a Event,
    after: &'a Observation,
}

impl Step<'_> {
    fn about(&self) -> String {
        let (before, after) = (self.before, self.after);
        format!(
            "{:?}\nbefore: {before:?}\nafter: {after:?}",
            Brief(self.event)
        )
    }

    /// How much a counter of the ring grew.
    fn grown(&self, counter: fn(&RingState) -> u64) -> i64 {
        (counter(&self.after.ring).wrapping_sub(counter(&self.before.ring))) as i64
    }

    fn counters(&self, complaints: &mut Complaints) {
        let event = self.event;
        let about = || self.about();
        let records = self.history.kind.is_record();
        let written = if event.call == Call::Write {
            event.bytes()
        } else {
            0
        };
        let mut demand = |kept: bool| complaints.demand(kept, COUNTS, about);
        demand(self.grown(|ring| ring.bytes_in) == written as i64);
        demand(self.grown(|ring| ring.records_in) == i64::from(records && written > 0));
        let read = if event.call == Call::Read {
            measure(self.history, event)
        } else {
            Some((0, 0, 0))
        };
        if let Some((bytes, count, _)) = read {
            demand(self.grown(|ring| ring.bytes_out) == bytes as i64);
            demand(self.grown(|ring| ring.records_out) == count as i64);
        }
        if event.call == Call::Write && event.flags.has(Flags::DIRECT) {
            let dropped = event.result == -i64::from(libc::ENOBUFS);
            demand(self.grown(|ring| ring.records_dropped) == i64::from(dropped));
            let bytes = if dropped { event.len as i64 } else { 0 };
            demand(self.grown(|ring| ring.bytes_dropped) == bytes);
        }
        let open = |of: fn(&crate::history::Endpoint) -> bool| {
            let now = event.end.unwrap_or(u64::MAX) + 1;
            let open = self.history.endpoints.iter().filter(|e| of(e));
            open.filter(|endpoint| {
                endpoint.opened.1 < now && endpoint.closed.is_none_or(|(begin, _)| begin >= now)
            })
            .count()
        };
        demand(self.after.ring.readers as usize == open(|endpoint| endpoint.reads));
        demand(self.after.ring.writers as usize == open(|endpoint| endpoint.writes));
        let expected = match event.call {
            Call::Resize if event.result == 0 => event.len,
            _ => self.before.ring.capacity,
        };
        demand(self.after.ring.capacity == expected);
        let ended = self.history.kind.hangup
            && event.call == Call::Close
            && open(|_| true) == 0
            && self.after.ring.capacity > 0;
        complaints.demand(
            !ended || self.after.ring.unread == 0,
            "the end of a session discards what is unread",
            about,
        );
    }

    /// What a cursor has not read changes by what was written, read and lost.
    fn cursors(&self, complaints: &mut Complaints) {
        let about = || self.about();
        if matches!(self.event.call, Call::Seek | Call::Evict) {
            return;
        }
        for state in &self.after.endpoints {
            let id = state.endpoint;
            let before = self.before.of(id).and_then(|state| state.cursor);
            let (Some(before), Some(after)) = (before, state.cursor) else {
                continue;
            };
            if self.history.possibly_evicted(id, self.event.begin) {
                complaints.demand(
                    before == after,
                    "nothing happens to an evicted cursor",
                    about,
                );
                continue;
            }
            let lost = (after.bytes_lost + after.records_lost)
                .wrapping_sub(before.bytes_lost + before.records_lost);
            if !self.history.kind.is_record() {
                let came = self.grown(|ring| ring.bytes_in);
                let went = (after.unread + after.bytes_out + after.bytes_lost) as i64
                    - (before.unread + before.bytes_out + before.bytes_lost) as i64;
                complaints.demand(
                    came == went,
                    "received, lost and unread are what was sent",
                    about,
                );
            }
            let may_lose = self.history.kind.overwrites() || self.event.call == Call::Clear;
            complaints.demand(
                lost == 0 || may_lose,
                "nothing is lost without a reason",
                about,
            );
            // Asking for the cursor before the call has cleared what was to be told.
            complaints.demand(
                state.revents & libc::POLLPRI == 0 || lost > 0,
                "POLLPRI follows a loss",
                about,
            );
        }
    }

    fn read(&self, complaints: &mut Complaints) {
        let event = self.event;
        let about = || self.about();
        let Some(state) = self.before.of(event.endpoint) else {
            return;
        };
        let (Some(cursor), true) = (state.cursor, event.flags.has(Flags::DIRECT)) else {
            return;
        };
        if event.len == 0 || self.history.possibly_evicted(event.endpoint, event.begin) {
            return;
        }
        let again =
            event.result == -i64::from(libc::EAGAIN) || event.result == -i64::from(libc::EINTR);
        let interrupted = event.flags.has(Flags::SIGNALS);
        let needed = state.next_read;
        if needed == 0 {
            // Nothing, or the end.
            complaints.demand(event.result <= 0, "a read returns what can be read", about);
            let end = state.revents & libc::POLLIN != 0;
            if event.mapped == event.len {
                complaints.demand(
                    if end { event.result == 0 } else { again },
                    "POLLIN is set if and only if a read would return",
                    about,
                );
            }
            return;
        }
        complaints.demand(
            !again || interrupted,
            "a read does not wait for what is there",
            about,
        );
        complaints.demand(
            event.result != 0,
            "the end of the file comes when the ring is drained",
            about,
        );
        let failed = event.result < 0 && !again;
        if !self.history.kind.is_record() {
            let readable = needed.min(event.mapped);
            complaints.demand(
                !failed || readable == 0,
                "a read returns what fits into the usable part of its buffer",
                about,
            );
            if !self.history.kind.overwrites() && event.mapped == event.len && !failed && !again {
                complaints.demand(
                    event.result == readable as i64,
                    "a read returns what can be read",
                    about,
                );
            }
            return;
        }
        if needed > event.len {
            complaints.demand(
                event.result == -i64::from(libc::EMSGSIZE) || (interrupted && again),
                "a record that does not fit is EMSGSIZE",
                about,
            );
            complaints.demand(
                self.after.of(event.endpoint).and_then(|state| state.cursor) == Some(cursor),
                "a record that does not fit stays",
                about,
            );
        } else if needed <= event.mapped {
            complaints.demand(
                !failed,
                "a read returns what fits into the usable part of its buffer",
                about,
            );
            if !failed && !again && !event.flags.has(Flags::HEADERS) {
                complaints.demand(
                    event.result == needed as i64,
                    "a read returns what can be read",
                    about,
                );
            }
        }
    }

    fn write(&self, complaints: &mut Complaints) {
        let event = self.event;
        let about = || self.about();
        let Some(state) = self.before.of(event.endpoint) else {
            return;
        };
        let ring = &self.before.ring;
        let longest = if self.history.kind.is_record() {
            ring.capacity / 4
        } else {
            libc::PIPE_BUF as u64
        };
        let refused = self.history.may_refuse(event.begin, event.begin);
        let checked = self.history.kind.blocks()
            && event.flags.has(Flags::DIRECT)
            && event.flags.has(Flags::SOUND)
            && !refused
            && (1..=longest).contains(&event.len);
        if !checked {
            return;
        }
        if state.revents & libc::POLLOUT != 0 {
            complaints.demand(
                event.result == event.len as i64 || event.flags.has(Flags::SIGNALS),
                "after POLLOUT a write of up to PIPE_BUF bytes, or of any record, does not wait",
                about,
            );
        } else if event.len == longest {
            complaints.demand(
                event.result < event.len as i64,
                "without POLLOUT the longest write would wait",
                about,
            );
        }
    }
}
