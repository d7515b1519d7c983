// SPDX-License-Identifier: GPL-2.0

//! Writes into a ring that is full, overwrites the oldest, and has a reader that stands still: what
//! a flight recorder costs.

use std::error::Error;

use ringdev::{Framing, Full, Ring};
use rustix::fs::OFlags;
use rustix::io::write;

use crate::count::{Bench, Label, Repetition, Subject};
use crate::peer::{CAPACITY, pattern};
use crate::rings::Driver;

/// How large a message is, and how many of them are a repetition.
const SIZES: [(usize, u32); 2] = [(64, 256), (4096, 128)];

struct Overwrite {
    label: Label,
    writer: Ring,
    /// It never reads.
    _reader: Ring,
}

/// Both drivers, streams and records.
pub fn subjects() -> Result<Vec<Box<dyn Subject>>, Box<dyn Error>> {
    let mut all: Vec<Box<dyn Subject>> = Vec::new();
    for (size, runs) in SIZES {
        for driver in Driver::ALL {
            for (way, framing) in [("stream", Framing::Stream), ("record", Framing::Record)] {
                let name = format!("bench-{size}-{way}");
                driver.create(&name, |ring| ring.framing(framing).full(Full::Overwrite))?;
                let label = Label {
                    peer: driver.peer(),
                    way,
                    size,
                    readers: 1,
                    runs,
                    messages: 1,
                };
                let subject = Overwrite {
                    label,
                    writer: driver.open(&name, OFlags::WRONLY)?,
                    _reader: driver.open(&name, OFlags::RDONLY)?,
                };
                for _ in 0..=CAPACITY / size {
                    write(&subject.writer, &vec![0; size])?;
                }
                all.push(Box::new(subject));
            }
        }
    }
    Ok(all)
}

impl Subject for Overwrite {
    fn label(&self) -> &Label {
        &self.label
    }

    fn repeat(&mut self, bench: &mut Bench, round: usize) -> Result<Repetition, Box<dyn Error>> {
        let Label { size, runs, .. } = self.label;
        let out = bench.out.first(size);
        pattern(round * size, out);
        let before = self.writer.info()?;
        let repetition = bench
            .counter
            .count(runs, || write(&self.writer, out) == Ok(size))?;
        let after = self.writer.info()?;
        let taken = after.bytes_in - before.bytes_in;
        // CAST: A repetition has far fewer bytes than any integer.
        if taken != u64::from(runs) * size as u64 || after.bytes_out > 0 {
            return Err("not all was written over what nobody had read".into());
        }
        Ok(repetition)
    }
}
