// SPDX-License-Identifier: GPL-2.0

//! What is measured: ways to hand bytes from a write(2) to a read(2).

use std::env::temp_dir;
use std::fmt::{self, Display};
use std::io;

use ringdev::Ring;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, mkfifoat, open, unlink};
use rustix::io::{Errno, dup, read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::queue::Queue;
use crate::rings::Driver;

/// How much each peer shall hold: the capacity of `/dev/ring/0`, unless it was asked for another.
pub const CAPACITY: usize = 256 * 1024;

/// The pieces in which a peer is filled, to see how much it holds.
pub const PIECE: usize = 4096;

/// The peers, in the order in which they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/dev/ring/0`.
    Ring,
    /// pipe(2) of the same capacity.
    Pipe,
    /// pipe(2) as one gets it: 64 KiB.
    Pipe64,
    /// A FIFO of the same capacity.
    Fifo,
    /// A pair of stream sockets of the family `AF_UNIX`.
    Unix,
    /// A pair of `AF_UNIX` sockets that keep packets apart.
    Seqpacket,
    /// A POSIX message queue.
    Mqueue,
    /// `/dev/ringdev-kfifo` of `tests/peers`: a driver in C around a `struct kfifo`.
    Kfifo,
    /// `/dev/ring-twin/0` of `tests/peers/twin`: the driver of `/dev/ring/0`, in C.
    Twin,
    /// `/dev/ringdev-floor` of `tests/peers`: two system calls and two copies, and nothing else.
    Floor,
    /// `/dev/null`: two system calls that find their file and copy nothing.
    Null,
}

impl Kind {
    pub const ALL: [Self; 11] = [
        Self::Ring,
        Self::Pipe,
        Self::Pipe64,
        Self::Fifo,
        Self::Unix,
        Self::Seqpacket,
        Self::Mqueue,
        Self::Kfifo,
        Self::Twin,
        Self::Floor,
        Self::Null,
    ];

    /// The name that scripts/lab knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Pipe => "pipe",
            Self::Pipe64 => "pipe64",
            Self::Fifo => "fifo",
            Self::Unix => "unix",
            Self::Seqpacket => "seqpacket",
            Self::Mqueue => "mqueue",
            Self::Kfifo => "kfifo",
            Self::Twin => "twin",
            Self::Floor => "floor",
            Self::Null => "null",
        }
    }

    /// Whether it keeps messages apart, so that none can be larger than what it holds.
    pub fn keeps_messages(self) -> bool {
        matches!(self, Self::Seqpacket | Self::Mqueue)
    }

    /// Whether a read gives back what was written.
    pub fn keeps(self) -> bool {
        self != Self::Null
    }

    /// Whether it can be filled: whether there is room for so much and not for more.
    pub fn fills(self) -> bool {
        !matches!(self, Self::Floor | Self::Null)
    }

    /// Who makes rings of the kind.
    fn driver(self) -> Option<Driver> {
        match self {
            Self::Ring => Some(Driver::Rust),
            Self::Twin => Some(Driver::Twin),
            _ => None,
        }
    }

    /// How much it has to hold.
    fn capacity(self) -> usize {
        match self {
            Self::Pipe64 => 64 * 1024,
            _ => CAPACITY,
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "the ring",
            Self::Pipe => "the pipe",
            Self::Pipe64 => "the default pipe",
            Self::Fifo => "the FIFO",
            Self::Unix => "the socket pair",
            Self::Seqpacket => "the socket pair for packets",
            Self::Mqueue => "the message queue",
            Self::Kfifo => "/dev/ringdev-kfifo",
            Self::Twin => "/dev/ring-twin/0",
            Self::Floor => "/dev/ringdev-floor",
            Self::Null => "/dev/null",
        })
    }
}

/// A peer whose two ends are open in this process.
pub struct Peer {
    pub kind: Kind,
    pub ends: Ends,
}

/// What one has of a peer.
pub enum Ends {
    Files(Files),
    Queue(Queue),
}

/// An end to write to, and one to read from.
pub struct Files {
    pub writer: OwnedFd,
    pub reader: OwnedFd,
}

impl Files {
    /// Writes all of `out`, which it has room for.
    #[inline(always)]
    pub fn send(&self, out: &[u8]) -> rustix::io::Result<usize> {
        write(&self.writer, out)
    }

