// SPDX-License-Identifier: GPL-2.0

//! The account at the end: what was sent, received, lost and is left.

use super::content::{Group, groups, measure};
use super::{Complaints, stored, writers};
use crate::history::{Call, EndpointId, History, Observation};

const ACCOUNT: &str = "received, lost and unread are what was sent";

pub fn judge(history: &History, complaints: &mut Complaints) {
    let settled: Vec<&Observation> = history
        .observations
        .iter()
        .filter(|observation| observation.after >= history.settling)
        .collect();
    for observation in &settled {
        if observation.after == history.settling {
            at_rest(history, observation, complaints);
        }
        newcomer(history, observation, complaints);
    }
    if let Some(last) = settled.last() {
        sent(history, last, complaints);
        for group in groups(history) {
            received(history, &group, last, complaints);
        }
    }
}

/// What the ring says of itself fits together.
fn at_rest(history: &History, observation: &Observation, complaints: &mut Complaints) {
    let ring = &observation.ring;
    let about = || format!("{ring:?}");
    if !history.kind.is_broadcast() {
        if !history.kind.is_record() {
            complaints.demand(
                ring.bytes_in == ring.bytes_out + ring.bytes_lost + ring.unread,
                ACCOUNT,
                about,
            );
        } else if ring.unread == 0 {
            complaints.demand(
                ring.records_in == ring.records_out + ring.records_lost,
                ACCOUNT,
                about,
            );
        }
        if !history.may_lose() {
            complaints.demand(
                ring.bytes_lost == 0 && ring.records_lost == 0,
                "nothing is lost without a reason",
                about,
            );
        }
    }
    if !history.kind.overwrites() {
        complaints.demand(
            ring.unread <= ring.capacity,
            "what is unread fits into the ring",
            about,
        );
    }
}

/// The ring has taken what its writers have been told that it took.
fn sent(history: &History, last: &Observation, complaints: &mut Complaints) {
    let writers = writers(history);
    let known: u64 = writers.iter().map(|writer| writer.bytes).sum();
    let uncertain: u64 = writers.iter().map(|writer| writer.uncertain).sum();
    let taken = last.ring.bytes_in;
    complaints.demand(
        (known..=known + uncertain).contains(&taken),
        "what was written was taken",
        || format!("{known} bytes written, at most {uncertain} more, and {taken} taken"),
    );
}

/// The ring has handed out what its readers have received.
fn received(history: &History, group: &Group<'_>, last: &Observation, complaints: &mut Complaints) {
    let counted = match group.endpoint {
        None => Some((last.ring.bytes_out, last.ring.records_out)),
        Some(id) => last
            .of(id)
            .and_then(|state| state.cursor)
            .map(|cursor| (cursor.bytes_out, cursor.records_out)),
    };
    let Some((bytes_out, records_out)) = counted else {
        return;
    };
    let (mut bytes, mut records, mut uncertain, mut exact) = (0, 0, 0, true);
    for event in &group.reads {
        if !event.ended() {
            uncertain += event.len;
            continue;
        }
        match measure(history, event) {
            Some((payload, count, _)) => {
                bytes += payload;
                records += count;
            }
            // How many records there were is not known, and with headers, how much of it was
            // payload.
            None if event.flags.has(crate::history::Flags::HEADERS) => return,
            None => {
                bytes += event.bytes();
                exact = false;
            }
        }
    }
    let about = || {
        format!(
            "endpoint {:?}: {bytes} bytes and {records} records received, at most {uncertain} \
             bytes more, and {bytes_out} bytes and {records_out} records handed out",
            group.endpoint
        )
    };
    const RULE: &str = "what was handed out was received";
    complaints.demand(
        (bytes..=bytes + uncertain).contains(&bytes_out),
        RULE,
        about,
    );
    if exact && uncertain == 0 && history.kind.is_record() {
        complaints.demand(records == records_out, RULE, about);
    }
}

