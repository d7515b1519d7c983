// SPDX-License-Identifier: GPL-2.0

//! How fast two threads hand bytes to each other through a peer, each on a CPU of its own.
//!
//! Time on an emulated machine says nothing by itself, and little when it is measured twice. So
//! each round has all peers in it, one after the other, and begins with another one each time; what
//! counts is how they compare within a round. The ring takes part twice: between it and itself
//! there is no difference, and a run that finds one has measured something else.

use std::error::Error;
use std::fs;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use rustix::io::{read, write};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

use crate::peer::{Kind, Peer, pattern};

/// How large a message is, and how many are a transfer: a tenth of a second or so under TCG.
const SIZES: [(usize, usize); 4] = [(64, 12_000), (4096, 6_000), (65_536, 600), (1 << 20, 40)];

/// How many rounds count. The one before them fills caches.
const ROUNDS: usize = 9;

/// Who takes part, under which name.
const ENTRIES: [(&str, Kind); 6] = [
    ("ring", Kind::Ring),
    ("again", Kind::Ring),
    ("twin", Kind::Twin),
    ("pipe", Kind::Pipe),
    ("unix", Kind::Unix),
    ("kfifo", Kind::Kfifo),
];

/// How many times a byte goes there and back in a row, to see how long that takes.
const ROUND_TRIPS: usize = 150;

/// Who takes part in that; a kfifo's device is there once.
const PAIRED: [(&str, Kind); 3] = [
    ("ring", Kind::Ring),
    ("pipe", Kind::Pipe),
    ("unix", Kind::Unix),
];

/// What one transfer took.
struct Transfer {
    nanoseconds: u64,
    /// How often the threads gave up their CPU to wait.
    waits: u64,
}

/// Measures, and returns what scripts/lab/throughput.py reads.
pub fn run() -> Result<Value, Box<dyn Error>> {
    let peers = ENTRIES.map(|(name, kind)| Peer::open(kind).map(|peer| (name, peer)));
    let peers = peers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut transfers = Vec::new();
    for round in 0..=ROUNDS {
        for (size, messages) in SIZES {
            for turn in 0..peers.len() {
                let (name, peer) = &peers[(turn + round) % peers.len()];
                let transfer = transfer(peer, size, messages)?;
                if round > 0 {
                    transfers.push(json!({
                        "round": round,
                        "size": size,
                        "peer": name,
                        "messages": messages,
                        "nanoseconds": transfer.nanoseconds,
                        "waits": transfer.waits,
                    }));
                }
            }
        }
    }
    Ok(json!({ "transfers": transfers, "round_trips": round_trips()? }))
}

/// Measures how long a byte takes there and back; peers take turns in this as well.
fn round_trips() -> Result<Vec<Value>, Box<dyn Error>> {
    let mut pairs = Vec::new();
    for (name, kind) in PAIRED {
        pairs.push((name, Peer::open(kind)?, Peer::open_other(kind)?, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (_, there, back, times) in &mut pairs {
            times.extend(there_and_back(there, back)?);
        }
    }
    let to_json = |(name, _, _, times)| json!({ "peer": name, "nanoseconds": times });
    Ok(pairs.into_iter().map(to_json).collect())
}

/// Hands over so many messages.
fn transfer(peer: &Peer, size: usize, messages: usize) -> Result<Transfer, Box<dyn Error>> {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<u64, String> {
            let mut out = vec![0; size];
            pattern(0, &mut out);
            stay_on(0)?;
            let waits = waits()?;
            start.wait();
            for _ in 0..messages {
                let mut rest = &out[..];
                while !rest.is_empty() {
                    let done = write(peer.writer(), rest).map_err(|error| error.to_string())?;
                    rest = &rest[done..];
                }
            }
            Ok(self::waits()? - waits)
        });
        let mut back = vec![0; size];
        stay_on(1)?;
        let waits_before = waits()?;
        start.wait();
        let begin = Instant::now();
        let mut left = size * messages;
        while left > 0 {
            let count = read(peer.reader(), &mut back)?;
            left = left.checked_sub(count).ok_or("more came than was sent")?;
        }
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos())?;
        let waits = waits()? - waits_before;
        let of_writer = writer.join().map_err(|_| "the writer panicked")??;
        Ok(Transfer {
            nanoseconds,
            waits: waits + of_writer,
        })
    })
}

/// Sends a byte by one peer and waits for it to come back by the other, and returns how long that
/// took each time.
fn there_and_back(there: &Peer, back: &Peer) -> Result<Vec<u64>, Box<dyn Error>> {
    thread::scope(|scope| {
        let echo = scope.spawn(|| -> Result<(), String> {
            let mut byte = [0];
            stay_on(1)?;
            for _ in 0..ROUND_TRIPS {
                read(there.reader(), &mut byte).map_err(|error| error.to_string())?;
                write(back.writer(), &byte).map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        stay_on(0)?;
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        let mut byte = [1];
        for _ in 0..ROUND_TRIPS {
            let begin = Instant::now();
            write(there.writer(), &byte)?;
            read(back.reader(), &mut byte)?;
            times.push(u64::try_from(begin.elapsed().as_nanos())?);
        }
        echo.join().map_err(|_| "the echo panicked")??;
        Ok(times)
    })
}

/// Keeps the calling thread on a CPU.
fn stay_on(cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|error| format!("no CPU {cpu}: {error}"))
}

/// How often the calling thread has given up its CPU because it had to wait.
fn waits() -> Result<u64, String> {
    let status = fs::read_to_string("/proc/thread-self/status").map_err(|error| error.to_string())?;
    waits_of(&status).ok_or_else(|| "the kernel counts no context switches".to_owned())
}

fn waits_of(status: &str) -> Option<u64> {
    let count = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_that_were_wanted() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(waits_of(status), Some(12));
        assert_eq!(waits_of("Name:\tx\n"), None);
    }

    #[test]
    fn a_transfer_through_a_pipe_takes_time() {
        let pipe = Peer::open(Kind::Pipe).expect("open the pipe");
        let transfer = transfer(&pipe, 4096, 200).expect("transfer");
        assert!(transfer.nanoseconds > 0);
    }

    #[test]
    fn bytes_come_back_each_time() {
        let pipes = [(); 2].map(|()| Peer::open(Kind::Pipe).expect("open the pipe"));
        let times = there_and_back(&pipes[0], &pipes[1]).expect("there and back");
        assert_eq!(times.len(), ROUND_TRIPS);
    }
}
