// SPDX-License-Identifier: GPL-2.0

//! What the actors write down while they run, in memory that their processes share.
//!
//! An actor notes a call before it makes it, and its result afterwards. Of a process that is killed
//! in between, the note without a result is what is left.

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

use crate::history::{Call, ENDPOINTS_MAX, Endpoint, EndpointId, Event, Flags};
use crate::program::{ACTORS_MAX, CHUNK, STEPS_MAX};
use crate::sys;

/// The main thread and the actors.
pub const WRITERS: usize = ACTORS_MAX + 1;

/// Calls that an actor can note.
const NOTES: usize = 2048;

/// Bytes that an actor can receive.
const DATA: usize = 2 << 20;

/// What an actor is waiting for, for the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Waiting {
    Nothing,
    ToRead,
    ToWrite,
    /// For poll(2) to report that something can be read, or written.
    PollRead,
    PollWrite,
    /// For something that need not come even if it is there.
    Anything,
}

/// The note of a call.
struct Note {
    begin: AtomicU64,
    /// 0 until the call has ended.
    end: AtomicU64,
    call: AtomicU8,
    endpoint: AtomicU8,
    flags: AtomicU32,
    len: AtomicU64,
    mapped: AtomicU64,
    result: AtomicI64,
    data_at: AtomicU32,
    data_len: AtomicU32,
}

/// What one actor writes down.
pub struct ActorLog {
    notes: [Note; NOTES],
    count: AtomicU32,
    used: AtomicU32,
    data: [AtomicU8; DATA],
    /// The thread and its process; 0 while there is none.
    pub tid: AtomicI32,
    pub pid: AtomicI32,
    pub done: AtomicBool,
    /// What it waits for, on which descriptor, and how often it has waited.
    waiting: AtomicU32,
    pub waiting_on: AtomicI32,
    pub waits: AtomicU64,
    /// How often the coordinator has interrupted it.
    pub kicks: AtomicU64,
    /// What it has written: bytes of a stream, or records.
    pub sent: AtomicU64,
}

/// An endpoint, as all processes know it.
pub struct EndpointLog {
    access: AtomicU8,
    opened: [AtomicU64; 2],
    closed: [AtomicU64; 2],
    /// The actor that opened it.
    pub by: AtomicU8,
}

/// All that is written down, and where the program stands, for the supervisor.
pub struct Log {
    ticks: AtomicU64,
    pub actors: [ActorLog; WRITERS],
    endpoints: [EndpointLog; ENDPOINTS_MAX],
    endpoint_count: AtomicU32,
    /// The actors may begin.
    pub go: AtomicBool,
    /// Counts programs.
    pub programs: AtomicU64,
    /// The program that runs.
    program: [AtomicU8; CHUNK * (STEPS_MAX + 1)],
    program_len: AtomicU32,
    pub calls: AtomicU64,
}

