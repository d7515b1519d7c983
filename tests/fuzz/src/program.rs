// SPDX-License-Identifier: GPL-2.0

//! What the fuzzer runs: a program of system calls, and its form as bytes.
//!
//! A program is a setup and a list of steps, each encoded in [`CHUNK`] bytes. The fixed size keeps
//! a mutation of one step from changing the meaning of the others. Every sequence of chunks is a
//! valid program.

use std::fmt::Write as _;

use arbitrary::{Arbitrary, Result, Unstructured};

/// The encoded size of the setup and of each step.
pub const CHUNK: usize = 12;

/// The longest program. Longer ones reach little more, and a failure is hard to read in them.
pub const STEPS_MAX: usize = 32;

/// How many endpoints a program can name.
pub const SLOTS: usize = 6;

/// How many actors a program can have, besides the main thread, which runs the prologue.
pub const ACTORS_MAX: usize = 3;

/// Defines an enum without fields that is chosen by one byte.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl<'a> Arbitrary<'a> for $name {
            fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
                u.choose(&[$(Self::$variant),+]).copied()
            }
        }
    };
}

choice!(
    /// How a ring treats boundaries.
    Framing { Stream, Record }
);
choice!(
    /// What a writer meets in a full ring.
    Full { Block, Drop, Overwrite }
);
choice!(
    /// Who receives the data.
    Delivery { Shared, Broadcast }
);

/// One of the 24 kinds of rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub framing: Framing,
    pub full: Full,
    pub delivery: Delivery,
    pub hangup: bool,
}

impl<'a> Arbitrary<'a> for Kind {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            framing: u.arbitrary()?,
            full: u.arbitrary()?,
            delivery: u.arbitrary()?,
            hangup: u.arbitrary()?,
        })
    }
}

impl Kind {
    /// Returns the kind of ring of an encoded setup.
    pub fn decode(setup: &[u8; CHUNK]) -> Self {
        chunk(setup)
    }

    pub fn is_record(self) -> bool {
        self.framing == Framing::Record
    }

    pub fn is_broadcast(self) -> bool {
        self.delivery == Delivery::Broadcast
    }

    pub fn overwrites(self) -> bool {
        self.full == Full::Overwrite
    }

    pub fn blocks(self) -> bool {
        self.full == Full::Block
    }
}

/// What is decided once for a program.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub kind: Kind,
    /// Pages of capacity at the beginning.
    pub pages: usize,
    /// How many actors run at once; with none, the main thread runs all steps, and the judgement is
    /// exact after each of them.
    pub actors: usize,
    /// Which actors are processes, a bit for each.
    pub processes: u8,
    /// How many steps the main thread runs before the actors start.
    pub prologue: usize,
    /// Let the n-th allocation or copy of each step of the last actor fail. 0: none.
    pub fail_nth: u8,
    /// How long a late page takes.
    pub late_us: u32,
    /// Close everything without draining the ring first.
    pub close_first: bool,
}

impl Setup {
    /// Says whether an actor is a process; the main thread, 0, is none.
    pub fn is_process(&self, who: usize) -> bool {
        (1..=self.actors).contains(&who) && (self.processes >> (who - 1)) & 1 == 1
    }
}

/// Returns the value, or 0 if it is more than `most`.
fn at_most(value: u8, most: u8) -> u8 {
    if value <= most { value } else { 0 }
}

/// Where the encoding of a setup has the number of actors, as an index, and the length of the
/// prologue.
pub const ACTORS: usize = 5;
pub const PROLOGUE: usize = 7;

impl<'a> Arbitrary<'a> for Setup {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let kind = u.arbitrary()?;
        let pages = *u.choose(&[1, 2, 4, 16, 512])?;
        let actors = *u.choose(&[0, 0, 2, 2, 3])?;
        // Rarely: a fork is expensive.
        let processes = at_most(u.int_in_range(0..=31)?, 7);
        let prologue = u.int_in_range(0..=7)?;
        let fail_nth = at_most(u.int_in_range(0..=159)?, 20);
        let late_us = *u.choose(&[0, 200, 2_000, 6_000])?;
        let close_first = u.ratio(1, 4)?;
        Ok(Self {
            kind,
            pages,
            actors,
            processes,
            prologue,
            fail_nth,
            late_us,
            close_first,
        })
    }
}

