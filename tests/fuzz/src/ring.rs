// SPDX-License-Identifier: GPL-2.0

//! The ring that a program is about, and its endpoints.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::abi::{self, Create, Cursor, Evict, Info, OfName, ReadMode, Resize, Watermark};
use crate::history::{CursorState, EndpointId, EndpointState, RingState};
use crate::log::Log;
use crate::program::{Access, Delivery, Framing, Full, Kind};
use crate::sys::{self, Fd};

pub const CONTROL: &str = "/dev/ring/control";

/// The ring. Programs know it by its name alone.
pub const NAME: &str = "fuzz";

/// A second one, for what may create it.
pub const OTHER: &str = "fuzz-other";

/// The parameter `max_user_bytes` of the module (scripts/lab/fuzz.py), and a user for whom it holds.
const MAX_USER_BYTES: u64 = 1 << 20;
const USER: libc::uid_t = 65_534;

/// The control device, open for everything.
pub struct Control(pub Fd);

impl Control {
    pub fn open() -> Result<Self, i64> {
        match sys::open(CONTROL, libc::O_RDWR) {
            fd if fd >= 0 => Ok(Self(fd as Fd)),
            error => Err(error),
        }
    }

    pub fn request(kind: Kind, capacity: u64, name: &str) -> Create {
        Create {
            flags: if kind.hangup { abi::HANGUP } else { 0 },
            capacity,
            framing: u32::from(kind.framing == Framing::Record),
            full: match kind.full {
                Full::Block => 0,
                Full::Drop => 1,
                Full::Overwrite => 2,
            },
            delivery: u32::from(kind.delivery == Delivery::Broadcast),
            mode: 0o600,
            name: abi::name(name),
            ..Default::default()
        }
    }

    pub fn create(&self, kind: Kind, capacity: u64) -> i64 {
        sys::ioctl(
            self.0,
            abi::CREATE,
            &mut Self::request(kind, capacity, NAME),
        )
    }

    /// Opens the control device for reading alone and asks for changes, which it must refuse.
    /// Returns whether it did.
    pub fn refuses_changes_to_readers() -> bool {
        let Ok(fd) = Fd::try_from(sys::open(CONTROL, libc::O_RDONLY)) else {
            return true;
        };
        if fd < 0 {
            return true;
        }
        let reader = Self(fd);
        let answers = [
            reader.destroy(NAME),
            reader.clear(),
            reader.resize(0),
            reader.evict(0),
        ];
        sys::close(fd);
        answers
            .iter()
            .all(|answer| *answer == -i64::from(libc::EBADF))
    }

    /// Creates another ring as a user who may not have that much. Returns the answer.
    pub fn create_too_much(&self, kind: Kind) -> i64 {
        let user = sys::act_for(USER);
        if user < 0 {
            return -i64::from(libc::EDQUOT);
        }
        let mut asked = Self::request(kind, 2 * MAX_USER_BYTES, OTHER);
        let answer = sys::ioctl(self.0, abi::CREATE, &mut asked);
        sys::act_for(0);
        answer
    }

    fn named(&self, command: u32, name: &str) -> i64 {
        let mut asked = OfName {
            name: abi::name(name),
            ..Default::default()
        };
        sys::ioctl(self.0, command, &mut asked)
    }

    pub fn destroy(&self, name: &str) -> i64 {
        self.named(abi::DESTROY, name)
    }

    pub fn clear(&self) -> i64 {
        self.named(abi::CLEAR, NAME)
    }

    pub fn resize(&self, capacity: u64) -> i64 {
        let mut asked = Resize {
            capacity,
            name: abi::name(NAME),
            ..Default::default()
        };
        sys::ioctl(self.0, abi::RESIZE, &mut asked)
    }

    pub fn evict(&self, cursor: u64) -> i64 {
        let mut asked = Evict {
            cursor,
            name: abi::name(NAME),
            ..Default::default()
        };
        sys::ioctl(self.0, abi::EVICT, &mut asked)
    }

    /// Returns the first ring from `id` on.
    pub fn next(&self, id: u64) -> Option<Info> {
        let mut info = Info {
            id,
            ..Default::default()
        };
        (sys::ioctl(self.0, abi::NEXT, &mut info) == 0).then_some(info)
    }

    pub fn next_cursor(&self, id: u64) -> Option<Cursor> {
        let mut cursor = Cursor {
            id,
            name: abi::name(NAME),
            ..Default::default()
        };
        (sys::ioctl(self.0, abi::NEXT_CURSOR, &mut cursor) == 0).then_some(cursor)
    }