    /// Reads what is there.
    #[inline(always)]
    pub fn receive(&self, back: &mut [u8]) -> rustix::io::Result<usize> {
        read(&self.reader, back)
    }

    /// Has calls that would wait fail with `EAGAIN` instead.
    pub fn set_nonblocking(&self) -> rustix::io::Result<()> {
        set_nonblocking(&self.writer, true)?;
        set_nonblocking(&self.reader, true)
    }
}

impl Peer {
    /// Opens both ends of a peer that holds at least its capacity, in messages of at most
    /// `message` bytes.
    pub fn open(kind: Kind, message: usize) -> Result<Self, String> {
        let ends = match kind {
            Kind::Mqueue => Queue::open(CAPACITY, message).map(Ends::Queue),
            _ => files(kind).map(Ends::Files),
        };
        let ends = ends.map_err(|error| format!("{kind} cannot be opened: {error}"))?;
        Ok(Self { kind, ends })
    }

    /// Opens a peer that nobody else has: of a driver's rings, a new one of this name.
    pub fn open_new(kind: Kind, message: usize, name: &str) -> Result<Self, String> {
        let Some(driver) = kind.driver() else {
            return Self::open(kind, message);
        };
        let ends = || -> io::Result<Ends> {
            driver.create(name, |ring| ring)?;
            Ok(Ends::Files(Files {
                reader: driver.open(name, OFlags::RDONLY)?.into(),
                writer: driver.open(name, OFlags::WRONLY)?.into(),
            }))
        };
        match ends() {
            Ok(ends) => Ok(Self { kind, ends }),
            Err(error) => Err(format!("{kind} cannot be had twice: {error}")),
        }
    }

    /// The end that is written to.
    pub fn writer(&self) -> BorrowedFd<'_> {
        match &self.ends {
            Ends::Files(files) => files.writer.as_fd(),
            Ends::Queue(queue) => queue.as_fd(),
        }
    }

    /// Writes what there is room for.
    pub fn send(&self, out: &[u8]) -> rustix::io::Result<usize> {
        match &self.ends {
            Ends::Files(files) => files.send(out),
            Ends::Queue(queue) => queue.send(out),
        }
    }

    /// Reads what is there, of a peer that keeps messages one.
    pub fn receive(&self, back: &mut [u8]) -> rustix::io::Result<usize> {
        match &self.ends {
            Ends::Files(files) => files.receive(back),
            Ends::Queue(queue) => queue.receive(back),
        }
    }

    /// How often the peer has woken a reader or a writer, if it counts that.
    pub fn wakes(&self) -> io::Result<Option<u64>> {
        if self.kind.driver().is_none() {
            return Ok(None);
        }
        let info = Ring::from(dup(self.writer())?).info()?;
        Ok(Some(info.reader_wakes + info.writer_wakes))
    }

    /// Fills the peer in pieces and returns how much it holds.
    pub fn fill(&self) -> Result<usize, String> {
        let wrong = |error: Errno| format!("{} cannot be filled: {error}", self.kind);
        set_nonblocking(self.writer(), true).map_err(wrong)?;
        let mut piece = [0; PIECE];
        let mut held = 0;
        loop {
            pattern(held, &mut piece);
            match self.send(&piece) {
                Ok(count) => held += count,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(wrong(error)),
            }
        }
        set_nonblocking(self.writer(), false).map_err(wrong)?;
        if held < self.kind.capacity() {
            let (kind, capacity) = (self.kind, self.kind.capacity());
            return Err(format!("{kind} holds {held} bytes, not {capacity}"));
        }
        Ok(held)
    }

    /// Empties the peer of `held` bytes, having seen that each came back as it was written.
    pub fn empty(&self, held: usize) -> Result<(), String> {
        let (mut back, mut piece) = ([0; PIECE], [0; PIECE]);
        let mut seen = 0;
        while seen < held {
            let count = self
                .receive(&mut back)
                .map_err(|error| format!("{} cannot be emptied: {error}", self.kind))?;
            pattern(seen, &mut piece);
            if count == 0 || back[..count] != piece[..count] {
                return Err(format!("{} gave back other bytes than it got", self.kind));
            }
            seen += count;
        }
        Ok(())
    }
}