choice!(Access { Read, Write, Both });
choice!(
    /// How a call gets its data across.
    How { Plain, Plain2, Vector, NoWait, Uring, Splice, Splice2, SendFile }
);
choice!(
    /// Where sendfile(2) from a ring goes.
    Sink { Full, Null, Pipe, CrampedPipe }
);
choice!(
    /// What the buffer of a call is like.
    Buffer { Present, Present2, Present3, Zapped, Late, Cut, ReadOnly }
);
choice!(Wait {
    Poll,
    Select,
    EpollLevel,
    EpollEdge,
    EpollExclusive,
    EpollNested,
    Uring,
    Forever
});
choice!(Setting {
    Block,
    NonBlock,
    Async,
    NotAsync,
    Owner,
    Signal
});
choice!(Seek {
    Oldest,
    Newest,
    Current,
    Middle
});
choice!(
    /// What is asked of a ring, or by somebody who may not do it.
    Query { Unread, Info, Cursor, FdInfo, Next, NextCursor, DebugFs, ReadOnly, OtherUser }
);
choice!(
    /// What is passed on.
    Pass { Dup, Scm, ScmInFlight, ForkAndExit }
);
choice!(
    /// What is done to memory that another actor's call may be using.
    Disturb { Zap, Protect, Restore, Unmap }
);

/// A number of bytes, relative to what matters to the ring.
#[derive(Clone, Copy, Debug)]
pub struct Len {
    class: u8,
    value: u8,
}

impl<'a> Arbitrary<'a> for Len {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            class: u.int_in_range(0..=15)?,
            value: u.arbitrary()?,
        })
    }
}

impl Len {
    /// The class of a few bytes, and that of as many as can be read now.
    pub const SHORT: u8 = 0;
    pub const READABLE: u8 = u8::MAX;

    pub fn is_readable(self) -> bool {
        self.class == Self::READABLE
    }

    pub fn of(class: u8) -> Self {
        Self { class, value: 16 }
    }

    /// Returns the number, which is at most `most`.
    pub fn bytes(self, capacity: usize, page: usize, most: usize) -> usize {
        let value = usize::from(self.value);
        let record = capacity / 4;
        let bytes = match self.class {
            0 | 1 => 1 + value % 64,
            2 => 8 * (1 + value),
            3 => 256,
            4 => libc::PIPE_BUF,
            5 => libc::PIPE_BUF - 1 - value,
            6 => libc::PIPE_BUF + 1 + value,
            7 => page * (1 + value % 4),
            8 => page * (1 + value % 4) - value,
            9 => capacity,
            10 => record,
            11 => record + 1,
            12 => record.saturating_sub(value),
            13 => 2 * capacity + value,
            14 => capacity / 2 + value,
            // Also nothing at all.
            _ => value % 4,
        };
        bytes.min(most)
    }
}

/// One system call, or a few that belong together.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Open {
        slot: u8,
        access: Access,
        nonblock: bool,
    },
    Close {
        slot: u8,
    },
    Write {
        slot: u8,
        len: Len,
        how: How,
        buffer: Buffer,
        times: u8,
    },
    Read {
        slot: u8,
        len: Len,
        how: How,
        buffer: Buffer,
        times: u8,
    },
    SendOut {
        slot: u8,
        len: Len,
        sink: Sink,
    },
    Wait {
        slot: u8,
        wait: Wait,
        write: bool,
    },
    Set {
        slot: u8,
        setting: Setting,
    },
    Seek {
        slot: u8,
        to: Seek,
    },
    Headers {
        slot: u8,
        on: bool,
    },
    Watermark {
        slot: u8,
        bytes: Len,
        delay_us: u16,
    },
    Query {
        slot: u8,
        query: Query,
    },
    Evict {
        slot: u8,
    },
    Resize {
        pages: u16,
    },
    Clear,
    Destroy,
    /// An ioctl whose structure is nearly valid: `size` is added to its size, `at` is the byte that
    /// is replaced by `value`.
    Ioctl {
        slot: u8,
        command: u8,
        size: i8,
        at: u8,
        value: u8,
        short: bool,
    },
    Pass {
        slot: u8,
        pass: Pass,
    },
    Signal {
        actor: u8,
        restart: bool,
    },
    Kill {
        actor: u8,
    },
    Disturb {
        actor: u8,
        page: u8,
        disturb: Disturb,
    },
    Pause {
        us: u16,
    },
    Module {
        insert: bool,
    },
}

