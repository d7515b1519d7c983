// SPDX-License-Identifier: GPL-2.0

//! Rings of every kind, made and commanded by /dev/ring/control.

use std::fmt::{self, Display};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec;

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{getgid, getpid, getuid};

use crate::abi;
use crate::endpoint::Endpoint;

pub const NODE: &str = "/dev/ring/control";

/// What a ring keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Stream = 0,
    Record = 1,
}

/// What a write meets when there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    Block = 0,
    Drop = 1,
    Overwrite = 2,
}

/// Who gets the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Shared = 0,
    Broadcast = 1,
}

/// What a ring is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub framing: Framing,
    pub full: Full,
    pub delivery: Delivery,
    pub hangup: bool,
}

/// A pipe that persists.
pub const STREAM: Kind = Kind {
    framing: Framing::Stream,
    full: Full::Block,
    delivery: Delivery::Shared,
    hangup: false,
};

/// A message queue.
pub const RECORD: Kind = Kind {
    framing: Framing::Record,
    ..STREAM
};

/// Kinds of rings that a test goes through, of which there is at least one.
pub struct Kinds(vec::IntoIter<Kind>);

impl Kinds {
    /// Panics if there are none: a loop over them would check nothing, and the test would pass.
    fn of(kinds: Vec<Kind>) -> Self {
        assert!(!kinds.is_empty(), "no kind of ring is left to be tested");
        Self(kinds.into_iter())
    }

    /// Returns those that meet a condition. Stands in for that of iterators, which may leave none.
    pub fn filter(self, condition: impl FnMut(&Kind) -> bool) -> Self {
        Self::of(self.0.filter(condition).collect())
    }
}

impl Iterator for Kinds {
    type Item = Kind;

    fn next(&mut self) -> Option<Kind> {
        self.0.next()
    }
}

impl Kind {
    /// Returns all 24.
    pub fn all() -> Kinds {
        let framings = [Framing::Stream, Framing::Record];
        let fulls = [Full::Block, Full::Drop, Full::Overwrite];
        let deliveries = [Delivery::Shared, Delivery::Broadcast];
        let all = framings.into_iter().flat_map(|framing| {
            fulls.into_iter().flat_map(move |full| {
                deliveries.into_iter().flat_map(move |delivery| {
                    [false, true].map(|hangup| Self {
                        framing,
                        full,
                        delivery,
                        hangup,
                    })
                })
            })
        });
        Kinds::of(all.collect())
    }

    /// What a ring says that it is like.
    pub fn of(info: &abi::Info) -> Self {
        let is_it = |kind: &Self| {
            let said = (info.framing, info.full, info.delivery, info.flags != 0);
            let numbers = (kind.framing as u32, kind.full as u32, kind.delivery as u32);
            said == (numbers.0, numbers.1, numbers.2, kind.hangup)
        };
        Self::all().find(is_it).expect("a kind that there is")
    }

    pub const fn dropping(self) -> Self {
        let full = Full::Drop;
        Self { full, ..self }
    }

    pub const fn overwriting(self) -> Self {
        let full = Full::Overwrite;
        Self { full, ..self }
    }

    pub const fn broadcast(self) -> Self {
        let delivery = Delivery::Broadcast;
        Self { delivery, ..self }
    }

    pub const fn hanging_up(self) -> Self {
        let hangup = true;
        Self { hangup, ..self }
    }

    pub fn is_stream(self) -> bool {
        self.framing == Framing::Stream
    }

    pub fn is_broadcast(self) -> bool {
        self.delivery == Delivery::Broadcast
    }

    pub fn blocks(self) -> bool {
        self.full == Full::Block
    }

    pub fn drops(self) -> bool {
        self.full == Full::Drop
    }

    pub fn overwrites(self) -> bool {
        self.full == Full::Overwrite
    }

    /// What to ask for such a ring with.
    pub fn request(self, name: &str, capacity: u64) -> abi::Create {
        abi::Create {
            flags: if self.hangup { abi::HANGUP } else { 0 },
            capacity,
            framing: self.framing as u32,
            full: self.full as u32,
            delivery: self.delivery as u32,
            mode: 0o600,
            uid: getuid().as_raw(),
            gid: getgid().as_raw(),
            name: abi::name(name),
            ..Default::default()
        }
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = format!("{:?}_{:?}_{:?}", self.framing, self.full, self.delivery);
        f.write_str(&words.to_lowercase())?;
        f.write_str(if self.hangup { "_hangup" } else { "" })
    }
}

