// SPDX-License-Identifier: GPL-2.0

//! Messages that are read many at once, and written one by one or many at once as well.

use std::error::Error;
use std::io::IoSlice;

use ringdev::{Framing, Records};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use rustix::io::{dup, writev};

use crate::count::{Bench, Label, Repetition, Subject};
use crate::peer::{CAPACITY, Ends, Files, Kind, Peer, pattern};
use crate::rings::Driver;
use crate::uring::Uring;

/// How long a message is.
const MESSAGE: usize = 64;

/// How many are a batch.
const MESSAGES: usize = 32;

/// The header of a record: `struct ringdev_record`.
const HEADER: usize = 32;

/// Batches in a repetition.
const RUNS: u32 = 12;

/// How a batch is written.
enum Writes {
    /// A write for each message.
    Single,
    /// One writev(2).
    Vectored,
    /// A request for each message, and one system call for all of them.
    Uring(Uring),
}

struct Batch {
    label: Label,
    ends: Ends,
    writes: Writes,
    /// What precedes each message in what is read.
    header: usize,
    /// How many messages a read has.
    at_once: usize,
}

/// What keeps no boundaries, what does, and records.
pub fn subjects() -> Result<Vec<Box<dyn Subject>>, Box<dyn Error>> {
    let mut all = Vec::new();
    for kind in [Kind::Ring, Kind::Pipe, Kind::Unix, Kind::Twin] {
        for writes in [
            Writes::Single,
            Writes::Vectored,
            Writes::Uring(Uring::new(MESSAGES as u32)?),
        ] {
            let ends = Peer::open(kind, MESSAGE)?.ends;
            all.push(Batch::new(kind.name(), ends, writes));
        }
    }
    for kind in [Kind::Seqpacket, Kind::Mqueue] {
        let ends = Peer::open(kind, MESSAGE)?.ends;
        let batch = Batch::new(kind.name(), ends, Writes::Single);
        all.push(Batch {
            at_once: 1,
            ..batch
        });
    }
    for (name, driver) in [("records", Driver::Rust), ("records of twin", Driver::Twin)] {
        driver.create("bench-records", |ring| ring.framing(Framing::Record))?;
        for writes in [Writes::Single, Writes::Uring(Uring::new(MESSAGES as u32)?)] {
            let batch = Batch::new(name, records(driver)?, writes);
            all.push(Batch {
                header: HEADER,
                ..batch
            });
        }
    }
    Ok(all.into_iter().map(|batch| Box::new(batch) as _).collect())
}

/// Opens a ring with records, whose reader gets them with their headers.
fn records(driver: Driver) -> Result<Ends, Box<dyn Error>> {
    let open = |flags| driver.open("bench-records", flags);
    let records = Records::with_batch(open(OFlags::RDONLY)?, CAPACITY)?;
    Ok(Ends::Files(Files {
        writer: open(OFlags::WRONLY)?.into(),
        // It is the same endpoint, and stays in the mode that it was put into.
        reader: dup(records.ring())?,
    }))
}

impl Batch {
    fn new(peer: &'static str, ends: Ends, writes: Writes) -> Self {
        let label = Label {
            peer,
            way: match writes {
                Writes::Single => "write",
                Writes::Vectored => "writev",
                Writes::Uring(_) => "io_uring",
            },
            size: MESSAGE,
            readers: 1,
            runs: RUNS,
            messages: MESSAGES as u32,
        };
        Self {
            label,
            ends,
            writes,
            header: 0,
            at_once: MESSAGES,
        }
    }

    /// Writes a message so many times and reads all of them. Tells whether each call did all that
    /// it was asked for.
    #[inline(always)]
    fn run(&mut self, out: &[u8], back: &mut [u8]) -> bool {
        let length = self.at_once * (self.header + MESSAGE);
        let mut reads = back.chunks_exact_mut(length);
        match &self.ends {
            Ends::Files(files) => {
                let written = match &mut self.writes {
                    Writes::Single => (0..MESSAGES).all(|_| files.send(out) == Ok(MESSAGE)),
                    Writes::Vectored => {
                        let messages = [IoSlice::new(out); MESSAGES];
                        writev(&files.writer, &messages) == Ok(MESSAGES * MESSAGE)
                    }
                    Writes::Uring(uring) => uring.write(files.writer.as_fd(), out, MESSAGES),
                };
                written && reads.all(|piece| files.receive(piece) == Ok(length))
            }
            Ends::Queue(queue) => {
                (0..MESSAGES).all(|_| queue.send(out) == Ok(MESSAGE))
                    && reads.all(|piece| queue.receive(piece) == Ok(length))
            }
        }
    }
}

impl Subject for Batch {
    fn label(&self) -> &Label {
        &self.label
    }

    fn repeat(&mut self, bench: &mut Bench, round: usize) -> Result<Repetition, Box<dyn Error>> {
        let out = bench.out.first(MESSAGE);
        let each = self.header + MESSAGE;
        let back = bench.back.first(MESSAGES * each);
        pattern(round, out);
        back.fill(0);
        let repetition = bench.counter.count(RUNS, || self.run(out, back))?;
        let intact = |message: &[u8]| message[self.header..] == *out;
        if !back.chunks_exact(each).all(intact) {
            return Err("it gave back other messages than it got".into());
        }
        Ok(repetition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeat(kind: Kind, writes: Writes, at_once: usize) -> Result<Repetition, Box<dyn Error>> {
        let ends = Peer::open(kind, MESSAGE)?.ends;
        let batch = Batch::new(kind.name(), ends, writes);
        Batch { at_once, ..batch }.repeat(&mut Bench::new()?, 1)
    }

    #[test]
    fn a_batch_comes_through_a_pipe_and_through_sockets() {
        for writes in [Writes::Single, Writes::Vectored] {
            repeat(Kind::Pipe, writes, MESSAGES).expect("a batch");
        }
        repeat(Kind::Seqpacket, Writes::Single, 1).expect("a batch");
    }

    #[test]
    fn a_batch_that_comes_in_pieces_is_refused() {
        assert!(repeat(Kind::Seqpacket, Writes::Single, MESSAGES).is_err());
    }
}
