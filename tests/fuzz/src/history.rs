// SPDX-License-Identifier: GPL-2.0

//! What happened while a program ran: the calls, their results, and what the ring said of itself.
//!
//! This is all that the oracle sees. It holds no descriptors and no memory of the run, so a test
//! can write one by hand.

use std::sync::LazyLock;

use crate::program::Kind;

/// The number of an endpoint within a program, in the order of the calls that opened them.
pub type EndpointId = u8;

/// Stands for the file of the control device, or for no endpoint at all.
pub const NO_ENDPOINT: EndpointId = u8::MAX;

/// How many endpoints a program can open. Later attempts are skipped.
pub const ENDPOINTS_MAX: usize = 64;

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Call {
    Open,
    Close,
    Write,
    Read,
    Seek,
    Evict,
    Resize,
    Clear,
    Destroy,
    /// Anything that neither moves data nor changes what later calls may return.
    Other,
}

/// What the oracle needs to know of a call besides its arguments. A set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// The endpoint was `O_NONBLOCK`, or the call asked not to wait.
    pub const NONBLOCK: Self = Self(1);
    /// Payloads of several records may follow each other without anything in between.
    pub const JOINED: Self = Self(1 << 1);
    /// The data went where nobody can look at them.
    pub const UNSEEN: Self = Self(1 << 2);
    /// Records are preceded by headers.
    pub const HEADERS: Self = Self(1 << 3);
    /// Bytes of the buffer changed that are not part of the result.
    pub const TOUCHED: Self = Self(1 << 4);
    /// The whole buffer was usable during the whole call.
    pub const SOUND: Self = Self(1 << 5);
    /// An allocation or a copy may have been made to fail.
    pub const INJECTED: Self = Self(1 << 6);
    /// It was a read(2) or a write(2), or their vectored forms: not splice(2), nor io_uring.
    pub const DIRECT: Self = Self(1 << 7);
    /// A signal that was not asked for may have interrupted the call.
    pub const SIGNALS: Self = Self(1 << 8);
    /// Another actor may have changed whether the endpoint waits. `NONBLOCK` is set as well.
    pub const CHANGING: Self = Self(1 << 9);

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn set(&mut self, other: Self, on: bool) {
        if on {
            self.0 |= other.0;
        }
    }
}

/// One call. Ticks order the calls of all actors; `end` is `None` for a call that was still going
/// on when its process was killed.
#[derive(Clone, Debug)]
pub struct Event {
    pub actor: usize,
    pub begin: u64,
    pub end: Option<u64>,
    pub call: Call,
    pub endpoint: EndpointId,
    pub flags: Flags,
    /// Bytes that were asked for; for a resize, the new capacity.
    pub len: u64,
    /// How many of these could be accessed at all.
    pub mapped: u64,
    /// A result of the system call: 0 or more, or a negative errno.
    pub result: i64,
    /// What was received.
    pub data: Vec<u8>,
}

impl Event {
    pub fn ended(&self) -> bool {
        self.end.is_some()
    }

    pub fn succeeded(&self) -> bool {
        self.ended() && self.result >= 0
    }

    /// Returns how many bytes were moved.
    pub fn bytes(&self) -> u64 {
        if self.ended() {
            u64::try_from(self.result).unwrap_or(0)
        } else {
            0
        }
    }
}

/// An endpoint, from its open to its last close.
#[derive(Clone, Copy, Debug, Default)]
pub struct Endpoint {
    pub reads: bool,
    pub writes: bool,
    /// When open(2) was called and when it returned.
    pub opened: (u64, u64),
    /// When the last descriptor was closed, if it was closed while the program ran.
    pub closed: Option<(u64, u64)>,
}

/// What a cursor says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CursorState {
    pub unread: u64,
    pub records_out: u64,
    pub bytes_out: u64,
    pub records_lost: u64,
    pub bytes_lost: u64,
    pub watermark: u64,
}

/// What an endpoint says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointState {
    pub endpoint: EndpointId,
    pub revents: i16,
    /// The result of `FIONREAD`.
    pub next_read: u64,
    pub cursor: Option<CursorState>,
}