/// An open file of /dev/ring/control.
pub struct Control(OwnedFd);

impl Control {
    pub fn open(flags: OFlag) -> Result<Self> {
        open(NODE, flags | OFlag::O_CLOEXEC, Mode::empty()).map(Self)
    }

    pub fn create(&self, mut request: abi::Create) -> Result<()> {
        abi::call(self, abi::CREATE, &mut request)
    }

    /// A command that takes nothing but a name.
    fn command(&self, command: abi::Command, name: &str) -> Result<()> {
        let mut asked = abi::Name {
            name: abi::name(name),
            ..Default::default()
        };
        abi::call(self, command, &mut asked)
    }

    pub fn destroy(&self, name: &str) -> Result<()> {
        self.command(abi::DESTROY, name)
    }

    pub fn clear(&self, name: &str) -> Result<()> {
        self.command(abi::CLEAR, name)
    }

    pub fn resize(&self, name: &str, capacity: u64) -> Result<()> {
        let mut asked = abi::Resize {
            capacity,
            name: abi::name(name),
            ..Default::default()
        };
        abi::call(self, abi::RESIZE, &mut asked)
    }

    pub fn evict(&self, name: &str, cursor: u64) -> Result<()> {
        let mut asked = abi::Evict {
            cursor,
            name: abi::name(name),
            ..Default::default()
        };
        abi::call(self, abi::EVICT, &mut asked)
    }

    /// The first ring that has this number or a larger one.
    pub fn next(&self, id: u64) -> Result<abi::Info> {
        let mut info = abi::Info {
            id,
            ..Default::default()
        };
        abi::call(self, abi::NEXT, &mut info).map(|()| info)
    }

    /// The first cursor of a ring that has this number or a larger one.
    pub fn next_cursor(&self, name: &str, id: u64) -> Result<abi::Cursor> {
        let mut cursor = abi::Cursor {
            id,
            name: abi::name(name),
            ..Default::default()
        };
        abi::call(self, abi::NEXT_CURSOR, &mut cursor).map(|()| cursor)
    }

    /// All rings, in the order of their numbers.
    pub fn rings(&self) -> Vec<abi::Info> {
        let mut rings: Vec<abi::Info> = Vec::new();
        loop {
            let from = rings.last().map_or(0, |last| last.id + 1);
            match self.next(from) {
                Ok(info) => rings.push(info),
                Err(Errno::ENODATA) => return rings,
                Err(error) => panic!("list the rings: {error}"),
            }
        }
    }
}

impl AsRawFd for Control {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsRawFd for &Control {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Opens it for everything.
pub fn control() -> Control {
    Control::open(OFlag::O_RDWR).unwrap_or_else(|error| panic!("open {NODE}: {error}"))
}

/// The name in a structure.
pub fn name_of(bytes: &[u8; abi::NAME_SIZE]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).expect("an end");
    assert!(bytes[end..].iter().all(|byte| *byte == 0), "then zeros");
    std::str::from_utf8(&bytes[..end]).expect("ASCII")
}

/// Destroys all rings except the default one.
pub fn destroy_others() -> std::result::Result<(), String> {
    let control = Control::open(OFlag::O_RDWR).map_err(|error| format!("open {NODE}: {error}"))?;
    for ring in control.rings() {
        let name = name_of(&ring.name);
        if name != "0" {
            let destroyed = control.destroy(name);
            destroyed.map_err(|error| format!("destroy {name}: {error}"))?;
        }
    }
    Ok(())
}

/// A ring that a test has made. The harness destroys it after the test, if it is still there.
#[derive(Clone, Copy)]
pub struct Ring {
    name: [u8; abi::NAME_SIZE],
}

impl Ring {
    /// Makes a ring with a name of its own, for root only.
    pub fn new(kind: Kind, capacity: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // The processes of a test each count for themselves.
        Self::named(&format!("test-{}-{number}", getpid()), kind, capacity)
    }

    /// Makes a ring of this name, for root only.
    pub fn named(name: &str, kind: Kind, capacity: u64) -> Self {
        let made = control().create(kind.request(name, capacity));
        made.unwrap_or_else(|error| panic!("create {name}, {kind}: {error}"));
        Self::known(name)
    }