impl Log {
    /// Makes a log that processes share, with all its pages present.
    pub fn new() -> Result<&'static Self, i64> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let address = sys::map(0, size_of::<Self>(), protection, None, true);
        if address < 0 {
            return Err(address);
        }
        // SAFETY: The mapping is that long, aligned to a page, and never removed. It is zeros, which
        // are valid for atomics, of which the log consists.
        Ok(unsafe { &*(address as *const Self) })
    }

    /// Forgets everything but the counts of programs and calls.
    pub fn clear(&self) {
        for actor in &self.actors {
            actor.count.store(0, Relaxed);
            actor.used.store(0, Relaxed);
            actor.tid.store(0, Relaxed);
            actor.pid.store(0, Relaxed);
            actor.done.store(false, Relaxed);
            actor.waiting.store(0, Relaxed);
            actor.sent.store(0, Relaxed);
        }
        self.endpoint_count.store(0, Relaxed);
        self.go.store(false, SeqCst);
        self.ticks.store(1, SeqCst);
    }

    pub fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, SeqCst)
    }

    /// Notes the program that is about to run. Returns its number.
    pub fn set_program(&self, bytes: &[u8]) -> u64 {
        let len = bytes.len().min(self.program.len());
        for (to, from) in self.program.iter().zip(bytes) {
            to.store(*from, Relaxed);
        }
        self.program_len.store(len as u32, Relaxed);
        self.programs.fetch_add(1, SeqCst) + 1
    }

    pub fn program(&self) -> Vec<u8> {
        let len = self.program_len.load(Relaxed) as usize;
        self.program
            .iter()
            .take(len)
            .map(|byte| byte.load(Relaxed))
            .collect()
    }

    /// Notes an endpoint that is about to be opened; `None` if there are too many.
    pub fn new_endpoint(&self, by: usize, reads: bool, writes: bool) -> Option<EndpointId> {
        let id = self.endpoint_count.load(Relaxed) as usize;
        let id = if id < ENDPOINTS_MAX {
            self.endpoint_count.fetch_add(1, SeqCst) as usize
        } else {
            id
        };
        let endpoint = self.endpoints.get(id)?;
        endpoint.access.store(0, Relaxed);
        endpoint.by.store(by as u8, Relaxed);
        endpoint.opened[0].store(self.tick(), SeqCst);
        // Until it is known to be open, it is not.
        endpoint.opened[1].store(u64::MAX, SeqCst);
        endpoint
            .closed
            .iter()
            .for_each(|closed| closed.store(0, SeqCst));
        endpoint
            .access
            .store(u8::from(reads) | (u8::from(writes) << 1), SeqCst);
        Some(id as EndpointId)
    }

    pub fn opened(&self, id: EndpointId, success: bool) {
        let endpoint = &self.endpoints[usize::from(id)];
        let now = self.tick();
        endpoint.opened[1].store(now, SeqCst);
        if !success {
            endpoint.access.store(0, SeqCst);
            endpoint
                .closed
                .iter()
                .for_each(|closed| closed.store(now, SeqCst));
        }
    }

    pub fn closing(&self, id: EndpointId) {
        self.endpoints[usize::from(id)].closed[0].store(self.tick(), SeqCst);
    }

    pub fn closed(&self, id: EndpointId) {
        self.endpoints[usize::from(id)].closed[1].store(self.tick(), SeqCst);
    }

    /// Returns the endpoints. `shared_until` is when the last process had ended that may have held
    /// them as well, if there were processes; `of_process` tells which actors were.
    pub fn endpoints(&self, shared_until: Option<u64>, of_process: &[bool]) -> Vec<Endpoint> {
        let count = (self.endpoint_count.load(SeqCst) as usize).min(ENDPOINTS_MAX);
        self.endpoints[..count]
            .iter()
            .map(|endpoint| {
                let [opened_begin, opened_end] = [0, 1].map(|n| endpoint.opened[n].load(SeqCst));
                let [begin, end] = [0, 1].map(|n| endpoint.closed[n].load(SeqCst));
                let access = endpoint.access.load(SeqCst);
                let mut closed = match (begin, end) {
                    (0, _) => None,
                    (begin, 0) => Some((begin, u64::MAX)),
                    both => Some(both),
                };
                if let Some(until) = shared_until {
                    let by = usize::from(endpoint.by.load(SeqCst));
                    if of_process.get(by).copied().unwrap_or(false) {
                        // It went with its process at the latest.
                        closed = Some((closed.map_or(opened_begin, |(begin, _)| begin), until));
                    } else {
                        // Processes that were forked before have held it until then.
                        closed = closed.map(|(begin, end)| (begin, end.max(until)));
                    }
                }
                Endpoint {
                    reads: access & 1 != 0,
                    writes: access & 2 != 0,
                    opened: (opened_begin, opened_end),
                    closed,
                }
            })
            .collect()
    }

    /// Returns all calls in the order in which they began.
    pub fn events(&self) -> Vec<Event> {
        let mut events: Vec<Event> = self
            .actors
            .iter()
            .enumerate()
            .flat_map(|(who, actor)| actor.events(who))
            .collect();
        events.sort_by_key(|event| event.begin);
        events
    }
}