/// What a ring says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingState {
    pub capacity: u64,
    pub readers: u32,
    pub writers: u32,
    pub unread: u64,
    pub records_in: u64,
    pub bytes_in: u64,
    pub records_dropped: u64,
    pub bytes_dropped: u64,
    pub records_lost: u64,
    pub bytes_lost: u64,
    pub records_out: u64,
    pub bytes_out: u64,
}

/// What could be seen at a moment at which no call was going on.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// How many events came before it.
    pub after: usize,
    /// The tick at which it began. An endpoint that was in use may have been closed after the last
    /// event.
    pub at: u64,
    pub ring: RingState,
    pub endpoints: Vec<EndpointState>,
}

impl Observation {
    pub fn of(&self, endpoint: EndpointId) -> Option<&EndpointState> {
        self.endpoints
            .iter()
            .find(|state| state.endpoint == endpoint)
    }
}

/// All that is known of a run.
#[derive(Clone, Debug)]
pub struct History {
    pub kind: Kind,
    /// Nothing ran at once: each event is followed by an observation.
    pub solo: bool,
    pub endpoints: Vec<Endpoint>,
    /// In the order in which they began.
    pub events: Vec<Event>,
    pub observations: Vec<Observation>,
    /// The first event of the settling phase, in which one thread alone makes the calls.
    pub settling: usize,
}

/// Where payloads come from.
///
/// Each byte tells the actor that wrote it and its place among that actor's bytes, modulo a prime,
/// so that a byte that is lost, repeated, moved or changed is found where it is received. No payload has
/// a byte 0, which is what a page or a probe that nobody filled would show.
pub const MODULUS: u64 = 61;

/// What fills a buffer that is to be read into. It occurs in no payload.
pub const BLANK: u8 = 0xbe;

/// The longest that a writer's bytes are looked up at a time.
const LOOKED_UP: usize = 256 << 10;

/// The bytes of each actor, from place 0 on.
static PATTERNS: LazyLock<[Vec<u8>; 4]> = LazyLock::new(|| {
    std::array::from_fn(|actor| {
        let places = 0..LOOKED_UP as u64 + MODULUS;
        places
            .map(|place| ((actor as u8) << 6) | (1 + place % MODULUS) as u8)
            .collect()
    })
});

/// Returns the bytes of an actor from `place` on. In a record, its number is added to the place of
/// the byte in the record.
pub fn payload(actor: usize, place: u64, len: usize) -> &'static [u8] {
    let from = (place % MODULUS) as usize;
    let pattern = &PATTERNS[actor % 4][from..];
    &pattern[..len.min(pattern.len())]
}

/// Returns the actor that wrote a byte, and the place of the byte modulo [`MODULUS`]; `None` for a
/// byte that nobody wrote.
pub fn origin(byte: u8) -> Option<(usize, u64)> {
    let place = u64::from(byte & 0x3f).checked_sub(1)?;
    (place < MODULUS).then_some((usize::from(byte >> 6), place))
}

/// Bytes of one actor that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub actor: usize,
    pub place: u64,
    pub len: u64,
}

/// Takes data apart into runs; `None` for a byte that nobody wrote, which ends it.
pub fn runs(mut data: &[u8]) -> impl Iterator<Item = Option<Run>> {
    std::iter::from_fn(move || {
        let first = *data.first()?;
        let Some((actor, place)) = origin(first) else {
            data = &[];
            return Some(None);
        };
        let len = common_prefix(data, payload(actor, place, data.len()));
        data = &data[len..];
        Some(Some(Run {
            actor,
            place,
            len: len as u64,
        }))
    })
}

/// Returns how many bytes are the same from the beginning on.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 256;
    let steps = one.chunks(STEP).zip(other.chunks(STEP));
    let same = STEP * steps.take_while(|(one, other)| one == other).count();
    let same = same.min(one.len()).min(other.len());
    let rest = one[same..].iter().zip(&other[same..]);
    same + rest.take_while(|(one, other)| one == other).count()
}
