// SPDX-License-Identifier: GPL-2.0

//! A message to several readers, each of which gets it: a ring with broadcast delivery is written
//! once, and of anything else there has to be one for each reader.

use std::error::Error;

use ringdev::Delivery;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::{read, write};

use crate::count::{Bench, Label, Repetition, Subject};
use crate::peer::{Ends, Kind, Peer, pattern};
use crate::rings::Driver;

/// How large a message is, and how many a repetition writes or reads in all. Every peer has room
/// for them.
const SIZES: [(usize, usize); 2] = [(64, 256), (4096, 48)];

/// To how many readers it goes.
const READERS: [usize; 4] = [1, 2, 4, 8];

/// Which of the calls are counted; the others are made as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Writes,
    Reads,
}

struct Broadcast {
    label: Label,
    counted: Counted,
    writers: Vec<OwnedFd>,
    readers: Vec<OwnedFd>,
}

/// Rings, and as many pipes and sockets as there are readers.
pub fn subjects() -> Result<Vec<Box<dyn Subject>>, Box<dyn Error>> {
    let mut all: Vec<Box<dyn Subject>> = Vec::new();
    for (size, messages) in SIZES {
        for readers in READERS {
            for counted in [Counted::Writes, Counted::Reads] {
                let mut add = |peer, (to, from)| {
                    let label = Label {
                        peer,
                        way: match counted {
                            Counted::Writes => "write",
                            Counted::Reads => "read",
                        },
                        size,
                        readers,
                        // CAST: A few.
                        runs: (messages / readers) as u32,
                        messages: 1,
                    };
                    all.push(Box::new(Broadcast {
                        label,
                        counted,
                        writers: to,
                        readers: from,
                    }));
                };
                for driver in Driver::ALL {
                    let name = format!("bench-{size}-{readers}-{counted:?}");
                    add(driver.peer(), one_for_all(driver, &name, readers)?);
                }
                for kind in [Kind::Pipe, Kind::Unix] {
                    add(kind.name(), one_for_each(kind, readers)?);
                }
            }
        }
    }
    Ok(all)
}

/// A ring that each reader sees everything of: its writer and its readers.
fn one_for_all(
    driver: Driver,
    name: &str,
    readers: usize,
) -> Result<(Vec<OwnedFd>, Vec<OwnedFd>), Box<dyn Error>> {
    driver.create(name, |ring| ring.delivery(Delivery::Broadcast))?;
    let open = |flags| driver.open(name, flags).map(OwnedFd::from);
    let readers = (0..readers).map(|_| open(OFlags::RDONLY));
    Ok((
        vec![open(OFlags::WRONLY)?],
        readers.collect::<Result<_, _>>()?,
    ))
}

/// A peer of the kind for each reader.
fn one_for_each(
    kind: Kind,
    readers: usize,
) -> Result<(Vec<OwnedFd>, Vec<OwnedFd>), Box<dyn Error>> {
    let mut ends = (Vec::new(), Vec::new());
    for _ in 0..readers {
        match Peer::open(kind, 0)?.ends {
            Ends::Files(files) => {
                ends.0.push(files.writer);
                ends.1.push(files.reader);
            }
            Ends::Queue(_) => return Err("a queue has one end".into()),
        }
    }
    Ok(ends)
}

impl Subject for Broadcast {
    fn label(&self) -> &Label {
        &self.label
    }

    fn repeat(&mut self, bench: &mut Bench, round: usize) -> Result<Repetition, Box<dyn Error>> {
        let Label { size, runs, .. } = self.label;
        let out = bench.out.first(size);
        let back = bench.back.first(size);
        pattern(round * size, out);
        back.fill(0);
        let counter = &mut bench.counter;
        let written = counter.count(runs, || {
            self.writers.iter().all(|end| write(end, out) == Ok(size))
        })?;
        let seen = counter.count(runs, || {
            self.readers
                .iter()
                .all(|end| read(end, &mut *back) == Ok(size))
        })?;
        if back != out {
            return Err("it gave back other bytes than it got".into());
        }
        Ok(match self.counted {
            Counted::Writes => written,
            Counted::Reads => seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_has_a_pipe_of_its_own() {
        let (writers, readers) = one_for_each(Kind::Pipe, 3).expect("three pipes");
        assert_eq!((writers.len(), readers.len()), (3, 3));
        let label = Label {
            peer: "pipe",
            way: "write",
            size: 64,
            readers: 3,
            runs: 2,
            messages: 1,
        };
        let mut broadcast = Broadcast {
            label,
            counted: Counted::Writes,
            writers,
            readers,
        };
        let mut bench = Bench::new().expect("count interrupts");
        broadcast.repeat(&mut bench, 1).expect("hand it to all");
    }
}
