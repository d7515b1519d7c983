// SPDX-License-Identifier: GPL-2.0

//! `ringctl`: makes, shows, fills and empties the ring buffers under `/dev/ring`.
//!
//! Ends with 0, with 1 and one line on stderr, or with 2 if it was called in a wrong way.

#![forbid(unsafe_code)]

mod args;
mod cat;
mod describe;
mod failure;
mod json;
mod list;
mod manage;
mod output;
mod quantity;
mod signals;
mod stat;
mod table;
mod terminal;
mod text;
mod wait;
mod watermark;
mod write;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::{Failure, Outcome};
use crate::manage::control;
use crate::output::print;

/// What it ends with if it was called in a wrong way.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match Args::try_parse() {
        Ok(args) => run(args.command),
        Err(error) if error.use_stderr() => {
            let _ = write!(io::stderr(), "{error}");
            return ExitCode::from(USAGE);
        }
        // Help, or the version. clap would not say that it cannot be written.
        Err(text) => print(text.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads the output has seen enough, as `head` does.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // If stderr is gone as well, the exit code has to do.
            let _ = writeln!(io::stderr(), "ringctl: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Create(args) => manage::create(&control()?, args),
        Command::Destroy { rings } => manage::destroy(&control()?, &rings),
        Command::Resize { ring, capacity } => manage::resize(&control()?, &ring, capacity),
        Command::Clear { rings } => manage::clear(&control()?, &rings),
        Command::Evict { ring, cursor } => manage::evict(&control()?, &ring, cursor),
        Command::List { json } => list::run(&control()?, json),
        Command::Stat(args) => stat::run(&control()?, &args),
        Command::Cat(args) => cat::run(&args),
        Command::Write(args) => write::run(&args),
        Command::Watermark { ring, bytes, delay } => watermark::run(&ring, bytes, delay),
        Command::Completions { shell } => describe::completions(shell),
    }
}
