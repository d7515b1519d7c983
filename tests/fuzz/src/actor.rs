// SPDX-License-Identifier: GPL-2.0

//! Runs the steps of one actor.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use io_uring::{IoUring, opcode, squeue, types};

use crate::abi;
use crate::history::{BLANK, Call, Flags, NO_ENDPOINT, Observation, origin, payload};
use crate::kcov::Trace;
use crate::log::{ActorLog, Log, WRITERS, Waiting};
use crate::memory::{LONGEST, Place, Region};
use crate::program::{
    Access, Buffer, Disturb, How, Len, Op, Pass, Query, SLOTS, Seek, Setting, Setup, Sink, Wait,
};
use crate::ring::{Control, Endpoint, NAME, OTHER};
use crate::sys::{self, Fd};

/// A step moves about this much at most: more would only take longer.
const MOST: i64 = 192 << 10;

/// What the programs of one process share.
pub struct Machine {
    pub log: &'static Log,
    pub control: Control,
    pub page: usize,
    /// For each actor, a region for buffers, and one whose pages come late.
    pub regions: [[Region; 2]; WRITERS],
    pub traces: Vec<Trace>,
}

/// What the actors of one program share.
pub struct Stage {
    pub machine: &'static Machine,
    pub setup: Setup,
    pub slots: [Mutex<Option<Arc<Endpoint>>>; SLOTS],
    /// Nothing runs at once.
    pub solo: bool,
    /// Signals come that the coordinator has not sent.
    pub signals: bool,
    /// Buffers may become inaccessible during a call.
    pub disturbed: bool,
    /// Whether an endpoint may wait can change during a call.
    pub changes_flags: bool,
}

impl Stage {
    pub fn get(&self, slot: u8) -> Option<Arc<Endpoint>> {
        self.slots[usize::from(slot) % SLOTS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn put(&self, slot: u8, endpoint: Option<Arc<Endpoint>>) -> Option<Arc<Endpoint>> {
        let slot = &self.slots[usize::from(slot) % SLOTS];
        std::mem::replace(
            &mut slot.lock().unwrap_or_else(PoisonError::into_inner),
            endpoint,
        )
    }

    /// Returns what can be seen of the ring and its endpoints.
    pub fn observe(&self, after: usize) -> Observation {
        let at = self.machine.log.tick();
        let endpoints: Vec<_> = (0..SLOTS as u8).filter_map(|slot| self.get(slot)).collect();
        let ring = self
            .machine
            .control
            .ring()
            .or_else(|| endpoints.iter().find_map(|endpoint| endpoint.info()))
            .unwrap_or_default();
        let endpoints = endpoints.iter().map(|endpoint| endpoint.state()).collect();
        Observation {
            after,
            at,
            ring,
            endpoints,
        }
    }
}

/// One actor.
pub struct Actor<'a> {
    pub stage: &'a Stage,
    pub who: usize,
    log: &'static Log,
    mine: &'static ActorLog,
    uring: Option<IoUring>,
    pipe: Option<(Fd, Fd)>,
    fail_nth: Option<File>,
    kicks_before: u64,
    /// In a program without concurrency, what was seen after each call.
    pub observations: Vec<Observation>,
}

/// A call whose buffer is ready. Whether the call is made or not, the next one can have any buffer.
struct Prepared<'a> {
    region: &'a Region,
    place: Place,
    len: usize,
    buffer: Buffer,
    flags: Flags,
    mapped: usize,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        self.region.release(self.buffer);
    }
}

impl<'a> Actor<'a> {
    pub fn new(stage: &'a Stage, who: usize) -> Self {
        let log = stage.machine.log;
        Self {
            stage,
            who,
            log,
            mine: &log.actors[who],
            uring: None,
            pipe: None,
            fail_nth: None,
            kicks_before: log.actors[who].kicks.load(SeqCst),
            observations: Vec::new(),
        }
    }

    /// Runs steps as the calling thread.
    pub fn run(&mut self, steps: &[Op]) {
        self.mine.pid.store(sys::getpid(), SeqCst);
        self.mine.tid.store(sys::gettid(), SeqCst);
        let injects = self.stage.setup.fail_nth > 0
            && (self.stage.solo || self.who == self.stage.setup.actors);
        if injects {
            self.fail_nth = File::options()
                .write(true)
                .open("/proc/thread-self/fail-nth")
                .ok();
        }
        let trace = self.stage.machine.traces.get(self.who);
        if let Some(trace) = trace {
            trace.start();
        }
        self.observe();
        for step in steps {
            self.step(*step);
        }
        if let Some(trace) = trace {
            trace.stop();
        }
        self.uring = None;
        if let Some((reader, writer)) = self.pipe.take() {
            sys::close(reader);
            sys::close(writer);
        }
        self.mine.tid.store(0, SeqCst);
        self.mine.done.store(true, SeqCst);
    }

