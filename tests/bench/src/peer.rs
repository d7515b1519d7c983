// SPDX-License-Identifier: GPL-2.0

//! What is measured: ways to hand bytes from a write(2) to a read(2).

use std::fmt::{self, Display};
use std::io;

use ringdev::{Control, Create, Framing, Ring, RingName};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::io::{Errno, read, write};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// How much each peer shall hold: the capacity of `/dev/ring/0`, unless it was asked for another.
pub const CAPACITY: usize = 256 * 1024;

/// The pieces in which a peer is filled, to see how much it holds.
const PIECE: usize = 4096;

/// The peers, in the order in which they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/dev/ring/0`.
    Ring,
    /// pipe(2) of the same capacity.
    Pipe,
    /// A pair of stream sockets of the family `AF_UNIX`.
    Unix,
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
    pub const ALL: [Self; 7] = [
        Self::Ring,
        Self::Pipe,
        Self::Unix,
        Self::Kfifo,
        Self::Twin,
        Self::Floor,
        Self::Null,
    ];

    /// The name that scripts/lab/bench.py knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Pipe => "pipe",
            Self::Unix => "unix",
            Self::Kfifo => "kfifo",
            Self::Twin => "twin",
            Self::Floor => "floor",
            Self::Null => "null",
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "the ring",
            Self::Pipe => "the pipe",
            Self::Unix => "the socket pair",
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
    writer: OwnedFd,
    reader: OwnedFd,
}

impl Peer {
    /// Opens both ends of a peer that holds at least [`CAPACITY`] bytes.
    pub fn open(kind: Kind) -> Result<Self, String> {
        let (reader, writer) =
            ends(kind).map_err(|error| format!("{kind} cannot be opened: {error}"))?;
        Ok(Self {
            kind,
            writer,
            reader,
        })
    }

    /// Opens another peer of the kind, where there can be several.
    pub fn open_other(kind: Kind) -> Result<Self, String> {
        if kind != Kind::Ring {
            return Self::open(kind);
        }
        let other = || -> io::Result<Self> {
            let name = "bench".parse().map_err(io::Error::other)?;
            create_ring(&name, Framing::Stream)?;
            let open = |write: bool| Ring::options().read(!write).write(write).open(&name);
            Ok(Self {
                kind,
                writer: open(true)?.into(),
                reader: open(false)?.into(),
            })
        };
        other().map_err(|error| format!("{kind} cannot be had twice: {error}"))
    }

    /// The end that is written to.
    pub fn writer(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }

