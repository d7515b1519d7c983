// SPDX-License-Identifier: GPL-2.0

//! Messages that are written one by one and read many at once.

use std::error::Error;

use ringdev::{Framing, Records, Ring};
use rustix::fd::OwnedFd;
use rustix::io::{dup, read, write};

use crate::peer::{CAPACITY, Kind, Peer, create_ring};

/// How long a message is.
pub const MESSAGE: usize = 64;

/// How many are read at once.
pub const MESSAGES: usize = 32;

/// The most that a batch has, with headers.
pub const BATCH_MAX: usize = MESSAGES * (MESSAGE + HEADER);

/// The header of a record: `struct ringdev_record`.
const HEADER: usize = 32;

/// A peer that messages are written to one by one, and read from in a batch.
pub struct Batch {
    pub name: &'static str,
    writer: OwnedFd,
    reader: OwnedFd,
    /// What precedes each message in what is read.
    header: usize,
}

impl Batch {
    /// All there are: records, and for comparison what keeps no boundaries.
    pub fn all() -> Result<Vec<Self>, Box<dyn Error>> {
        let mut all = vec![Self::records()?];
        for (name, kind) in [
            ("ring", Kind::Ring),
            ("pipe", Kind::Pipe),
            ("unix", Kind::Unix),
        ] {
            let peer = Peer::open(kind)?;
            all.push(Self {
                name,
                writer: dup(peer.writer())?,
                reader: dup(peer.reader())?,
                header: 0,
            });
        }
        Ok(all)
    }

    /// A ring with records, whose reader gets them with their headers.
    fn records() -> Result<Self, Box<dyn Error>> {
        let name = "bench-records".parse()?;
        create_ring(&name, Framing::Record)?;
        let open = |write: bool| Ring::options().read(!write).write(write).open(&name);
        let records = Records::with_batch(open(false)?, CAPACITY)?;
        Ok(Self {
            name: "records",
            writer: open(true)?.into(),
            // It is the same endpoint, and stays in the mode that it was put into.
            reader: dup(records.ring())?,
            header: HEADER,
        })
    }

    /// Writes a message so many times and reads all of them. Tells whether each call did all that
    /// it was asked for.
    #[inline(always)]
    pub fn run(&self, out: &[u8; MESSAGE], back: &mut [u8; BATCH_MAX]) -> bool {
        let mut whole = true;
        for _ in 0..MESSAGES {
            whole &= write(&self.writer, out) == Ok(MESSAGE);
        }
        whole & (read(&self.reader, &mut back[..]) == Ok(MESSAGES * (self.header + MESSAGE)))
    }

    /// Whether the last batch has what was written.
    pub fn is_intact(&self, out: &[u8; MESSAGE], back: &[u8; BATCH_MAX]) -> bool {
        back.chunks_exact(self.header + MESSAGE)
            .take(MESSAGES)
            .all(|message| message[self.header..] == out[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_through_a_pipe_is_whole_and_intact() {
        let peer = Peer::open(Kind::Pipe).expect("open the pipe");
        let batch = Batch {
            name: "pipe",
            writer: dup(peer.writer()).expect("dup"),
            reader: dup(peer.reader()).expect("dup"),
            header: 0,
        };
        let out = [7; MESSAGE];
        let mut back = [0; BATCH_MAX];
        assert!(batch.run(&out, &mut back));
        assert!(batch.is_intact(&out, &back));
        back[MESSAGE] = 0;
        assert!(!batch.is_intact(&out, &back));
    }
}