/// Where writers wait for all readers, a reader that comes anew begins with the oldest data that
/// anybody has not read.
fn newcomer(history: &History, observation: &Observation, complaints: &mut Complaints) {
    if !history.kind.is_broadcast() || history.kind.overwrites() {
        return;
    }
    // The event before is the open of the newcomer, and nothing was read since.
    let Some(event) = observation
        .after
        .checked_sub(1)
        .and_then(|at| history.events.get(at))
    else {
        return;
    };
    let opened = event.call == Call::Open && event.succeeded();
    let state = observation
        .of(event.endpoint)
        .and_then(|state| state.cursor);
    let (true, Some(new)) = (opened, state) else {
        return;
    };
    let now = event.begin;
    let cursors: Vec<EndpointId> = (0..history.endpoints.len() as EndpointId)
        .filter(|id| *id != event.endpoint)
        .filter(|id| {
            history
                .endpoint(*id)
                .is_some_and(|e| e.reads && e.opened.1 < now)
        })
        .collect();
    let may_have_left = |id: &EndpointId| {
        history.possibly_evicted(*id, now)
            || history
                .endpoint(*id)
                .is_some_and(|endpoint| endpoint.closed.is_some())
    };
    let about = |expected: u64| {
        format!(
            "{} unread for the newcomer, {expected} expected: {observation:?}",
            new.unread
        )
    };
    const RULE: &str = "a newcomer begins where the slowest reader is";
    if cursors.iter().any(|id| !may_have_left(id)) {
        // Those that may have left without anybody knowing when make no difference if they did.
        let listed = cursors.iter().filter(|id| !may_have_left(id));
        let slowest = listed
            .filter_map(|id| observation.of(*id)?.cursor)
            .map(|cursor| cursor.unread)
            .max()
            .unwrap_or(0);
        let certain = cursors
            .iter()
            .all(|id| !may_have_left(id) || has_left(history, *id, now));
        if certain {
            complaints.demand(new.unread == slowest, RULE, || about(slowest));
        }
        return;
    }
    if history.possibly_called(Call::Clear, now) || history.session_may_have_ended() {
        return;
    }
    // All have left. If one had left before the next came, each began where the one before ended.
    let Some(read) = read_one_after_the_other(history, &cursors, now) else {
        return;
    };
    let writers = writers(history);
    if writers.iter().any(|writer| writer.uncertain > 0) {
        return;
    }
    let sent: u64 = if history.kind.is_record() {
        writers
            .iter()
            .flat_map(|writer| &writer.records)
            .map(|length| stored(*length))
            .sum()
    } else {
        writers.iter().map(|writer| writer.bytes).sum()
    };
    // In the settling phase somebody may have written more later.
    let later: u64 = history
        .of(Call::Write)
        .filter(|event| event.begin > now)
        .map(|event| {
            if history.kind.is_record() {
                stored(event.bytes())
            } else {
                event.bytes()
            }
        })
        .sum();
    let expected = (sent - later).checked_sub(read);
    complaints.demand(
        expected == Some(new.unread),
        "what an evicted or closed reader has not read stays for the next",
        || format!("{read} read, {sent} sent: {}", about(expected.unwrap_or(0))),
    );
}

/// The cursor has surely left by `now`.
fn has_left(history: &History, id: EndpointId, now: u64) -> bool {
    history.surely_evicted(id, now)
        || history
            .endpoint(id)
            .and_then(|endpoint| endpoint.closed)
            .is_some_and(|(_, end)| end < now)
}

/// Returns how much of the ring the cursors have read together, if each had left before the next
/// came; `None` if that is not so, or cannot be told.
fn read_one_after_the_other(history: &History, cursors: &[EndpointId], now: u64) -> Option<u64> {
    let mut left = 0;
    let mut read = 0;
    for id in cursors {
        let endpoint = history.endpoint(*id)?;
        if endpoint.opened.0 < left || !has_left(history, *id, now) {
            return None;
        }
        let evicted = history
            .of(Call::Evict)
            .filter(|event| event.endpoint == *id && event.succeeded())
            .filter_map(|event| event.end)
            .min();
        let closed = endpoint.closed.map(|(_, end)| end);
        left = evicted.into_iter().chain(closed).min()?;
        if history.of(Call::Seek).any(|event| event.endpoint == *id) {
            return None;
        }
        for event in history.of(Call::Read).filter(|event| event.endpoint == *id) {
            if !event.ended() {
                return None;
            }
            let (_, _, space) = measure(history, event)?;
            read += space;
        }
    }
    Some(read)
}
