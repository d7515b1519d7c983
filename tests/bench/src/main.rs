// SPDX-License-Identifier: GPL-2.0

//! Measures what it costs to hand bytes from a write(2) to a read(2), through the ring and its
//! peers. `make bench` runs it in a guest and makes tables of what it prints.
//!
//! `ringdev-bench instructions` counts, with one CPU (`count.rs`): the instructions are the same on
//! every machine. What is counted is in `pair.rs`, `batch.rs`, `broadcast.rs` and `overwrite.rs`.
//!
//! `ringdev-bench times` compares in time, with two CPUs (`timing.rs`): `throughput.rs` and
//! `round_trip.rs`.
//!
//! With the names of peers behind it, it does so for these alone.

mod batch;
mod broadcast;
mod clock;
mod count;
mod instructions;
mod interrupts;
mod memory;
mod overwrite;
mod pair;
mod peer;
mod queue;
mod rings;
mod round_trip;
mod throughput;
mod timing;
mod uring;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let report = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["instructions", ref peers @ ..] => instructions::run(peers),
        ["times", ref peers @ ..] => timing::run(peers),
        _ => {
            eprintln!("usage: ringdev-bench instructions|times [PEER...]");
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
