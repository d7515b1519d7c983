// SPDX-License-Identifier: GPL-2.0

//! `ringdev-bench times`: what is compared in time, in a guest with two CPUs.
//!
//! Time on an emulated machine says nothing by itself, and little when it is measured twice. So
//! each round has all peers in it, one after the other, and begins with another one each time; what
//! counts is how they compare within a round. The ring takes part twice: between it and itself
//! there is no difference, and a run that finds one has measured something else.

use std::error::Error;
use std::fs;

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

use crate::peer::Kind;
use crate::{round_trip, throughput};

/// How many rounds count. The one before them fills caches.
pub const ROUNDS: usize = 27;

/// Somebody who takes part, under a name.
pub type Entry = (&'static str, Kind);

/// Who takes part. A FIFO, once it is open, is a pipe.
const ENTRIES: [Entry; 9] = [
    ("ring", Kind::Ring),
    ("again", Kind::Ring),
    ("twin", Kind::Twin),
    ("pipe", Kind::Pipe),
    ("pipe64", Kind::Pipe64),
    ("unix", Kind::Unix),
    ("seqpacket", Kind::Seqpacket),
    ("mqueue", Kind::Mqueue),
    ("kfifo", Kind::Kfifo),
];

/// Measures these peers, or if none is named all of them, and returns what scripts/lab/throughput.py
/// and latency.py read.
pub fn run(peers: &[&str]) -> Result<Value, Box<dyn Error>> {
    let entries: Vec<_> = ENTRIES
        .into_iter()
        .filter(|(name, _)| peers.is_empty() || peers.contains(name))
        .collect();
    Ok(json!({
        "transfers": throughput::run(&entries)?,
        "round_trips": round_trip::run(&entries)?,
    }))
}

/// Returns the numbers of so many things in the order in which they take their turns in a round.
pub fn turns(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + round) % count)
}

/// Keeps the calling thread on a CPU.
pub fn stay_on(cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).map_err(|error| format!("no CPU {cpu}: {error}"))
}

/// How often the calling thread has given up its CPU because it had to wait.
pub fn waits() -> Result<u64, String> {
    let status =
        fs::read_to_string("/proc/thread-self/status").map_err(|error| error.to_string())?;
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
    fn each_round_begins_with_another_one() {
        assert_eq!(turns(0, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(turns(4, 3).collect::<Vec<_>>(), [1, 2, 0]);
    }
}