    /// The end that is read from.
    pub fn reader(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Whether a read gives back what was written.
    pub fn keeps(&self) -> bool {
        self.kind != Kind::Null
    }

    /// Whether it can be filled: whether there is room for so much and not for more.
    pub fn fills(&self) -> bool {
        !matches!(self.kind, Kind::Floor | Kind::Null)
    }

    /// Writes all of `out` and reads it, or nothing if the peer keeps nothing, into `back`. Tells
    /// whether both calls did all that they were asked for.
    #[inline(always)]
    pub fn pair(&self, out: &[u8], back: &mut [u8]) -> bool {
        let expected = if self.keeps() { back.len() } else { 0 };
        write(&self.writer, out) == Ok(out.len()) && read(&self.reader, back) == Ok(expected)
    }

    /// Fills the peer, empties it, and returns how much it held, having seen that each byte came
    /// back as it was written.
    pub fn fill(&self) -> Result<usize, String> {
        let wrong = |what: &str, error: Errno| format!("{} cannot be {what}: {error}", self.kind);

        set_nonblocking(&self.writer, true).map_err(|error| wrong("set up", error))?;
        let mut piece = [0; PIECE];
        let mut held = 0;
        loop {
            pattern(held, &mut piece);
            match write(&self.writer, &piece) {
                Ok(count) => held += count,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(wrong("filled", error)),
            }
        }
        set_nonblocking(&self.writer, false).map_err(|error| wrong("set up", error))?;

        let mut back = [0; PIECE];
        let mut seen = 0;
        while seen < held {
            let count = read(&self.reader, &mut back).map_err(|error| wrong("emptied", error))?;
            pattern(seen, &mut piece);
            if count == 0 || back[..count] != piece[..count] {
                return Err(format!("{} gave back other bytes than it got", self.kind));
            }
            seen += count;
        }
        if held < CAPACITY {
            let kind = self.kind;
            return Err(format!("{kind} holds {held} bytes, not {CAPACITY}"));
        }
        Ok(held)
    }
}

/// Sees to it that there is a ring of this name, with the capacity that all peers have.
pub fn create_ring(name: &RingName, framing: Framing) -> io::Result<()> {
    let ring = Create::new(name.clone())
        .framing(framing)
        .capacity(CAPACITY as u64);
    match Control::open()?.create(&ring) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
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
fn ends(kind: Kind) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let both = |path: &str| {
        let end = |flags| open(path, flags | OFlags::CLOEXEC, Mode::empty());
        Ok((end(OFlags::RDONLY)?, end(OFlags::WRONLY)?))
    };
    match kind {
        Kind::Ring => both("/dev/ring/0"),
        Kind::Kfifo => both("/dev/ringdev-kfifo"),
        Kind::Twin => both("/dev/ring-twin/0"),
        Kind::Floor => both("/dev/ringdev-floor"),
        Kind::Null => both("/dev/null"),
        Kind::Pipe => {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            fcntl_setpipe_size(&writer, CAPACITY)?;
            Ok((reader, writer))
        }
        Kind::Unix => {
            let flags = SocketFlags::CLOEXEC;
            let (reader, writer) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            // The kernel doubles it, for what it needs besides the bytes. What counts is the
            // sender's buffer; the receiver's is set for good measure.
            sockopt::set_socket_send_buffer_size_force(&writer, CAPACITY)?;
            sockopt::set_socket_recv_buffer_size_force(&reader, CAPACITY)?;
            Ok((reader, writer))
        }
    }
}

fn set_nonblocking(end: impl AsFd, nonblocking: bool) -> rustix::io::Result<()> {
    let mut flags = fcntl_getfl(&end)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    fcntl_setfl(&end, flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair_of(kind: Kind, size: usize) -> (bool, Vec<u8>, Vec<u8>) {
        let peer = Peer::open(kind).expect("open the peer");
        let mut out = vec![0; size];
        let mut back = vec![0; size];
        pattern(7, &mut out);
        let whole = peer.pair(&out, &mut back);
        (whole, out, back)
    }

    #[test]
    fn a_pair_through_a_pipe_gives_back_what_was_written() {
        let (whole, out, back) = pair_of(Kind::Pipe, 65_536);
        assert!(whole);
        assert_eq!(out, back);
    }

    #[test]
    fn a_pair_through_null_gives_back_nothing() {
        let (whole, _, back) = pair_of(Kind::Null, 64);
        assert!(whole);
        assert!(back.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_pair_that_comes_back_short_is_not_whole() {
        let mut peer = Peer::open(Kind::Pipe).expect("open the pipe");
        peer.writer = Peer::open(Kind::Null).expect("open null").writer;
        set_nonblocking(&peer.reader, true).expect("set up the reader");
        assert!(!peer.pair(&[1], &mut [0]));
    }

    #[test]
    fn a_pipe_holds_exactly_its_capacity() {
        let pipe = Peer::open(Kind::Pipe).expect("open the pipe");
        assert_eq!(pipe.fill(), Ok(CAPACITY));
        assert_eq!(pipe.fill(), Ok(CAPACITY), "it was emptied");
    }

    #[test]
    fn a_peer_that_holds_too_little_is_refused() {
        let pipe = Peer::open(Kind::Pipe).expect("open the pipe");
        fcntl_setpipe_size(&pipe.writer, CAPACITY / 2).expect("shrink it");
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
