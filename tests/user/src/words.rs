// SPDX-License-Identifier: GPL-2.0

//! What tests of all kinds of rings send: messages of words that say who wrote them and in which
//! order, and accounts of what became of them.
//!
//! A message is one write. In a ring with records it is a record, and records are counted; in a
//! stream it is some more words, of which some may go under, and bytes are counted. As every
//! write, every read and every capacity is a multiple of a word, words stay whole.

use nix::errno::Errno;

use crate::abi;
use crate::control::Kind;
use crate::endpoint::Endpoint;
use crate::random::Random;

pub const WORD: usize = 8;

/// The most words of a message: as many as a record may have in a ring of a page.
pub const WORDS_MAX: u64 = 1024 / WORD as u64;

/// The most writers that can be told apart.
const WRITERS: usize = 16;

/// Where the number of a word ends and that of its writer begins.
const WRITER_SHIFT: u32 = 40;

/// What a ring, a cursor, or somebody who uses it, says has happened to what was sent: in
/// records, or in bytes of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub sent: u64,
    pub accepted: u64,
    pub dropped: u64,
    pub received: u64,
    pub lost: u64,
}

impl Account {
    /// What the ring says.
    pub fn of_ring(kind: Kind, info: &abi::Info) -> Self {
        let (accepted, dropped, received, lost) = if kind.is_stream() {
            let lost = info.bytes_lost;
            (info.bytes_in, info.bytes_dropped, info.bytes_out, lost)
        } else {
            let lost = info.records_lost;
            (
                info.records_in,
                info.records_dropped,
                info.records_out,
                lost,
            )
        };
        Self {
            sent: accepted + dropped,
            accepted,
            dropped,
            received,
            lost,
        }
    }

    /// What a cursor says.
    pub fn of_cursor(kind: Kind, cursor: &abi::Cursor) -> Self {
        let (received, lost) = if kind.is_stream() {
            (cursor.bytes_out, cursor.bytes_lost)
        } else {
            (cursor.records_out, cursor.records_lost)
        };
        Self {
            received,
            lost,
            ..Self::default()
        }
    }

    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.dropped += other.dropped;
        self.received += other.received;
        self.lost += other.lost;
    }
}

/// Somebody who sends messages.
pub struct Sender {
    ring: Endpoint,
    kind: Kind,
    number: u64,
    next: u64,
    random: Random,
    pub account: Account,
}

impl Sender {
    pub fn new(ring: Endpoint, kind: Kind, number: u64) -> Self {
        assert!((number as usize) < WRITERS);
        Self {
            ring,
            kind,
            number,
            next: 1,
            random: Random::new(number),
            account: Account::default(),
        }
    }

    /// Goes on with another ring, and returns the account of the one before.
    pub fn turn_to(&mut self, ring: Endpoint, kind: Kind) -> Account {
        self.ring = ring;
        self.kind = kind;
        std::mem::take(&mut self.account)
    }

    /// The next message, of so many words.
    fn message(&mut self, words: u64) -> Vec<u8> {
        let first = self.next;
        self.next += words;
        (first..self.next)
            .flat_map(|word| ((self.number << WRITER_SHIFT) | word).to_ne_bytes())
            .collect()
    }

    /// Sends messages of all sizes until this is the number of messages.
    pub fn send_many(&mut self, messages: u64) {
        for _ in 0..messages {
            let words = self.random.up_to(WORDS_MAX);
            self.send(words).expect("write");
        }
    }

    /// Sends a message of all sizes.
    pub fn send_any(&mut self) -> nix::Result<()> {
        let words = self.random.up_to(WORDS_MAX);
        self.send(words)
    }

    /// Sends a message of so many words, or has it dropped. After a signal it goes on. On another
    /// error the rest of the message was never sent.
    pub fn send(&mut self, words: u64) -> nix::Result<()> {
        let message = self.message(words);
        let mut left = message.as_slice();
        while !left.is_empty() {
            let whole = if self.kind.is_stream() {
                left.len() as u64
            } else {
                1
            };
            let (done, result) = match self.ring.write(left) {
                Ok(count) if self.kind.is_stream() => {
                    self.account.accepted += count as u64;
                    left = &left[count..];
                    (count as u64, Ok(()))
                }
                Ok(count) => {
                    assert_eq!(count, left.len(), "a record is written whole");
                    self.account.accepted += 1;
                    left = &[];
                    (1, Ok(()))
                }
                Err(Errno::ENOBUFS) => {
                    assert!(self.kind.drops());
                    self.account.dropped += whole;
                    left = &[];
                    (whole, Ok(()))
                }
                Err(Errno::EINTR) => (0, Ok(())),
                Err(error) => (0, Err(error)),
            };
            self.account.sent += done;
            result?;
        }
        Ok(())
    }
}

/// Somebody who receives messages, and looks at every word.
pub struct Receiver {
    pub ring: Endpoint,
    kind: Kind,
    /// The last word of each writer.
    last: [u64; WRITERS],
    random: Random,
    pub account: Account,
}

impl Receiver {
    pub fn new(ring: Endpoint, kind: Kind) -> Self {
        Self {
            ring,
            kind,
            last: [0; WRITERS],
            random: Random::new(9),
            account: Account::default(),
        }
    }

    /// One read. Answers how much it was: records or bytes, 0 at the end.
    pub fn receive(&mut self) -> nix::Result<u64> {
        let words = match self.kind.is_stream() {
            true => self.random.up_to(2 * WORDS_MAX),
            false => WORDS_MAX,
        };
        let bytes = self.ring.take(words as usize * WORD)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        self.check(&bytes);
        let count = if self.kind.is_stream() {
            bytes.len() as u64
        } else {
            1
        };
        self.account.received += count;
        Ok(count)
    }

    /// One read with headers, which has to be on. Answers as [`Receiver::receive`] does.
    pub fn receive_batch(&mut self) -> nix::Result<u64> {
        let records = self.ring.take_records(4096)?;
        for (_, payload) in &records {
            self.check(payload);
        }
        let in_order = records.is_sorted_by(|(one, _), (two, _)| {
            one.sequence < two.sequence && one.timestamp_ns <= two.timestamp_ns
        });
        assert!(in_order, "records out of order");
        self.account.received += records.len() as u64;
        Ok(records.len() as u64)
    }

    /// Receives until there is nothing more right now, or no more at all.
    pub fn drain(&mut self) {
        self.ring.set_nonblocking(true);
        loop {
            match self.receive() {
                Ok(0) | Err(Errno::EAGAIN) => break,
                Ok(_) => {}
                Err(error) => panic!("read: {error}"),
            }
        }
        self.ring.set_nonblocking(false);
    }

    /// Fails unless these are words that were written, each writer's in order; in a record, those
    /// of one message, in one piece.
    pub fn check(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len() % WORD, 0, "a word is broken");
        let mut before = None;
        for word in bytes.chunks_exact(WORD) {
            let word = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
            let writer = (word >> WRITER_SHIFT) as usize;
            assert!(writer < WRITERS, "nobody wrote {word:#x}");
            let last = &mut self.last[writer];
            assert!(word > *last, "{word:#x} after {:#x}", *last);
            *last = word;
            if !self.kind.is_stream() {
                let joined = before.is_none_or(|before: u64| word == before + 1);
                assert!(joined, "a record is broken at {word:#x}");
            }
            before = Some(word);
        }
    }
}