/// A call that has been noted and not ended.
pub struct Open<'a>(&'a Note);

impl ActorLog {
    /// Notes a call; `None` if there is no space for it, or for what it may receive.
    pub fn begin(
        &self,
        log: &Log,
        call: Call,
        endpoint: EndpointId,
        flags: Flags,
        len: u64,
        mapped: u64,
    ) -> Option<Open<'_>> {
        let at = self.count.load(Relaxed) as usize;
        let used = self.used.load(Relaxed) as usize;
        if call == Call::Read && used + len as usize > DATA {
            return None;
        }
        let note = self.notes.get(at)?;
        note.end.store(0, Relaxed);
        note.call.store(call as u8, Relaxed);
        note.endpoint.store(endpoint, Relaxed);
        note.flags.store(flags.0, Relaxed);
        note.len.store(len, Relaxed);
        note.mapped.store(mapped, Relaxed);
        note.data_len.store(0, Relaxed);
        note.begin.store(log.tick(), SeqCst);
        self.count.store(at as u32 + 1, Release);
        log.calls.fetch_add(1, Relaxed);
        Some(Open(note))
    }

    /// Notes how a call came out.
    pub fn end(&self, log: &Log, open: Open<'_>, result: i64, more: Flags, data: &[u8]) {
        let Open(note) = open;
        let at = self.used.load(Relaxed) as usize;
        let len = data.len().min(DATA - at);
        // SAFETY: An atomic byte has the layout of a byte. The range is within the array, and only
        // this actor uses it until the note says that it is there.
        unsafe {
            let to = self.data.as_ptr().cast::<u8>().cast_mut().add(at);
            std::ptr::copy_nonoverlapping(data.as_ptr(), to, len);
        }
        self.used.store((at + len) as u32, Relaxed);
        note.data_at.store(at as u32, Relaxed);
        note.data_len.store(len as u32, Relaxed);
        note.flags.fetch_or(more.0, Relaxed);
        note.result.store(result, Relaxed);
        note.end.store(log.tick(), Release);
    }

    /// How many calls have been noted.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Notes what the actor is about to wait for.
    pub fn wait(&self, waiting: Waiting, on: i32) {
        self.waiting_on.store(on, Relaxed);
        self.waits.fetch_add(1, SeqCst);
        self.waiting.store(waiting as u32, SeqCst);
    }

    pub fn wait_ended(&self) {
        self.waiting.store(0, SeqCst);
        self.waits.fetch_add(1, SeqCst);
    }

    pub fn waiting(&self) -> Waiting {
        match self.waiting.load(SeqCst) {
            1 => Waiting::ToRead,
            2 => Waiting::ToWrite,
            3 => Waiting::PollRead,
            4 => Waiting::PollWrite,
            5 => Waiting::Anything,
            _ => Waiting::Nothing,
        }
    }

    fn events(&self, actor: usize) -> impl Iterator<Item = Event> {
        let count = (self.count.load(Acquire) as usize).min(NOTES);
        self.notes[..count].iter().map(move |note| {
            let end = note.end.load(Acquire);
            let at = note.data_at.load(Relaxed) as usize;
            let len = note.data_len.load(Relaxed) as usize;
            let data = self.data.get(at..at + len).unwrap_or_default();
            Event {
                actor,
                begin: note.begin.load(Relaxed),
                end: (end != 0).then_some(end),
                call: CALLS[usize::from(note.call.load(Relaxed)) % CALLS.len()],
                endpoint: note.endpoint.load(Relaxed),
                flags: Flags(note.flags.load(Relaxed)),
                len: note.len.load(Relaxed),
                mapped: note.mapped.load(Relaxed),
                result: note.result.load(Relaxed),
                data: data.iter().map(|byte| byte.load(Relaxed)).collect(),
            }
        })
    }
}

const CALLS: [Call; 10] = [
    Call::Open,
    Call::Close,
    Call::Write,
    Call::Read,
    Call::Seek,
    Call::Evict,
    Call::Resize,
    Call::Clear,
    Call::Destroy,
    Call::Other,
];
