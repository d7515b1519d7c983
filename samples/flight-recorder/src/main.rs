// SPDX-License-Identifier: GPL-2.0

//! `flight-recorder`: what a program said last, after its crash.
//!
//! `flight-recorder run RING COMMAND...` has a command write into a ring, which keeps what came
//! last in a memory that is not the command's. If it fails, or is killed, that is shown. (Ctrl-C
//! ends both; what was said before it stays.)
//! `flight-recorder dump RING` shows it at any time, and as often as one likes.
//!
//! The ring overwrites, so it never makes the command wait. It has broadcast delivery: who reads it
//! takes nothing from anybody. It is made when it is first needed, and stays: root has to begin.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::Parser;
use ringdev::{Control, Create, Delivery, Framing, Full, OwnedRecord, Ring, RingName};

/// Keeps what a program says last, for when it has crashed.
#[derive(Parser)]
enum Args {
    /// Run a command, and show what it said last if it fails
    ///
    /// What it writes to stdout and stderr goes into the ring, each write as a record, of a quarter
    /// of the ring at most. The exit code is that of the command, or 128+N if signal N has killed
    /// it.
    Run {
        /// How many bytes the ring has, if it has to be made: a power of two
        #[arg(long, default_value_t = 64 << 10)]
        capacity: u64,
        ring: RingName,
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },
    /// Show what is in a ring
    Dump {
        /// Only so many of the newest records
        #[arg(short = 'n', long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
        last: usize,
        ring: RingName,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse() {
        Args::Run {
            capacity,
            ring,
            command,
        } => run(&ring, capacity, &command),
        Args::Dump { last, ring } => {
            dump(&ring, last, &mut io::stdout().lock()).map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// Writes a line to stderr. If that is gone as well, the exit code has to do.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "flight-recorder: {text}");
}

/// Runs a command whose output goes into the ring.
fn run(name: &RingName, capacity: u64, command: &[OsString]) -> Result<ExitCode> {
    make(name, capacity).with_context(|| format!("cannot make ring {name}"))?;
    let ring = Ring::options().write(true).open(name);
    let ring = OwnedFd::from(ring.with_context(|| format!("cannot open ring {name}"))?);
    let [program, arguments @ ..] = command else {
        unreachable!("clap wants at least one");
    };
    let status = Command::new(program)
        .args(arguments)
        .stdout(ring.try_clone()?)
        .stderr(ring)
        .status()
        .with_context(|| format!("cannot run {program:?}"))?;
    if !status.success() {
        // The exit code is that of the command, whether or not this can be shown.
        if let Err(error) = dump(name, usize::MAX, &mut io::stderr().lock()) {
            complain(&format!("{error:#}"));
        }
        complain(&status.to_string());
    }
    Ok(exit_code(status))
}

/// Makes the ring, if it is not there: from an earlier run, what that has left stays in it.
fn make(name: &RingName, capacity: u64) -> io::Result<()> {
    let ring = Create::new(name.clone())
        .capacity(capacity)
        .framing(Framing::Record)
        .full(Full::Overwrite)
        .delivery(Delivery::Broadcast);
    match Control::open()?.create(&ring) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The exit code as a shell has it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Writes the newest records of a ring to `output`, each behind its age when the last one came.
fn dump(name: &RingName, last: usize, output: &mut impl Write) -> Result<()> {
    let records = newest(name, last).with_context(|| format!("cannot read ring {name}"))?;
    match show(&records, output) {
        // Who reads it has seen enough, as `head` has.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        shown => shown.context("cannot write"),
    }
}

/// The newest records that are in the ring now. Reading begins with the oldest that is there.
fn newest(name: &RingName, last: usize) -> io::Result<VecDeque<OwnedRecord>> {
    let ring = Ring::options().read(true).nonblocking(true).open(name)?;
    // Whatever comes from now on is left out, or a writer that is fast enough would never let it
    // end.
    let end = ring.info()?.records_in;
    let mut newest = VecDeque::new();
    for record in ring.records()? {
        let record = match record {
            Ok(record) if record.sequence < end => record,
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        newest.push_back(record);
        if newest.len() > last {
            newest.pop_front();
        }
    }
    Ok(newest)
}

fn show(records: &VecDeque<OwnedRecord>, output: &mut impl Write) -> io::Result<()> {
    let Some(newest) = records.back() else {
        return Ok(());
    };
    for record in records {
        let age = newest.timestamp.saturating_sub(record.timestamp);
        let age = age.as_secs_f64();
        write!(output, "{:>11.6} #{}: ", -age, record.sequence)?;
        output.write_all(&record.payload)?;
        if !record.payload.ends_with(b"\n") {
            writeln!(output)?;
        }
    }
    output.flush()
}