    /// Returns what the ring says of itself, unless it was destroyed.
    pub fn ring(&self) -> Option<RingState> {
        let mut id = 0;
        while let Some(info) = self.next(id) {
            if info.name == abi::name(NAME) {
                return Some(state_of(&info));
            }
            id = info.id + 1;
        }
        None
    }
}

fn state_of(info: &Info) -> RingState {
    RingState {
        capacity: info.capacity,
        readers: info.readers,
        writers: info.writers,
        unread: info.unread,
        records_in: info.records_in,
        bytes_in: info.bytes_in,
        records_dropped: info.records_dropped,
        bytes_dropped: info.bytes_dropped,
        records_lost: info.records_lost,
        bytes_lost: info.bytes_lost,
        records_out: info.records_out,
        bytes_out: info.bytes_out,
    }
}

/// An open file of the ring. It is closed when the last actor lets go of it.
pub struct Endpoint {
    pub fd: Fd,
    pub id: EndpointId,
    reads: bool,
    /// As far as is known: another actor may be changing it.
    pub nonblock: AtomicBool,
    pub headers: AtomicBool,
    /// The number of its cursor; 0 if it has none of its own.
    pub cursor: AtomicU64,
    /// The process that opened it. In another one, its end is nothing to write down.
    process: i32,
    log: &'static Log,
}

impl Endpoint {
    /// Opens the ring. `None` if it cannot be noted; the answer is the descriptor or an errno.
    pub fn open(
        log: &'static Log,
        who: usize,
        access: Access,
        nonblock: bool,
    ) -> Option<Result<Self, i64>> {
        let reads = access != Access::Write;
        let writes = access != Access::Read;
        let mode = match access {
            Access::Read => libc::O_RDONLY,
            Access::Write => libc::O_WRONLY,
            Access::Both => libc::O_RDWR,
        };
        let id = log.new_endpoint(who, reads, writes)?;
        let flags = if nonblock {
            mode | libc::O_NONBLOCK
        } else {
            mode
        };
        let fd = sys::open("/dev/ring/fuzz", flags);
        log.opened(id, fd >= 0);
        if fd < 0 {
            return Some(Err(fd));
        }
        Some(Ok(Self {
            fd: fd as Fd,
            id,
            reads,
            nonblock: AtomicBool::new(nonblock),
            headers: AtomicBool::new(false),
            cursor: AtomicU64::new(0),
            process: sys::getpid(),
            log,
        }))
    }

    /// Asks for the number of the cursor, which `EVICT` takes.
    pub fn learn_cursor(&self) {
        let mut cursor = Cursor::default();
        if self.reads && sys::ioctl(self.fd, abi::CURSOR, &mut cursor) == 0 {
            self.cursor.store(cursor.id, Relaxed);
        }
    }

    pub fn set_headers(&self, on: bool) -> i64 {
        let mut mode = ReadMode {
            flags: if on { abi::HEADERS } else { 0 },
            ..Default::default()
        };
        let answer = sys::ioctl(self.fd, abi::READ_MODE, &mut mode);
        if answer == 0 {
            self.headers.store(on, Relaxed);
        }
        answer
    }

    pub fn set_watermark(&self, bytes: u64, delay_ns: u64) -> i64 {
        let mut asked = Watermark {
            bytes,
            delay_ns,
            ..Default::default()
        };
        sys::ioctl(self.fd, abi::WATERMARK, &mut asked)
    }

    pub fn info(&self) -> Option<RingState> {
        let mut info = Info::default();
        (sys::ioctl(self.fd, abi::INFO, &mut info) == 0).then(|| state_of(&info))
    }

    /// Returns what the endpoint says of itself. Asks poll(2) first, as asking for the cursor takes
    /// `POLLPRI` back.
    pub fn state(&self) -> EndpointState {
        let all = libc::POLLIN | libc::POLLOUT | libc::POLLPRI;
        let (_, revents) = sys::poll(self.fd, all, 0);
        let mut cursor = Cursor::default();
        let known = self.reads && sys::ioctl(self.fd, abi::CURSOR, &mut cursor) == 0;
        EndpointState {
            endpoint: self.id,
            revents,
            next_read: sys::next_read(self.fd),
            cursor: known.then_some(CursorState {
                unread: cursor.unread,
                records_out: cursor.records_out,
                bytes_out: cursor.bytes_out,
                records_lost: cursor.records_lost,
                bytes_lost: cursor.bytes_lost,
                watermark: cursor.watermark,
            }),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let ours = self.process == sys::getpid();
        if ours {
            self.log.closing(self.id);
        }
        sys::close(self.fd);
        if ours {
            self.log.closed(self.id);
        }
    }
}
