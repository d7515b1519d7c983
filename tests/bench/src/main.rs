// SPDX-License-Identifier: GPL-2.0

//! Counts the instructions of a write(2) and the read(2) of what it wrote, through the ring and
//! its peers. `make bench` runs it in a guest and makes a table of what it prints.
//!
//! The guest has one CPU and a clock that counts instructions (see `clock.rs`), and one thread
//! holds both ends of each peer: nothing sleeps and nothing is woken, so a count is what the two
//! calls cost, the same on every machine. A repetition is many pairs in a row; peers and sizes take
//! turns. What is printed is raw: the instructions of each repetition, of the loop around the
//! pairs, and the interrupts that fell into it.
//!
//! Whether bytes come back as they were written is looked at between the repetitions, and for as
//! many bytes as a peer holds before the first.
//!
//! `ringdev-bench throughput` compares in time, with two CPUs: see `throughput.rs`.

mod batch;
mod clock;
mod interrupts;
mod peer;
mod throughput;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use batch::{BATCH_MAX, Batch, MESSAGE, MESSAGES};
use interrupts::Interrupts;
use peer::{Kind, Peer, pattern};

/// How many bytes a pair hands over, and how many pairs are a repetition: some hundred
/// thousand instructions, so that most repetitions lie between two ticks even at HZ=1000.
const SIZES: [(usize, u32); 6] = [
    (16, 256),
    (64, 256),
    (256, 256),
    (1024, 192),
    (4096, 128),
    (SIZE_MAX, 16),
];

const SIZE_MAX: usize = 65536;

/// How many repetitions each peer has at each size.
const ROUNDS: usize = 15;

/// The clock that the kernel has chosen.
const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// What the kernel says of each fault of CPUs that it knows; a mitigation costs instructions.
const VULNERABILITIES: &str = "/sys/devices/system/cpu/vulnerabilities";

/// One peer at one size.
struct Series {
    peer: &'static str,
    size: usize,
    /// Pairs in a repetition.
    pairs: u32,
    /// What a repetition costs that does nothing: the loop, and looking at the clock.
    overhead: u64,
    repetitions: Vec<Repetition>,
}

impl Series {
    fn to_json(&self) -> Value {
        let column =
            |of: fn(&Repetition) -> u64| self.repetitions.iter().map(of).collect::<Vec<_>>();
        json!({
            "peer": self.peer,
            "size": self.size,
            "pairs": self.pairs,
            "overhead": self.overhead,
            "instructions": column(|repetition| repetition.instructions),
            "interrupts": column(|repetition| repetition.interrupts),
        })
    }
}

/// So many pairs in a row.
struct Repetition {
    instructions: u64,
    /// The interrupts between a moment before and a moment after: none means that there was none.
    interrupts: u64,
}

impl Repetition {
    /// Calls `pair` so many times, and tells besides whether each call answered that it did all.
    #[inline(always)]
    fn of(
        interrupts: &mut Interrupts,
        pairs: u32,
        mut pair: impl FnMut() -> bool,
    ) -> io::Result<(Self, bool)> {
        let before = interrupts.count()?;
        let mut whole = true;
        let instructions = time(pairs, || whole &= pair());
        let after = interrupts.count()?;
        let repetition = Self {
            instructions,
            interrupts: after - before,
        };
        Ok((repetition, whole))
    }
}

/// What is written, or where it is read to: on pages of its own, so that a copy costs the same
/// whatever else the program has in memory.
#[repr(align(4096))]
struct Buffer([u8; SIZE_MAX]);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let report = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["instructions"] => run(),
        ["throughput"] => throughput::run(),
        _ => {
            eprintln!("usage: ringdev-bench [instructions | throughput]");
            return ExitCode::FAILURE;
        }
    };
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ringdev-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and returns what scripts/lab/bench.py reads.
fn run() -> Result<Value, Box<dyn Error>> {
    let calibration = clock::calibrate()?;
    let peers = Kind::ALL.map(Peer::open);
    let peers = peers.into_iter().collect::<Result<Vec<_>, _>>()?;

    let mut holds = Map::new();
    for peer in peers.iter().filter(|peer| peer.fills()) {
        holds.insert(peer.kind.name().to_owned(), peer.fill()?.into());
    }
    Ok(json!({
        "clocksource": read_line(CLOCKSOURCE)?,
        "calibration": {
            "instructions": calibration.instructions,
            "nanoseconds": calibration.nanoseconds,
        },
        "vulnerabilities": vulnerabilities()?,
        "holds": holds,
        "series": measure(&peers)?.iter().map(Series::to_json).collect::<Vec<_>>(),
        "batches": measure_batches()?.iter().map(Series::to_json).collect::<Vec<_>>(),
    }))
}