/// Fills `piece` with what a stream without repetitions has at `position`.
pub fn pattern(position: usize, piece: &mut [u8]) {
    for (index, byte) in piece.iter_mut().enumerate() {
        let scattered = (position + index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // CAST: The highest byte, which the multiplication has mixed best.
        *byte = (scattered >> 56) as u8;
    }
}

/// Opens the reading and the writing end.
fn files(kind: Kind) -> rustix::io::Result<Files> {
    let both = |path: &str| {
        let end = |flags| open(path, flags | OFlags::CLOEXEC, Mode::empty());
        Ok(Files {
            reader: end(OFlags::RDONLY)?,
            writer: end(OFlags::WRONLY)?,
        })
    };
    match kind {
        Kind::Ring => both("/dev/ring/0"),
        Kind::Kfifo => both("/dev/ringdev-kfifo"),
        Kind::Twin => both("/dev/ring-twin/0"),
        Kind::Floor => both("/dev/ringdev-floor"),
        Kind::Null => both("/dev/null"),
        Kind::Pipe => {
            let files = pipe()?;
            fcntl_setpipe_size(&files.writer, CAPACITY)?;
            Ok(files)
        }
        Kind::Pipe64 => pipe(),
        Kind::Fifo => fifo(),
        Kind::Unix => sockets(SocketType::STREAM, CAPACITY),
        // A packet of 4 KiB takes twice as much of it.
        Kind::Seqpacket => sockets(SocketType::SEQPACKET, 2 * CAPACITY),
        Kind::Mqueue => Err(Errno::INVAL),
    }
}

fn pipe() -> rustix::io::Result<Files> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok(Files { writer, reader })
}

fn fifo() -> rustix::io::Result<Files> {
    let path = temp_dir().join("ringdev-bench.fifo");
    mkfifoat(CWD, &path, Mode::RWXU)?;
    let end = |flags| open(&path, flags | OFlags::CLOEXEC, Mode::empty());
    let open = || {
        // Without the flag it would wait for a writer.
        let reader = end(OFlags::RDONLY | OFlags::NONBLOCK)?;
        set_nonblocking(&reader, false)?;
        let writer = end(OFlags::WRONLY)?;
        fcntl_setpipe_size(&writer, CAPACITY)?;
        Ok(Files { writer, reader })
    };
    let files = open();
    unlink(&path)?;
    files
}

fn sockets(sort: SocketType, capacity: usize) -> rustix::io::Result<Files> {
    let (reader, writer) = socketpair(AddressFamily::UNIX, sort, SocketFlags::CLOEXEC, None)?;
    // The kernel doubles it, for what it needs besides the bytes. What counts is the sender's
    // buffer; the receiver's is set for good measure.
    sockopt::set_socket_send_buffer_size_force(&writer, capacity)?;
    sockopt::set_socket_recv_buffer_size_force(&reader, capacity)?;
    Ok(Files { writer, reader })
}

fn set_nonblocking(end: impl AsFd, nonblocking: bool) -> rustix::io::Result<()> {
    let mut flags = fcntl_getfl(&end)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    fcntl_setfl(&end, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_hold_exactly_their_capacity() {
        for kind in [Kind::Pipe, Kind::Pipe64, Kind::Fifo] {
            let pipe = Peer::open(kind, PIECE).expect("open the pipe");
            for _ in 0..2 {
                assert_eq!(pipe.fill(), Ok(kind.capacity()));
                assert_eq!(pipe.empty(kind.capacity()), Ok(()));
            }
        }
    }

    #[test]
    fn a_peer_that_gives_back_other_bytes_is_refused() {
        let pipe = Peer::open(Kind::Pipe, PIECE).expect("open the pipe");
        pipe.send(&[1, 2, 3]).expect("write");
        let error = "the pipe gave back other bytes than it got";
        assert_eq!(pipe.empty(3), Err(error.to_owned()));
    }

    #[test]
    fn a_peer_that_holds_too_little_is_refused() {
        let pipe = Peer::open(Kind::Pipe, PIECE).expect("open the pipe");
        fcntl_setpipe_size(pipe.writer(), CAPACITY / 2).expect("shrink it");
        assert_eq!(
            pipe.fill(),
            Err("the pipe holds 131072 bytes, not 262144".to_owned())
        );
    }

    #[test]
    fn a_pattern_depends_on_its_position_alone() {
        let mut whole = [0; 512];
        pattern(100, &mut whole);
        let mut tail = [0; 12];
        pattern(600, &mut tail);
        assert_eq!(whole[500..], tail);
        let mut other = [0; 512];
        pattern(101, &mut other);
        assert_ne!(whole, other);
    }
}