    fn observe(&mut self) {
        if self.stage.solo {
            self.observations
                .push(self.stage.observe(self.mine.count()));
        }
    }

    /// Has the next failure point of this thread that is counted fail, in a call that does not wait.
    ///
    /// Signals are blocked meanwhile: their frames are copied as well, and a process whose frame
    /// cannot be copied ends. So what waits, and may have to be interrupted, is left alone.
    fn inject(&self, waits: bool) {
        if let (Some(file), false) = (&self.fail_nth, waits) {
            sys::block_signals(true);
            let _ = file.write_at(self.stage.setup.fail_nth.to_string().as_bytes(), 0);
        }
    }

    fn end_injection(&self) {
        // Writing is a system call with a failure point of its own, which fails at most once.
        if let Some(file) = &self.fail_nth {
            let _ = file.write_at(b"0", 0).or_else(|_| file.write_at(b"0", 0));
            sys::block_signals(false);
        }
    }

    /// Makes a call that moves no data, notes it, and returns its result.
    fn noted(&mut self, call: Call, endpoint: u8, len: u64, make: impl FnOnce() -> i64) -> i64 {
        let flags = self.common_flags();
        let Some(open) = self.mine.begin(self.log, call, endpoint, flags, len, 0) else {
            return -i64::from(libc::ENOSPC);
        };
        self.inject(false);
        let result = make();
        self.end_injection();
        self.mine.end(self.log, open, result, Flags::default(), &[]);
        self.observe();
        result
    }