/// How often an operation is repeated.
const TIMES: [u8; 8] = [1, 1, 1, 2, 3, 8, 32, 128];

impl<'a> Arbitrary<'a> for Op {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let slot = |u: &mut Unstructured<'a>| u.int_in_range(0..=SLOTS as u8 - 1);
        let actor = |u: &mut Unstructured<'a>| u.int_in_range(0..=ACTORS_MAX as u8);
        let times = |u: &mut Unstructured<'a>| u.choose(&TIMES).copied();
        Ok(match u.int_in_range(0..=63)? {
            0..=8 => Self::Open {
                slot: slot(u)?,
                access: u.arbitrary()?,
                nonblock: u.arbitrary()?,
            },
            9..=12 => Self::Close { slot: slot(u)? },
            13..=23 => Self::Write {
                slot: slot(u)?,
                len: u.arbitrary()?,
                how: u.arbitrary()?,
                buffer: u.arbitrary()?,
                times: times(u)?,
            },
            24..=34 => Self::Read {
                slot: slot(u)?,
                len: u.arbitrary()?,
                how: u.arbitrary()?,
                buffer: u.arbitrary()?,
                times: times(u)?,
            },
            35 | 36 => Self::SendOut {
                slot: slot(u)?,
                len: u.arbitrary()?,
                sink: u.arbitrary()?,
            },
            37..=39 => Self::Wait {
                slot: slot(u)?,
                wait: u.arbitrary()?,
                write: u.arbitrary()?,
            },
            40 | 41 => Self::Set {
                slot: slot(u)?,
                setting: u.arbitrary()?,
            },
            42 | 43 => Self::Seek {
                slot: slot(u)?,
                to: u.arbitrary()?,
            },
            44 | 45 => Self::Headers {
                slot: slot(u)?,
                on: u.arbitrary()?,
            },
            46 => Self::Watermark {
                slot: slot(u)?,
                bytes: u.arbitrary()?,
                delay_us: u.arbitrary()?,
            },
            47 => Self::Query {
                slot: slot(u)?,
                query: u.arbitrary()?,
            },
            48..=50 => Self::Evict { slot: slot(u)? },
            51..=53 => Self::Resize {
                pages: *u.choose(&[1, 1, 2, 16, 64, 512, 512, 3])?,
            },
            54 => Self::Clear,
            55 => Self::Destroy,
            56 | 57 => Self::Ioctl {
                slot: slot(u)?,
                command: u.arbitrary()?,
                size: *u.choose(&[0, 0, 0, 0, 8, 4, -4, -8, 1, 127])?,
                at: u.arbitrary()?,
                value: u.arbitrary()?,
                short: u.ratio(1, 16)?,
            },
            58 => Self::Pass {
                slot: slot(u)?,
                pass: u.arbitrary()?,
            },
            59 => Self::Signal {
                actor: actor(u)?,
                restart: u.arbitrary()?,
            },
            60 => Self::Kill { actor: actor(u)? },
            61 => Self::Disturb {
                actor: actor(u)?,
                page: u.arbitrary()?,
                disturb: u.arbitrary()?,
            },
            62 => Self::Pause {
                us: u.int_in_range(0..=2_000)?,
            },
            _ => Self::Module {
                insert: u.arbitrary()?,
            },
        })
    }
}

/// An operation and the actor that does it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub actor: usize,
    pub op: Op,
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            actor: u.int_in_range(0..=ACTORS_MAX - 1)?,
            op: u.arbitrary()?,
        })
    }
}

