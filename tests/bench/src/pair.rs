// SPDX-License-Identifier: GPL-2.0

//! A write(2) of a message, and the read(2) of it.
//!
//! What is larger than a peer goes through it bit by bit: the writer writes what there is room for,
//! the reader reads what is there, and neither waits.

use std::error::Error;

use crate::count::{Bench, Label, Repetition, SIZE_MAX, Subject};
use crate::peer::{CAPACITY, Ends, Files, Kind, Peer, pattern};

/// How many bytes are handed over, and how many times in a repetition.
const SIZES: [(usize, u32); 7] = [
    (16, 256),
    (64, 256),
    (256, 256),
    (1024, 192),
    (4096, 128),
    (65_536, 16),
    (SIZE_MAX, 2),
];

struct Pair {
    label: Label,
    peer: Peer,
}

/// Every peer at every size that it can do.
pub fn subjects() -> Result<Vec<Box<dyn Subject>>, String> {
    let mut all: Vec<Box<dyn Subject>> = Vec::new();
    for (size, runs) in SIZES {
        for kind in Kind::ALL {
            if size > CAPACITY && (kind.keeps_messages() || !kind.keeps()) {
                continue;
            }
            all.push(Box::new(Pair::new(kind, size, runs)?));
        }
    }
    Ok(all)
}

impl Pair {
    fn new(kind: Kind, size: usize, runs: u32) -> Result<Self, String> {
        let label = Label {
            peer: kind.name(),
            way: "pair",
            size,
            readers: 1,
            runs,
            messages: 1,
        };
        let peer = Peer::open(kind, size)?;
        match &peer.ends {
            Ends::Files(files) if size > CAPACITY => {
                files.set_nonblocking().map_err(|error| error.to_string())?;
            }
            _ => {}
        }
        Ok(Self { label, peer })
    }
}

impl Subject for Pair {
    fn label(&self) -> &Label {
        &self.label
    }

    fn repeat(&mut self, bench: &mut Bench, round: usize) -> Result<Repetition, Box<dyn Error>> {
        let Label { size, runs, .. } = self.label;
        let keeps = self.peer.kind.keeps();
        let out = bench.out.first(size);
        let back = bench.back.first(size);
        pattern(round * size, out);
        back.fill(0);

        let counter = &mut bench.counter;
        let repetition = match &self.peer.ends {
            Ends::Files(files) if size > CAPACITY => {
                counter.count(runs, || bit_by_bit(files, out, back))
            }
            Ends::Files(files) => {
                let expected = if keeps { size } else { 0 };
                counter.count(runs, || {
                    files.send(out) == Ok(out.len()) && files.receive(back) == Ok(expected)
                })
            }
            Ends::Queue(queue) => counter.count(runs, || {
                queue.send(out) == Ok(out.len()) && queue.receive(back) == Ok(back.len())
            }),
        }?;
        if keeps && back != out {
            return Err("it gave back other bytes than it got".into());
        }
        Ok(repetition)
    }
}

/// Hands over more than fits. Tells whether no call had to wait: each time all that was written is
/// read, so that the next write finds room.
#[inline(always)]
fn bit_by_bit(files: &Files, out: &[u8], back: &mut [u8]) -> bool {
    let (mut sent, mut seen) = (0, 0);
    while seen < out.len() {
        let Ok(count) = files.send(&out[sent..]) else {
            return false;
        };
        sent += count;
        while seen < sent {
            let Ok(count) = files.receive(&mut back[seen..]) else {
                return false;
            };
            seen += count;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags};

    use super::*;

    #[test]
    fn more_than_fits_comes_through_a_pipe() {
        let mut pair = Pair::new(Kind::Pipe, SIZE_MAX, 1).expect("open the pipe");
        let mut bench = Bench::new().expect("count interrupts");
        pair.repeat(&mut bench, 1).expect("hand it over");
        assert_eq!(bench.out.first(SIZE_MAX), bench.back.first(SIZE_MAX));
    }

    #[test]
    fn a_pair_through_a_pipe_gives_back_what_was_written() {
        let mut pair = Pair::new(Kind::Pipe, 65_536, 2).expect("open the pipe");
        let mut bench = Bench::new().expect("count interrupts");
        pair.repeat(&mut bench, 1).expect("hand it over");
        assert_eq!(bench.out.first(65_536), bench.back.first(65_536));
    }

    #[test]
    fn a_pair_that_comes_back_short_is_refused() {
        let mut pair = Pair::new(Kind::Pipe, 64, 1).expect("open the pipe");
        if let Ends::Files(files) = &mut pair.peer.ends {
            files.set_nonblocking().expect("set up the reader");
            let null = rustix::fs::open("/dev/null", OFlags::WRONLY, Mode::empty());
            files.writer = null.expect("open null");
        }
        let mut bench = Bench::new().expect("count interrupts");
        let error = pair.repeat(&mut bench, 1).err().expect("nothing came back");
        assert_eq!(error.to_string(), "a call did less than it was asked for");
    }
}
