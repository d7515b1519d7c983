// SPDX-License-Identifier: GPL-2.0

//! What a call may return, by itself and by what went on around it.

use super::Complaints;
use crate::history::{Call, Event, Flags, History};
use crate::program::Full;

pub fn judge(history: &History, complaints: &mut Complaints) {
    for event in history.events.iter().filter(|event| event.ended()) {
        let about = || format!("{event:?}", event = Brief(event));
        match event.call {
            Call::Read => read(history, event, complaints, about),
            Call::Write => write(history, event, complaints, about),
            _ => {}
        }
        if matches!(event.call, Call::Read | Call::Write) {
            complaints.demand(
                event.result <= event.len as i64,
                "a call moves no more than was asked for",
                about,
            );
            complaints.demand(
                error_is_known(history, event),
                "an error has its reason",
                about,
            );
        }
    }
}

fn read(
    history: &History,
    event: &Event,
    complaints: &mut Complaints,
    about: impl Fn() -> String + Copy,
) {
    complaints.demand(
        !event.flags.has(Flags::TOUCHED),
        "a read changes only the bytes that it returns",
        about,
    );
    let end = event.end.unwrap_or(u64::MAX);
    if event.result == 0 && event.len > 0 {
        complaints.demand(
            history.may_have_ended(event.endpoint, event.begin, end),
            "the end of the file follows a writer of this session",
            about,
        );
    }
    if event.result > 0 && !event.flags.has(Flags::UNSEEN) {
        complaints.demand(
            event.data.len() as i64 == event.result,
            "what was counted as read has arrived",
            about,
        );
    }
}

fn write(
    history: &History,
    event: &Event,
    complaints: &mut Complaints,
    about: impl Fn() -> String + Copy,
) {
    if event.result <= 0 || !event.flags.has(Flags::DIRECT) {
        return;
    }
    let whole = event.result == event.len as i64;
    if history.kind.is_record() {
        complaints.demand(whole, "a record is written whole or not at all", about);
    } else if history.kind.blocks()
        && !event.flags.has(Flags::NONBLOCK)
        && event.flags.has(Flags::SOUND)
        && event.len <= libc::PIPE_BUF as u64
    {
        complaints.demand(
            whole,
            "a blocking write of up to PIPE_BUF bytes is written whole or not at all",
            about,
        );
    }
}

/// Says whether an error can be explained. Without an error there is nothing to explain.
fn error_is_known(history: &History, event: &Event) -> bool {
    let Ok(errno) = i32::try_from(-event.result) else {
        return false;
    };
    if errno <= 0 {
        return true;
    }
    let (begin, end) = (event.begin, event.end.unwrap_or(u64::MAX));
    let reading = event.call == Call::Read;
    let endpoint = history.endpoint(event.endpoint);
    let direct = event.flags.has(Flags::DIRECT);
    match errno {
        libc::EAGAIN => !direct || event.flags.has(Flags::NONBLOCK),
        // Whatever waits may be interrupted; the coordinator does that to what waits in vain.
        libc::EINTR | libc::ECANCELED => {
            !direct
                || !event.flags.has(Flags::NONBLOCK)
                || event.flags.has(Flags::CHANGING)
                || history.kind.overwrites()
        }
        libc::EFAULT => !event.flags.has(Flags::SOUND) || event.flags.has(Flags::INJECTED),
        libc::ENOMEM => event.flags.has(Flags::INJECTED),
        libc::EMSGSIZE => history.kind.is_record(),
        libc::ENOBUFS => !reading && history.kind.full == Full::Drop,
        libc::EPIPE => !reading && history.kind.hangup && history.may_refuse(begin, end),
        libc::ENODEV => !reading && history.possibly_called(Call::Destroy, end),
        libc::ESHUTDOWN => reading && history.possibly_evicted(event.endpoint, end),
        libc::EBADF => endpoint.is_none_or(|endpoint| {
            if reading {
                !endpoint.reads
            } else {
                !endpoint.writes
            }
        }),
        // Of splice(2) and sendfile(2): not for this file, or the other one is full.
        libc::EINVAL | libc::ENOSPC | libc::ESPIPE => !direct,
        _ => false,
    }
}

/// Shows an event without its data.
pub struct Brief<'a>(pub &'a Event);

impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let event = self.0;
        write!(
            f,
            "actor {} {:?} endpoint {} len {} mapped {} flags {:#x} at {}..{:?} = {}",
            event.actor,
            event.call,
            event.endpoint,
            event.len,
            event.mapped,
            event.flags.0,
            event.begin,
            event.end,
            event.result
        )
    }
}
