// SPDX-License-Identifier: GPL-2.0

//! `log-collector`: many writers, one ring of records, one file.
//!
//! A writer makes a record of each line of its stdin; the collector appends what comes to a file.
//! Neither needs the other: while no collector runs, the ring keeps what was written, and when it
//! is full, writers meet what it was made for. As root:
//!
//! ```text
//! ringctl create log --capacity 1M --framing record
//! log-collector collect log /var/log/ring.log &
//! some-program | log-collector write log some-program
//! another-program | log-collector write log another-program
//! ```

#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use ringdev::{AsyncRecords, AsyncRing, Record, Ring, RingName};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter, stdin};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};

/// Collects in a file what many write into a ring.
#[derive(Parser)]
enum Command {
    /// Append each record to a file, until SIGHUP, SIGINT or SIGTERM
    Collect { ring: RingName, file: PathBuf },
    /// Make a record of each line of stdin, behind a tag
    Write { ring: RingName, tag: String },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Command::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is gone as well, the exit code has to do.
            let _ = writeln!(io::stderr(), "log-collector: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Collect { ring: name, file } => {
            let ring = Ring::options().read(true).open(&name);
            let ring = ring.with_context(|| format!("cannot open ring {name}"))?;
            collect(ring, &file).await
        }
        Command::Write { ring: name, tag } => {
            let ring = Ring::options().write(true).open(&name);
            let ring = ring.with_context(|| format!("cannot open ring {name}"))?;
            write(ring, &tag).await
        }
    }
}

/// Appends the records of a ring to a file, until somebody says that it is enough, or the ring
/// ends.
///
/// What it has taken from the ring is in the file before it waits again. So it may be stopped at
/// any time, and the next collector goes on where this one has stopped.
async fn collect(ring: Ring, path: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(path).await;
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let mut file = BufWriter::new(file);
    let mut records = AsyncRing::new(ring)?
        .records()
        .context("it has no records")?;
    let hangup = (!ignores_hangup()).then(|| signal(SignalKind::hangup()));
    let mut hangup = hangup.transpose()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        // In this order: while much comes, a signal has to be seen as well.
        let first = select! {
            biased;
            Some(()) = async { hangup.as_mut()?.recv().await } => None,
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
            record = records.next_record() => record.context("cannot read from the ring")?.map(line),
        };
        let Some(first) = first else {
            return Ok(());
        };
        let written = append(&mut file, first, &mut records).await;
        written.with_context(|| format!("cannot write to {}", path.display()))?;
    }
}

/// Whether it was told to outlive its terminal, as nohup(1) tells a program.
fn ignores_hangup() -> bool {
    const SIGHUP: u64 = 1;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// Appends a record to the file, and the others that the same read has taken.
async fn append(
    file: &mut BufWriter<File>,
    first: Vec<u8>,
    records: &mut AsyncRecords,
) -> Result<()> {
    file.write_all(&first).await?;
    while let Some(record) = records.next_taken()? {
        file.write_all(&line(record)).await?;
    }
    Ok(file.flush().await?)
}

/// A record as a line of the file, behind its time. What was overwritten before it has a line too.
fn line(record: Record<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    if record.lost > 0 {
        line.extend(format!("--- {} lost ---\n", record.lost).bytes());
    }
    let (seconds, micros) = (record.timestamp.as_secs(), record.timestamp.subsec_micros());
    line.extend(format!("[{seconds:5}.{micros:06}] ").bytes());
    line.extend(record.payload);
    if !record.payload.ends_with(b"\n") {
        line.push(b'\n');
    }
    line
}

/// Writes each line of stdin as a record, which comes whole however many write at once.
async fn write(ring: Ring, tag: &str) -> Result<()> {
    let ring = AsyncRing::new(ring)?;
    let mut lines = BufReader::new(stdin()).split(b'\n');
    while let Some(line) = lines.next_segment().await.context("cannot read stdin")? {
        let pieces = [tag.as_bytes(), b": ", &line].map(IoSlice::new);
        let sent = ring.send_vectored(&pieces).await;
        sent.context("cannot write to the ring")?;
    }
    Ok(())
}
