// SPDX-License-Identifier: GPL-2.0

//! What poll(2) and `FIONREAD` promise, at moments at which nothing else happens.

use super::{Complaints, stored};
use crate::history::{Endpoint, EndpointState, History, Observation};

const HANG_UP: &str = "POLLHUP follows a writer of this session";
const ERROR: &str = "POLLERR has its reason";
const READABLE: &str = "POLLIN is set if and only if a read would return";
const WRITABLE: &str = "POLLOUT is set if and only if a write would not wait";
const PRIORITY: &str = "POLLPRI follows a loss";
const NEXT_READ: &str = "FIONREAD is what can be read";

pub fn judge(history: &History, complaints: &mut Complaints) {
    for observation in &history.observations {
        for state in &observation.endpoints {
            if let Some(endpoint) = history.endpoint(state.endpoint) {
                let moment = Moment {
                    history,
                    observation,
                    state,
                    endpoint,
                    now: observation.at,
                };
                moment.reading(complaints);
                moment.writing(complaints);
            }
        }
    }
}

/// An endpoint at a moment.
struct Moment<'a> {
    history: &'a History,
    observation: &'a Observation,
    state: &'a EndpointState,
    endpoint: &'a Endpoint,
    now: u64,
}

impl Moment<'_> {
    fn has(&self, event: i16) -> bool {
        self.state.revents & event != 0
    }

    fn about(&self) -> String {
        format!(
            "{:?} {:?} {:?}",
            self.endpoint, self.state, self.observation.ring
        )
    }

    fn reading(&self, complaints: &mut Complaints) {
        if !self.endpoint.reads {
            return;
        }
        let (history, id, now) = (self.history, self.state.endpoint, self.now);
        let about = || self.about();
        let may_be_evicted = history.possibly_evicted(id, now);
        let may_have_ended = may_be_evicted || history.may_have_ended(id, now, now);
        complaints.demand(!self.has(libc::POLLHUP) || may_have_ended, HANG_UP, about);
        if !self.endpoint.writes {
            complaints.demand(!self.has(libc::POLLERR) || may_be_evicted, ERROR, about);
        }
        let next_read = self.state.next_read;
        complaints.demand(
            !self.has(libc::POLLIN) || next_read > 0 || may_have_ended,
            READABLE,
            about,
        );
        complaints.demand(
            !self.has(libc::POLLPRI) || history.may_lose(),
            PRIORITY,
            about,
        );
        let Some(cursor) = self.state.cursor else {
            return;
        };
        if history.surely_evicted(id, now) {
            complaints.demand(
                next_read == 0 && cursor.unread == 0,
                "an evicted cursor has nothing to read",
                about,
            );
            return;
        }
        if may_be_evicted {
            return;
        }
        if cursor.watermark <= 1 {
            complaints.demand(self.has(libc::POLLIN) || next_read == 0, READABLE, about);
        }
        if history.kind.is_record() {
            complaints.demand((next_read > 0) == (cursor.unread > 0), NEXT_READ, about);
        } else {
            complaints.demand(next_read == cursor.unread, NEXT_READ, about);
        }
    }

    fn writing(&self, complaints: &mut Complaints) {
        if !self.endpoint.writes {
            return;
        }
        let (history, ring, now) = (self.history, &self.observation.ring, self.now);
        let about = || self.about();
        let may_refuse = history.may_refuse(now, now);
        let evicted = self.endpoint.reads && history.possibly_evicted(self.state.endpoint, now);
        complaints.demand(
            !self.has(libc::POLLERR) || may_refuse || evicted,
            ERROR,
            about,
        );
        if may_refuse {
            return;
        }
        let writable = self.has(libc::POLLOUT);
        if history.kind.overwrites() {
            complaints.demand(writable, WRITABLE, about);
        } else if history.kind.blocks() {
            let free = ring.capacity.saturating_sub(ring.unread);
            let needed = if history.kind.is_record() {
                stored(ring.capacity / 4)
            } else {
                libc::PIPE_BUF as u64
            };
            complaints.demand(writable == (free >= needed), WRITABLE, about);
        }
    }
}