/// Measures each peer at each size.
fn measure(peers: &[Peer]) -> Result<Vec<Series>, Box<dyn Error>> {
    let mut bench = Bench {
        interrupts: Interrupts::open()?,
        out: Box::new(Buffer([0; SIZE_MAX])),
        back: Box::new(Buffer([0; SIZE_MAX])),
    };
    let mut all: Vec<(&Peer, Series)> = SIZES
        .iter()
        .flat_map(|&(size, pairs)| {
            peers.iter().map(move |peer| {
                let series = Series {
                    peer: peer.kind.name(),
                    size,
                    pairs,
                    overhead: overhead(pairs),
                    repetitions: Vec::with_capacity(ROUNDS),
                };
                (peer, series)
            })
        })
        .collect();
    // One round more than is kept: in the first, caches of the kernel fill up.
    for round in 0..=ROUNDS {
        for (peer, series) in &mut all {
            let repetition = bench.repeat(peer, series.size, series.pairs, round)?;
            if round > 0 {
                series.repetitions.push(repetition);
            }
        }
    }
    Ok(all.into_iter().map(|(_, series)| series).collect())
}

/// Measures messages that are written one by one and read in batches.
fn measure_batches() -> Result<Vec<Series>, Box<dyn Error>> {
    /// Batches in a repetition.
    const RUNS: u32 = 12;
    let mut interrupts = Interrupts::open()?;
    let mut out = [0; MESSAGE];
    let mut back = Box::new([0; BATCH_MAX]);
    let batches = Batch::all()?;
    let mut all: Vec<_> = batches
        .iter()
        .map(|batch| Series {
            peer: batch.name,
            size: MESSAGE,
            // What counts is a message.
            pairs: RUNS * MESSAGES as u32,
            overhead: overhead(RUNS),
            repetitions: Vec::with_capacity(ROUNDS),
        })
        .collect();
    for round in 0..=ROUNDS {
        for (batch, series) in batches.iter().zip(&mut all) {
            pattern(round, &mut out);
            back.fill(0);
            let (repetition, whole) =
                Repetition::of(&mut interrupts, RUNS, || batch.run(&out, &mut back))?;
            if !whole || !batch.is_intact(&out, &back) {
                return Err(format!("a batch of {} came back otherwise", batch.name).into());
            }
            if round > 0 {
                series.repetitions.push(repetition);
            }
        }
    }
    Ok(all)
}

/// What a repetition needs.
struct Bench {
    interrupts: Interrupts,
    out: Box<Buffer>,
    back: Box<Buffer>,
}

impl Bench {
    /// One repetition, and a look at what came back.
    fn repeat(
        &mut self,
        peer: &Peer,
        size: usize,
        pairs: u32,
        round: usize,
    ) -> Result<Repetition, Box<dyn Error>> {
        let out = &mut self.out.0[..size];
        let back = &mut self.back.0[..size];
        // Other bytes than in the last round, and none that are there already. Writing all of
        // both buffers also makes their pages present.
        pattern(round * size, out);
        back.fill(0);

        let (repetition, whole) =
            Repetition::of(&mut self.interrupts, pairs, || peer.pair(out, back))?;
        if !whole {
            return Err(format!("{} did less than {size} bytes in a call", peer.kind).into());
        }
        if peer.keeps() && back != out {
            return Err(format!("{} gave back other bytes than it got", peer.kind).into());
        }
        Ok(repetition)
    }
}

/// Measures what a repetition costs that does nothing.
fn overhead(pairs: u32) -> u64 {
    // The shortest of some: a timer interrupt may fall into one.
    (0..9)
        .map(|_| time(pairs, || _ = black_box(pairs)))
        .min()
        .unwrap_or(0)
}

/// Returns the instructions of so many calls.
#[inline(always)]
fn time(pairs: u32, mut pair: impl FnMut()) -> u64 {
    let start = clock::now();
    for _ in 0..pairs {
        pair();
    }
    clock::now() - start
}

fn vulnerabilities() -> Result<Map<String, Value>, Box<dyn Error>> {
    let mut known = Map::new();
    for entry in fs::read_dir(VULNERABILITIES)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        known.insert(name, read_line(entry.path())?.into());
    }
    Ok(known)
}

fn read_line(path: impl AsRef<Path>) -> Result<String, String> {
    let path = path.as_ref();
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}