    fn common_flags(&self) -> Flags {
        let mut flags = Flags::default();
        flags.set(Flags::INJECTED, self.fail_nth.is_some());
        flags.set(Flags::SIGNALS, self.stage.signals);
        flags
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Open {
                slot,
                access,
                nonblock,
            } => self.open(slot, access, nonblock),
            Op::Close { slot } => {
                if let Some(endpoint) = self.stage.put(slot, None) {
                    let id = endpoint.id;
                    self.noted(Call::Close, id, 0, || {
                        drop(endpoint);
                        0
                    });
                }
            }
            Op::Module { insert } => self.module(insert),
            Op::Pause { us } => thread::sleep(Duration::from_micros(us.into())),
            Op::Clear => {
                let control = &self.stage.machine.control;
                self.noted(Call::Clear, NO_ENDPOINT, 0, || control.clear());
            }
            Op::Destroy => {
                let control = &self.stage.machine.control;
                self.noted(Call::Destroy, NO_ENDPOINT, 0, || control.destroy(NAME));
            }
            Op::Resize { pages } => {
                let machine = self.stage.machine;
                let capacity = machine.page as u64 * u64::from(pages);
                self.noted(Call::Resize, NO_ENDPOINT, capacity, || {
                    machine.control.resize(capacity)
                });
            }
            Op::Signal { actor, restart } => {
                let signal = if restart {
                    libc::SIGUSR1
                } else {
                    libc::SIGUSR2
                };
                self.signal(actor, signal);
            }
            Op::Kill { actor } => {
                let target = &self.log.actors[usize::from(actor) % WRITERS];
                let pid = target.pid.load(SeqCst);
                // Only what was forked for this program.
                if usize::from(actor) != self.who
                    && self.stage.setup.is_process(actor.into())
                    && pid > 1
                {
                    sys::kill(pid, libc::SIGKILL);
                }
            }
            Op::Disturb {
                actor,
                page,
                disturb,
            } => {
                let [region, _] = &self.stage.machine.regions[usize::from(actor) % WRITERS];
                region.disturb(page.into(), disturb);
                if disturb == Disturb::Protect {
                    thread::yield_now();
                }
            }
            Op::Ioctl {
                slot,
                command,
                size,
                at,
                value,
                short,
            } => {
                self.nearly_valid(slot, command, size, at, value, short);
            }
            op => {
                if let Some(endpoint) = op.slot().and_then(|slot| self.stage.get(slot)) {
                    self.on_endpoint(op, &endpoint);
                }
            }
        }
    }

    fn signal(&self, actor: u8, signal: i32) {
        let target = &self.log.actors[usize::from(actor) % WRITERS];
        let (pid, tid) = (target.pid.load(SeqCst), target.tid.load(SeqCst));
        if pid > 1 && tid > 1 {
            sys::tgkill(pid, tid, signal);
        }
    }

    fn open(&mut self, slot: u8, access: Access, nonblock: bool) {
        if self.stage.get(slot).is_some() {
            self.step(Op::Close { slot });
        }
        let flags = self.common_flags();
        let Some(open) = self
            .mine
            .begin(self.log, Call::Open, NO_ENDPOINT, flags, 0, 0)
        else {
            return;
        };
        self.inject(false);
        let opened = Endpoint::open(self.log, self.who, access, nonblock);
        self.end_injection();
        let result = match opened {
            Some(Ok(endpoint)) => {
                endpoint.learn_cursor();
                let other = self.stage.put(slot, Some(Arc::new(endpoint)));
                // Another actor may have opened one there meanwhile.
                drop(other);
                0
            }
            Some(Err(error)) => error,
            None => -i64::from(libc::EMFILE),
        };
        self.mine.end(self.log, open, result, Flags::default(), &[]);
        self.observe();
    }

    fn module(&mut self, insert: bool) {
        // The control device is open, so neither can succeed.
        let answer = if insert {
            match File::open("/lib/ringdev.ko") {
                Ok(file) => sys::insert_module(file.as_raw_fd()),
                Err(_) => return,
            }
        } else {
            sys::delete_module(c"ringdev")
        };
        assert!(
            answer < 0,
            "the module was loaded or unloaded while it was in use"
        );
    }

    fn on_endpoint(&mut self, op: Op, endpoint: &Endpoint) {
        match op {
            Op::Write {
                len,
                how,
                buffer,
                times,
                ..
            } => {
                let mut moved = 0;
                for time in 0..times {
                    match self.write(endpoint, len, how, buffer, time) {
                        bytes if bytes > 0 && moved < MOST => moved += bytes,
                        _ => return,
                    }
                }
            }
            Op::Read {
                len,
                how,
                buffer,
                times,
                ..
            } => {
                let mut moved = 0;
                for time in 0..times {
                    match self.read(endpoint, len, how, buffer, time) {
                        bytes if bytes > 0 && (moved < MOST || len.is_readable()) => moved += bytes,
                        _ => return,
                    }
                }
            }
            Op::SendOut { len, sink, .. } => self.send_out(endpoint, len, sink),
            Op::Wait { wait, write, .. } => self.wait(endpoint, wait, write),
            Op::Set { setting, .. } => self.set(endpoint, setting),
            Op::Seek { to, .. } => {
                let (offset, whence) = match to {
                    Seek::Oldest => (0, libc::SEEK_SET),
                    Seek::Newest => (0, libc::SEEK_END),
                    Seek::Current => (0, libc::SEEK_CUR),
                    Seek::Middle => (1, libc::SEEK_SET),
                };
                let fd = endpoint.fd;
                self.noted(Call::Seek, endpoint.id, 0, || {
                    sys::lseek(fd, offset, whence)
                });
            }
            // Other actors that read here would not know.
            Op::Headers { on, .. } if self.stage.solo || self.who == 0 => {
                self.noted(Call::Other, endpoint.id, 0, || endpoint.set_headers(on));
            }
            Op::Watermark {
                bytes, delay_us, ..
            } => {
                let bytes = bytes.bytes(self.capacity(), self.stage.machine.page, LONGEST) as u64;
                let delay = u64::from(delay_us) * 1_000;
                self.noted(Call::Other, endpoint.id, 0, || {
                    endpoint.set_watermark(bytes, delay)
                });
            }
            Op::Query { query, .. } => self.query(endpoint, query),
            Op::Evict { .. } => {
                let cursor = endpoint.cursor.load(Relaxed);
                let control = &self.stage.machine.control;
                self.noted(Call::Evict, endpoint.id, 0, || control.evict(cursor));
            }
            Op::Pass { pass, .. } => {
                let fd = endpoint.fd;
                // A child that another actor forks would keep endpoints open behind the account.
                let pass = if self.stage.solo { pass } else { Pass::Dup };
                self.noted(Call::Other, endpoint.id, 0, || match pass {
                    Pass::Dup => {
                        let copy = sys::dup(fd);
                        if copy >= 0 {
                            sys::close(copy as Fd)
                        } else {
                            copy
                        }
                    }
                    Pass::Scm => sys::pass_descriptor(fd, true),
                    Pass::ScmInFlight => sys::pass_descriptor(fd, false),
                    Pass::ForkAndExit => match sys::fork() {
                        0 => sys::exit_now(0),
                        child if child > 0 => sys::wait(child as i32, true).0,
                        error => error,
                    },
                });
            }
            _ => {}
        }
    }

    fn capacity(&self) -> usize {
        self.stage.machine.page * self.stage.setup.pages
    }

    /// Chooses a buffer and what the oracle has to know of the call.
    fn prepare(
        &self,
        endpoint: &Endpoint,
        len: Len,
        buffer: Buffer,
        cut: u8,
        writing: bool,
    ) -> Prepared<'a> {
        let machine = self.stage.machine;
        // A record that was written can be read, with its header.
        let longest = if writing { LONGEST / 2 } else { LONGEST };
        let bytes = if len.is_readable() {
            // And a little more, so that the end shows.
            (sys::next_read(endpoint.fd) as usize + 64).min(longest)
        } else {
            len.bytes(self.capacity(), machine.page, longest)
        };
        let late = buffer == Buffer::Late && !self.stage.setup.is_process(self.who);
        let region = &machine.regions[self.who][usize::from(late)];
        // At first in the middle of what there is to move, then elsewhere.
        let there = match buffer {
            Buffer::Cut if !writing => machine.control.ring().map_or(0, |ring| ring.unread),
            _ => 0,
        };
        let moved = usize::try_from(there).unwrap_or(bytes).min(bytes);
        let middle = if moved > 0 { moved / 2 } else { bytes / 2 };
        let cut = usize::from(cut) * 97 + middle;
        let place = region.place(buffer, bytes, cut, writing);
        let disturbed = self.stage.disturbed && !late;
        let mut flags = self.common_flags();
        let waits = !endpoint.nonblock.load(Relaxed);
        flags.set(Flags::NONBLOCK, !waits || self.stage.changes_flags);
        flags.set(Flags::CHANGING, self.stage.changes_flags);
        flags.set(Flags::SOUND, place.mapped == bytes && !disturbed);
        let mapped = if disturbed { 0 } else { place.mapped };
        Prepared {
            region,
            place,
            len: bytes,
            buffer,
            flags,
            mapped,
        }
    }

    /// Notes what a call that may wait is waiting for. The coordinator looks.
    fn waits_for(&self, waiting: Waiting, fd: Fd, flags: Flags) {
        if !flags.has(Flags::NONBLOCK) || self.stage.changes_flags {
            self.mine.wait(waiting, fd);
        }
    }

    /// Whether the coordinator has interrupted this call, or the one before it just now.
    fn was_kicked(&mut self) -> Flags {
        let now = self.mine.kicks.load(SeqCst);
        let mut flags = Flags::default();
        flags.set(Flags::SIGNALS, now != self.kicks_before);
        flags
    }

    fn write(&mut self, endpoint: &Endpoint, len: Len, how: How, buffer: Buffer, cut: u8) -> i64 {
        let machine = self.stage.machine;
        let mut call = self.prepare(endpoint, len, buffer, cut, true);
        if matches!(how, How::Splice | How::Splice2 | How::SendFile) {
            call.len = call.len.min(32 << 10);
        }
        let record = self.stage.setup.kind.is_record();
        let sent = self.mine.sent.load(Relaxed);
        let bytes = call.region.bytes(call.place, call.len);
        bytes.copy_from_slice(payload(self.who, sent, bytes.len()));
        call.flags.set(
            Flags::DIRECT,
            matches!(how, How::Plain | How::Plain2 | How::Vector | How::NoWait),
        );
        call.flags.set(Flags::NONBLOCK, how == How::NoWait);
        if buffer == Buffer::Zapped || buffer == Buffer::Late {
            sys::zap(call.place.address & !(machine.page - 1), call.len);
        }
        let pipe = matches!(how, How::Splice | How::Splice2)
            .then(|| self.pipe())
            .flatten();
        let loaded = pipe.map(|(_, end)| {
            if how == How::Splice {
                // The mirror of the buffer is always there; a pipe takes less than it has room for.
                let bytes = call.region.bytes(call.place, call.len);
                sys::write(end, bytes.as_ptr() as usize, bytes.len())
            } else {
                sys::vmsplice(end, call.place.address, call.len)
            }
        });
        if let Some(loaded) = loaded {
            call.len = usize::try_from(loaded).unwrap_or(0);
            if call.len == 0 {
                return 0;
            }
        }
        let (address, bytes, fd) = (call.place.address, call.len, endpoint.fd);
        let begun = self.mine.begin(
            self.log,
            Call::Write,
            endpoint.id,
            call.flags,
            bytes as u64,
            call.mapped as u64,
        );
        let Some(open) = begun else {
            self.empty_pipe();
            return 0;
        };
        self.waits_for(Waiting::ToWrite, fd, call.flags);
        self.inject(self.stage.changes_flags || !call.flags.has(Flags::NONBLOCK));
        let result = match how {
            How::Plain | How::Plain2 => sys::write(fd, address, bytes),
            How::Vector => sys::writev(fd, address, bytes),
            How::NoWait => sys::pwritev2_nowait(fd, address, bytes),
            How::Uring => {
                let entry = opcode::Write::new(types::Fd(fd), address as *const u8, bytes as u32);
                self.in_uring(entry.offset(u64::MAX).build())
            }
            How::Splice | How::Splice2 => match pipe {
                Some((end, _)) => sys::splice(end, fd, bytes, 0),
                None => -i64::from(libc::EINVAL),
            },
            How::SendFile => {
                sys::sendfile_at(fd, call.region.file, Region::file_offset(call.place), bytes)
            }
        };
        self.end_injection();
        self.mine.wait_ended();
        let kicked = self.was_kicked();
        self.mine.end(self.log, open, result, kicked, &[]);
        self.kicks_before = self.mine.kicks.load(SeqCst);
        if result > 0 {
            let more = if record { 1 } else { result as u64 };
            self.mine.sent.fetch_add(more, Relaxed);
        }
        self.empty_pipe();
        self.observe();
        result
    }

    fn read(&mut self, endpoint: &Endpoint, len: Len, how: How, buffer: Buffer, cut: u8) -> i64 {
        let mut call = self.prepare(endpoint, len, buffer, cut, false);
        let headers = self.stage.setup.kind.is_record() && endpoint.headers.load(Relaxed);
        let through_pipe = matches!(how, How::Splice | How::Splice2 | How::SendFile);
        if through_pipe {
            call.len = call.len.min(32 << 10);
        }
        call.region.bytes(call.place, call.len).fill(BLANK);
        if matches!(buffer, Buffer::Zapped | Buffer::Late) {
            let machine = self.stage.machine;
            sys::zap(call.place.address & !(machine.page - 1), call.len);
        }
        call.flags.set(Flags::HEADERS, headers);
        call.flags.set(Flags::JOINED, through_pipe);
        call.flags
            .set(Flags::DIRECT, !through_pipe && how != How::Uring);
        call.flags.set(Flags::NONBLOCK, how == How::NoWait);
        let (address, bytes, fd) = (call.place.address, call.len, endpoint.fd);
        let pipe = if through_pipe { self.pipe() } else { None };
        let begun = self.mine.begin(
            self.log,
            Call::Read,
            endpoint.id,
            call.flags,
            bytes as u64,
            call.mapped as u64,
        );
        let Some(open) = begun else {
            return 0;
        };
        self.waits_for(Waiting::ToRead, fd, call.flags);
        self.inject(self.stage.changes_flags || !call.flags.has(Flags::NONBLOCK));
        let result = match how {
            How::Plain | How::Plain2 => sys::read(fd, address, bytes),
            How::Vector => sys::readv(fd, address, bytes),
            How::NoWait => sys::preadv2_nowait(fd, address, bytes),
            How::Uring => {
                let entry = opcode::Read::new(types::Fd(fd), address as *mut u8, bytes as u32);
                self.in_uring(entry.offset(u64::MAX).build())
            }
            How::Splice | How::Splice2 | How::SendFile => match pipe {
                Some((_, end)) if how == How::SendFile => sys::sendfile(end, fd, bytes),
                Some((_, end)) => sys::splice(fd, end, bytes, 0),
                None => -i64::from(libc::EINVAL),
            },
        };
        self.end_injection();
        self.mine.wait_ended();
        let mut more = self.was_kicked();
        let received = usize::try_from(result).unwrap_or(0).min(bytes);
        let place = call.place;
        if through_pipe {
            // What arrived in the pipe, whatever the call says.
            let place = call.region.place(Buffer::Present, bytes, 0, true);
            let arrived = pipe.map_or(0, |(end, _)| {
                let count = sys::available(end).min(bytes);
                let to = call.region.bytes(place, bytes).as_ptr() as usize;
                if count > 0 {
                    sys::read(end, to, count)
                } else {
                    0
                }
            });
            let arrived = usize::try_from(arrived).unwrap_or(0);
            self.mine.end(
                self.log,
                open,
                result,
                more,
                &call.region.bytes(place, bytes)[..arrived],
            );
            self.empty_pipe();
        } else {
            let buffer = &call.region.bytes(place, bytes)[..];
            more.set(
                Flags::TOUCHED,
                self.touched(&call, &buffer[received.min(buffer.len())..]),
            );
            self.mine.end(
                self.log,
                open,
                result,
                more,
                &buffer[..received.min(buffer.len())],
            );
        }
        self.kicks_before = self.mine.kicks.load(SeqCst);
        self.observe();
        result
    }

    /// Says whether a read changed bytes behind its result in a way that cannot be explained. A copy
    /// that was repeated, because a page was missing or the data were overwritten, may leave data
    /// there; nothing else may.
    fn touched(&self, call: &Prepared<'_>, rest: &[u8]) -> bool {
        if !call.flags.has(Flags::SOUND) || call.flags.has(Flags::INJECTED) {
            return false;
        }
        if self.stage.solo {
            return rest.iter().any(|byte| *byte != BLANK);
        }
        !call.flags.has(Flags::HEADERS)
            && rest
                .iter()
                .any(|byte| *byte != BLANK && origin(*byte).is_none())
    }

    fn send_out(&mut self, endpoint: &Endpoint, len: Len, sink: Sink) {
        let call = self.prepare(endpoint, len, Buffer::Present, 0, false);
        let bytes = call.len.min(32 << 10);
        let (sink_fd, filled) = match sink {
            Sink::Full => (sys::open("/dev/full", libc::O_WRONLY), 0),
            Sink::Null => (sys::open("/dev/null", libc::O_WRONLY), 0),
            Sink::Pipe | Sink::CrampedPipe => {
                let Some((_, end)) = self.pipe() else { return };
                let mut filled = 0;
                if sink == Sink::CrampedPipe {
                    sys::fcntl(end, libc::F_SETPIPE_SZ, 2 * self.stage.machine.page as i32);
                    let page = self.stage.machine.page;
                    let from = call.region.bytes(call.place, page);
                    from.fill(BLANK);
                    filled =
                        usize::try_from(sys::write(end, from.as_ptr() as usize, page)).unwrap_or(0);
                }
                sys::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK);
                (i64::from(end), filled)
            }
        };
        let Ok(sink_fd) = Fd::try_from(sink_fd) else {
            return;
        };
        let mut flags = call.flags;
        let unseen = matches!(sink, Sink::Full | Sink::Null);
        flags.set(Flags::UNSEEN, unseen);
        flags.set(Flags::JOINED, true);
        flags.set(Flags::HEADERS, endpoint.headers.load(Relaxed));
        let begun = self.mine.begin(
            self.log,
            Call::Read,
            endpoint.id,
            flags,
            bytes as u64,
            call.mapped as u64,
        );
        if let Some(open) = begun {
            self.waits_for(Waiting::ToRead, endpoint.fd, flags);
            let result = sys::sendfile(sink_fd, endpoint.fd, bytes);
            self.mine.wait_ended();
            let kicked = self.was_kicked();
            let mut arrived = 0;
            if let (false, Some((end, _))) = (unseen, self.pipe) {
                let to = call.region.bytes(call.place, LONGEST).as_ptr() as usize;
                let count = sys::available(end).min(LONGEST);
                if count > 0 {
                    arrived = usize::try_from(sys::read(end, to, count)).unwrap_or(0);
                }
            }
            let data = &call.region.bytes(call.place, LONGEST)[filled.min(arrived)..arrived];
            self.mine.end(self.log, open, result, kicked, data);
            self.kicks_before = self.mine.kicks.load(SeqCst);
        }
        if unseen {
            sys::close(sink_fd);
        } else if let Some((reader, writer)) = self.pipe.take() {
            // Its flags and its size are not as usual.
            sys::close(reader);
            sys::close(writer);
        }
        self.observe();
    }

    /// Returns an empty pipe.
    fn pipe(&mut self) -> Option<(Fd, Fd)> {
        if self.pipe.is_none() {
            self.pipe = sys::pipe().ok();
        }
        self.pipe
    }

    fn empty_pipe(&mut self) {
        if let Some((end, _)) = self.pipe {
            let region = &self.stage.machine.regions[self.who][0];
            let place = region.place(Buffer::Present, 0, 0, false);
            loop {
                let count = sys::available(end).min(LONGEST);
                let to = region.bytes(place, LONGEST).as_ptr() as usize;
                if count == 0 || sys::read(end, to, count) <= 0 {
                    return;
                }
            }
        }
    }

    /// Has io_uring make a call. One that does not complete soon is cancelled.
    fn in_uring(&mut self, entry: squeue::Entry) -> i64 {
        const OURS: u64 = 1;
        const CANCEL: u64 = 2;
        if self.uring.is_none() {
            self.uring = IoUring::new(4).ok();
        }
        let Some(uring) = &mut self.uring else {
            return -i64::from(libc::EAGAIN);
        };
        // SAFETY: The buffer belongs to a region, which is never unmapped, and is left alone until
        // the completion is there.
        let pushed = unsafe { uring.submission().push(&entry.user_data(OURS)) };
        if pushed.is_err() {
            return -i64::from(libc::EAGAIN);
        }
        let timeout = types::Timespec::new().nsec(3_000_000);
        let arguments = types::SubmitArgs::new().timespec(&timeout);
        let _ = uring.submitter().submit_with_args(1, &arguments);
        let mut cancelled = false;
        loop {
            let mut answer = None;
            for completion in uring.completion() {
                if completion.user_data() == OURS {
                    answer = Some(i64::from(completion.result()));
                }
            }
            if let Some(answer) = answer {
                return answer;
            }
            if !cancelled {
                let cancel = opcode::AsyncCancel::new(OURS).build().user_data(CANCEL);
                // SAFETY: It has no buffer.
                let _ = unsafe { uring.submission().push(&cancel) };
                cancelled = true;
            }
            let arguments = types::SubmitArgs::new().timespec(&timeout);
            let _ = uring.submitter().submit_with_args(1, &arguments);
        }
    }

    fn wait(&mut self, endpoint: &Endpoint, wait: Wait, write: bool) {
        let fd = endpoint.fd;
        let events = if write {
            libc::POLLOUT
        } else {
            libc::POLLIN | libc::POLLPRI
        };
        let waiting = if write {
            Waiting::PollWrite
        } else {
            Waiting::PollRead
        };
        match wait {
            Wait::Poll => {
                sys::poll(fd, events, 2);
            }
            Wait::Select => {
                sys::select(fd, write, 2_000);
            }
            Wait::Forever => {
                self.mine.wait(waiting, fd);
                sys::poll(fd, events, -1);
                self.mine.wait_ended();
            }
            Wait::Uring => {
                let entry = opcode::PollAdd::new(types::Fd(fd), events as u32).build();
                self.in_uring(entry);
            }
            _ => {
                let more = match wait {
                    Wait::EpollEdge => libc::EPOLLET as u32,
                    Wait::EpollExclusive => libc::EPOLLEXCLUSIVE as u32,
                    _ => 0,
                };
                let epoll = sys::epoll_create();
                let Ok(epoll) = Fd::try_from(epoll) else {
                    return;
                };
                sys::epoll_add(epoll, fd, events as u32 & !(libc::EPOLLPRI as u32) | more);
                let outer = if wait == Wait::EpollNested {
                    sys::epoll_create()
                } else {
                    -1
                };
                if outer >= 0 {
                    sys::epoll_add(outer as Fd, epoll, (libc::EPOLLIN | libc::EPOLLET) as u32);
                    sys::epoll_wait(outer as Fd, 2);
                    sys::close(outer as Fd);
                }
                if wait == Wait::EpollLevel {
                    self.mine.wait(waiting, fd);
                    sys::epoll_wait(epoll, -1);
                    self.mine.wait_ended();
                } else {
                    sys::epoll_wait(epoll, 2);
                    sys::epoll_wait(epoll, 0);
                }
                sys::close(epoll);
            }
        }
    }

    fn set(&mut self, endpoint: &Endpoint, setting: Setting) {
        let fd = endpoint.fd;
        let flags = sys::fcntl(fd, libc::F_GETFL, 0) as i32;
        let answer = match setting {
            Setting::Block => sys::fcntl(fd, libc::F_SETFL, flags & !libc::O_NONBLOCK),
            Setting::NonBlock => sys::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK),
            Setting::Async => {
                sys::set_owner(fd, sys::getpid());
                sys::fcntl(fd, libc::F_SETFL, flags | libc::O_ASYNC)
            }
            Setting::NotAsync => sys::fcntl(fd, libc::F_SETFL, flags & !libc::O_ASYNC),
            Setting::Owner => sys::set_owner(fd, -sys::getpid()),
            Setting::Signal => sys::fcntl(fd, 10, libc::SIGUSR1),
        };
        if answer == 0 && matches!(setting, Setting::Block | Setting::NonBlock) {
            endpoint
                .nonblock
                .store(setting == Setting::NonBlock, Relaxed);
        }
    }

    fn query(&mut self, endpoint: &Endpoint, query: Query) {
        let control = &self.stage.machine.control;
        match query {
            Query::Unread => {
                sys::next_read(endpoint.fd);
            }
            Query::Info => {
                endpoint.info();
            }
            Query::Cursor => endpoint.learn_cursor(),
            Query::FdInfo => {
                let _ = fs::read(format!("/proc/self/fdinfo/{}", endpoint.fd));
            }
            Query::Next => {
                control.ring();
            }
            Query::NextCursor => {
                let mut id = 0;
                while let Some(cursor) = control.next_cursor(id) {
                    id = cursor.id + 1;
                }
            }
            Query::ReadOnly => {
                let refuses = Control::refuses_changes_to_readers();
                assert!(refuses, "a change by somebody who may only read");
            }
            Query::OtherUser => {
                let answer = control.create_too_much(self.stage.setup.kind);
                let errno = i32::try_from(-answer).unwrap_or(0);
                // Another actor may be creating one of that name.
                let refused = [libc::EDQUOT, libc::EEXIST].contains(&errno);
                assert!(refused, "a user exceeds its limit: {answer}");
            }
            Query::DebugFs => {
                let _ = fs::read("/sys/kernel/debug/ringdev/fuzz");
            }
        }
    }

    fn nearly_valid(&mut self, slot: u8, command: u8, size: i8, at: u8, value: u8, short: bool) {
        let machine = self.stage.machine;
        let command = abi::COMMANDS[usize::from(command) % abi::COMMANDS.len()];
        let endpoint = self.stage.get(slot);
        let to_control = command & 0xf8 == 0x90 || endpoint.is_none();
        let mut bytes = [0_u8; 512];
        let length = valid(command, self.stage.setup, machine.page, &mut bytes);
        // Mostly the structure as it is.
        let size = (length as i64 + i64::from(size)).max(0) as u32;
        bytes[..4].copy_from_slice(&size.to_ne_bytes());
        // One byte in some of them: of the flags, or any.
        let within = if at < 32 { 4 } else { length - 4 };
        if at < 128 && length >= 8 {
            bytes[4 + usize::from(at) % within] = value;
        }
        let region = &machine.regions[self.who][0];
        let buffer = if short { Buffer::Cut } else { Buffer::Present };
        let place = region.place(buffer, bytes.len(), 8, true);
        region
            .bytes(place, bytes.len())
            .copy_from_slice(&bytes[..bytes.len()]);
        let fd = match &endpoint {
            Some(endpoint) if !to_control => endpoint.fd,
            _ => machine.control.0,
        };
        let (call, id) = match (command, &endpoint) {
            (abi::DESTROY, _) => (Call::Destroy, NO_ENDPOINT),
            (abi::CLEAR, _) => (Call::Clear, NO_ENDPOINT),
            (abi::RESIZE, _) => (Call::Resize, NO_ENDPOINT),
            (abi::EVICT, _) => (Call::Evict, NO_ENDPOINT),
            (_, Some(endpoint)) => (Call::Other, endpoint.id),
            _ => (Call::Other, NO_ENDPOINT),
        };
        if command == abi::READ_MODE && !(self.stage.solo || self.who == 0) {
            return;
        }
        let capacity = u64::from_ne_bytes(bytes[8..16].try_into().unwrap_or_default());
        let address = place.address;
        let answer = self.noted(call, id, capacity, || sys::ioctl_at(fd, command, address));
        if let (abi::READ_MODE, 0, Some(endpoint)) = (command, answer, &endpoint) {
            let flags = if size >= 8 { bytes[4] } else { 0 };
            endpoint.headers.store(flags & 1 != 0, Relaxed);
        }
        if command == abi::CREATE && answer == 0 {
            // Its name may be any: only the ring of this program is to be left.
            let mut id = 0;
            while let Some(info) = machine.control.next(id) {
                id = info.id + 1;
                let end = info.name.iter().position(|byte| *byte == 0).unwrap_or(0);
                match std::str::from_utf8(&info.name[..end]) {
                    Ok(NAME) | Err(_) => {}
                    Ok(name) => {
                        machine.control.destroy(name);
                    }
                }
            }
        }
    }
}

