// SPDX-License-Identifier: GPL-2.0

//! Counts the instructions of what is done many times in a row.
//!
//! The guest has one CPU and a clock that counts instructions (see `clock.rs`), and one thread
//! holds all ends: nothing sleeps and nothing is woken, so a count is what the calls cost, the same
//! on every machine. All that is compared takes turns. What is reported is raw: the instructions of
//! each repetition, of the loop around the calls, and the interrupts that fell into it.

use std::error::Error;
use std::hint::black_box;
use std::io;

use serde_json::{Value, json};

use crate::clock;
use crate::interrupts::Interrupts;

/// The largest message.
pub const SIZE_MAX: usize = 1 << 20;

/// How many repetitions each subject has.
const ROUNDS: usize = 15;

/// What is counted, and under which name.
#[derive(Clone, Debug)]
pub struct Label {
    pub peer: &'static str,
    /// How its calls are made, where there are several ways.
    pub way: &'static str,
    /// Bytes in a message.
    pub size: usize,
    /// Who gets it.
    pub readers: usize,
    /// How often a repetition does it: some hundred thousand instructions, so that most
    /// repetitions lie between two ticks even at HZ=1000.
    pub runs: u32,
    /// How many messages that is, each time.
    pub messages: u32,
}

/// Something whose instructions are counted.
pub trait Subject {
    fn label(&self) -> &Label;

    /// One repetition, and a look at what came of it. Other bytes are handed over in each round.
    fn repeat(&mut self, bench: &mut Bench, round: usize) -> Result<Repetition, Box<dyn Error>>;
}

/// So many runs in a row.
pub struct Repetition {
    instructions: u64,
    /// The interrupts between a moment before and a moment after: none means that there was none.
    interrupts: u64,
}

/// What a repetition needs.
pub struct Bench {
    pub counter: Counter,
    pub out: Buffer,
    pub back: Buffer,
}

impl Bench {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            counter: Counter(Interrupts::open()?),
            out: Buffer::new(),
            back: Buffer::new(),
        })
    }
}

/// What is written, or where it is read to: on pages of its own, so that a copy costs the same
/// whatever else the program has in memory.
pub struct Buffer(Vec<u8>);

impl Buffer {
    const PAGE: usize = 4096;

    fn new() -> Self {
        // Other than zero, so that its pages are there.
        Self(vec![1; SIZE_MAX + Self::PAGE])
    }

    /// The first so many bytes.
    pub fn first(&mut self, count: usize) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(Self::PAGE);
        &mut self.0[start..][..count]
    }
}

/// Counts instructions, and the interrupts among them.
pub struct Counter(Interrupts);

impl Counter {
    /// Calls `run` so many times. Each call has to answer that it did all that it was to do.
    #[inline(always)]
    pub fn count(
        &mut self,
        runs: u32,
        mut run: impl FnMut() -> bool,
    ) -> Result<Repetition, Box<dyn Error>> {
        let before = self.0.count()?;
        let mut whole = true;
        let instructions = time(runs, || whole &= run());
        let after = self.0.count()?;
        if !whole {
            return Err("a call did less than it was asked for".into());
        }
        Ok(Repetition {
            instructions,
            interrupts: after - before,
        })
    }
}

/// Counts what each subject costs, and returns what scripts/lab/costs.py reads.
pub fn count(mut subjects: Vec<Box<dyn Subject>>) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut bench = Bench::new()?;
    let mut all: Vec<Vec<Repetition>> = subjects.iter().map(|_| Vec::new()).collect();
    // One round more than is kept: in the first, caches of the kernel fill up.
    for round in 0..=ROUNDS {
        for (subject, repetitions) in subjects.iter_mut().zip(&mut all) {
            let repetition = subject.repeat(&mut bench, round);
            let repetition =
                repetition.map_err(|error| format!("{:?}: {error}", subject.label()))?;
            if round > 0 {
                repetitions.push(repetition);
            }
        }
    }
    let series = subjects.iter().zip(&all);
    Ok(series
        .map(|(subject, repetitions)| to_json(subject.label(), repetitions))
        .collect())
}

fn to_json(label: &Label, repetitions: &[Repetition]) -> Value {
    let column = |of: fn(&Repetition) -> u64| repetitions.iter().map(of).collect::<Vec<_>>();
    json!({
        "peer": label.peer,
        "way": label.way,
        "size": label.size,
        "readers": label.readers,
        "operations": label.runs * label.messages,
        "overhead": overhead(label.runs),
        "instructions": column(|repetition| repetition.instructions),
        "interrupts": column(|repetition| repetition.interrupts),
    })
}

/// What a repetition costs that does nothing: the loop, and looking at the clock.
fn overhead(runs: u32) -> u64 {
    // The shortest of some: a timer interrupt may fall into one.
    (0..9)
        .map(|_| time(runs, || _ = black_box(runs)))
        .min()
        .unwrap_or(0)
}

/// Returns the instructions of so many calls.
#[inline(always)]
fn time(runs: u32, mut run: impl FnMut()) -> u64 {
    let start = clock::now();
    for _ in 0..runs {
        run();
    }
    clock::now() - start
}