    /// A ring that is there.
    pub fn known(name: &str) -> Self {
        Self {
            name: abi::name(name),
        }
    }

    /// A ring of one page, which is quickly full and quickly wrapped.
    pub fn small(kind: Kind) -> Self {
        Self::new(kind, 4096)
    }

    pub fn name(&self) -> &str {
        name_of(&self.name)
    }

    pub fn path(&self) -> String {
        format!("/dev/ring/{}", self.name())
    }

    /// Opens the ring. The caller decides when the endpoint is closed.
    pub fn try_open(&self, flags: OFlag) -> Result<OwnedFd> {
        open(self.path().as_str(), flags, Mode::empty())
    }

    pub fn open(&self, flags: OFlag) -> OwnedFd {
        let opened = self.try_open(flags);
        opened.unwrap_or_else(|error| panic!("open {}: {error}", self.path()))
    }

    /// A reading end that stays open until the process ends.
    pub fn reader(&self) -> Endpoint {
        Endpoint::keep(self.open(OFlag::O_RDONLY))
    }

    /// A writing end that stays open until the process ends.
    pub fn writer(&self) -> Endpoint {
        Endpoint::keep(self.open(OFlag::O_WRONLY))
    }

    /// Both ends in one, open until the process ends.
    pub fn both(&self) -> Endpoint {
        Endpoint::keep(self.open(OFlag::O_RDWR))
    }

    pub fn destroy(&self) {
        control().destroy(self.name()).expect("destroy");
    }

    pub fn clear(&self) {
        control().clear(self.name()).expect("clear");
    }

    pub fn resize(&self, capacity: u64) -> Result<()> {
        control().resize(self.name(), capacity)
    }

    pub fn evict(&self, cursor: u64) -> Result<()> {
        control().evict(self.name(), cursor)
    }

    /// What the list of rings says of it.
    pub fn info(&self) -> abi::Info {
        let rings = control().rings();
        let found = rings.into_iter().find(|info| info.name == self.name);
        found.expect("the ring is in the list")
    }

    /// Its cursors, in the order of their numbers.
    pub fn cursors(&self) -> Vec<abi::Cursor> {
        let control = control();
        let mut cursors: Vec<abi::Cursor> = Vec::new();
        loop {
            let from = cursors.last().map_or(0, |last| last.id + 1);
            match control.next_cursor(self.name(), from) {
                Ok(cursor) => cursors.push(cursor),
                Err(Errno::ENODATA) => return cursors,
                Err(error) => panic!("list the cursors: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Kind, STREAM};

    #[test]
    fn kinds_are_all_combinations_of_what_a_ring_may_be() {
        // Two framings, three answers to a full ring, two deliveries, with HANGUP and without.
        let names: HashSet<_> = Kind::all().map(|kind| kind.to_string()).collect();
        assert_eq!(names.len(), 2 * 3 * 2 * 2);
        assert_eq!(Kind::all().count(), names.len());
        let numbers = |number: fn(Kind) -> u32| Kind::all().map(number).collect::<HashSet<_>>();
        assert_eq!(numbers(|kind| kind.framing as u32), HashSet::from([0, 1]));
        assert_eq!(numbers(|kind| kind.full as u32), HashSet::from([0, 1, 2]));
        assert_eq!(numbers(|kind| kind.delivery as u32), HashSet::from([0, 1]));
        assert_eq!(numbers(|kind| kind.hangup.into()), HashSet::from([0, 1]));
    }

    #[test]
    fn a_condition_leaves_the_kinds_that_meet_it() {
        assert_eq!(Kind::all().filter(|kind| kind.is_stream()).count(), 12);
        let none_else = |kind: &Kind| kind.blocks() && !kind.is_broadcast() && !kind.hangup;
        let left: Vec<_> = Kind::all()
            .filter(|kind| kind.is_stream())
            .filter(none_else)
            .collect();
        assert_eq!(left, [STREAM]);
    }

    #[test]
    #[should_panic(expected = "no kind of ring is left")]
    fn a_condition_that_no_kind_meets_fails_the_test() {
        let _ = Kind::all().filter(|kind| kind.blocks() && kind.drops());
    }
}