impl Op {
    fn slot(self) -> Option<u8> {
        Some(match self {
            Self::Write { slot, .. }
            | Self::Read { slot, .. }
            | Self::SendOut { slot, .. }
            | Self::Wait { slot, .. }
            | Self::Set { slot, .. }
            | Self::Seek { slot, .. }
            | Self::Headers { slot, .. }
            | Self::Watermark { slot, .. }
            | Self::Query { slot, .. }
            | Self::Evict { slot }
            | Self::Pass { slot, .. } => slot,
            _ => return None,
        })
    }
}

/// Writes the structure of a command as it should be. Returns its length.
fn valid(command: u32, setup: Setup, page: usize, bytes: &mut [u8; 512]) -> usize {
    fn put<T: abi::Structure>(value: &T, bytes: &mut [u8; 512]) -> usize {
        let len = size_of::<T>().min(bytes.len());
        // SAFETY: The structures are plain data without padding.
        let from = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), len) };
        bytes[..len].copy_from_slice(from);
        len
    }
    let name = abi::name(NAME);
    let capacity = (page * setup.pages) as u64;
    match command {
        abi::CREATE => put(&Control::request(setup.kind, capacity, OTHER), bytes),
        abi::DESTROY | abi::CLEAR => put(
            &abi::OfName {
                name,
                ..Default::default()
            },
            bytes,
        ),
        abi::NEXT | abi::INFO => put(&abi::Info::default(), bytes),
        abi::RESIZE => put(
            &abi::Resize {
                capacity,
                name,
                ..Default::default()
            },
            bytes,
        ),
        // A cursor that never is.
        abi::EVICT => put(
            &abi::Evict {
                cursor: u64::MAX,
                name,
                ..Default::default()
            },
            bytes,
        ),
        abi::NEXT_CURSOR => put(
            &abi::Cursor {
                name,
                ..Default::default()
            },
            bytes,
        ),
        abi::CURSOR => put(&abi::Cursor::default(), bytes),
        abi::WATERMARK => put(&abi::Watermark::default(), bytes),
        _ => put(&abi::ReadMode::default(), bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_made_leaves_its_buffer_to_the_next_one() {
        let page = sys::page_size();
        let region = Region::new(page).expect("memory");
        let place = region.place(Buffer::ReadOnly, page, 0, false);
        drop(Prepared {
            region: &region,
            place,
            len: page,
            buffer: Buffer::ReadOnly,
            flags: Flags::default(),
            mapped: 0,
        });
        let zeros = sys::open("/dev/zero", libc::O_RDONLY) as Fd;
        assert_eq!(sys::read(zeros, place.address, page), page as i64);
        sys::close(zeros);
    }
}