/// A program, decoded.
#[derive(Clone, Debug)]
pub struct Program {
    pub setup: Setup,
    pub steps: Vec<Step>,
}

impl Program {
    /// Decodes a program. Bytes that are missing count as zeros.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut chunks = bytes.chunks(CHUNK);
        let setup = chunk(chunks.next().unwrap_or_default());
        let steps = chunks.take(STEPS_MAX).map(chunk).collect();
        Self { setup, steps }
    }

    /// Returns the program as text, a line for each step.
    pub fn listing(&self) -> String {
        let mut text = format!("{:?}\n", self.setup);
        for (number, step) in self.steps.iter().enumerate() {
            let who = if self.setup.actors == 0 || number < self.setup.prologue {
                0
            } else {
                1 + step.actor % self.setup.actors
            };
            let _ = writeln!(text, "{who}: {:?}", step.op);
        }
        text
    }
}

fn chunk<T: for<'a> Arbitrary<'a>>(bytes: &[u8]) -> T {
    T::arbitrary(&mut Unstructured::new(bytes)).expect("missing bytes are zeros")
}

/// Writes bytes in hexadecimal, without blanks.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads bytes in hexadecimal. Blanks and what follows a `#` in a line are skipped.
pub fn from_hex(text: &str) -> std::result::Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split('#').next().unwrap_or_default().bytes())
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if digits.len() % 2 != 0 {
        return Err("an odd number of hexadecimal digits".to_owned());
    }
    let digit = |byte: u8| {
        let digit = char::from(byte).to_digit(16);
        digit.ok_or_else(|| format!("{:?} is no hexadecimal digit", char::from(byte)))
    };
    digits
        .chunks(2)
        .map(|pair| Ok((digit(pair[0])? * 16 + digit(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn any_bytes_are_a_program() {
        let mut random = Random::new(1);
        for len in 0..=CHUNK * (STEPS_MAX + 2) {
            let mut bytes = vec![0; len];
            random.fill(&mut bytes);
            let program = Program::decode(&bytes);
            let steps = len.div_ceil(CHUNK).saturating_sub(1);
            assert_eq!(program.steps.len(), steps.min(STEPS_MAX));
        }
    }

    #[test]
    fn no_program_asks_for_what_is_readable() {
        // Only the account at the end of a program does.
        assert!(Len::of(Len::READABLE).is_readable());
        let mut random = Random::new(4);
        for _ in 0..10_000 {
            let mut bytes = [0; CHUNK];
            random.fill(&mut bytes);
            let len = Len::arbitrary(&mut Unstructured::new(&bytes)).expect("any bytes will do");
            assert!(!len.is_readable());
        }
    }

    #[test]
    fn a_step_does_not_depend_on_those_before_it() {
        let mut random = Random::new(2);
        let mut bytes = vec![0; CHUNK * 4];
        random.fill(&mut bytes);
        let last = format!("{:?}", Program::decode(&bytes).steps[2]);
        random.fill(&mut bytes[..CHUNK * 3]);
        assert_eq!(format!("{:?}", Program::decode(&bytes).steps[2]), last);
    }

    #[test]
    fn hexadecimal_form_is_read_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Ok(bytes));
        assert_eq!(
            from_hex("# a comment\n01 02 # more\n0f\n"),
            Ok(vec![1, 2, 15])
        );
        assert!(from_hex("012").is_err());
        assert!(from_hex("0g").is_err());
    }

    #[test]
    fn the_prologue_is_where_it_is_said_to_be() {
        let mut bytes = [0; CHUNK];
        for prologue in 0..=7 {
            bytes[PROLOGUE] = prologue;
            let decoded = Program::decode(&bytes).setup.prologue;
            assert_eq!(decoded, usize::from(prologue));
        }
    }

    #[test]
    fn every_kind_of_ring_can_be_asked_for() {
        let mut random = Random::new(3);
        let mut kinds: Vec<Kind> = Vec::new();
        for _ in 0..10_000 {
            let mut bytes = [0; CHUNK];
            random.fill(&mut bytes);
            let kind = Program::decode(&bytes).setup.kind;
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        assert_eq!(kinds.len(), 24);
    }
}
