// SPDX-License-Identifier: GPL-2.0

//! How fast threads on two CPUs hand bytes to another thread through a peer.

use std::error::Error;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::peer::{CAPACITY, Kind, Peer, pattern};
use crate::timing::{Entry, ROUNDS, stay_on, turns, waits};

/// A transfer: how large a message is, how many threads write, and how many messages there are in
/// all: some hundredths of a second under TCG.
struct Case {
    size: usize,
    writers: usize,
    messages: usize,
}

const CASES: [Case; 8] = [
    Case::new(64, 1, 3200),
    Case::new(4096, 1, 1600),
    Case::new(65_536, 1, 64),
    Case::new(1 << 20, 1, 8),
    // Fan-in. Each number of writers divides that of the messages.
    Case::new(64, 2, 3200),
    Case::new(64, 4, 3200),
    Case::new(64, 8, 3200),
    Case::new(64, 16, 3200),
];

const PAGE: usize = 4096;

impl Case {
    const fn new(size: usize, writers: usize, messages: usize) -> Self {
        Self {
            size,
            writers,
            messages,
        }
    }
}

/// What one transfer took.
struct Transfer {
    nanoseconds: u64,
    /// How often the threads gave up their CPU to wait.
    waits: u64,
    /// How often the peer woke a thread, where it tells.
    wakes: Option<u64>,
}

/// Measures, and returns what scripts/lab/throughput.py reads.
pub fn run(entries: &[Entry]) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut transfers = Vec::new();
    for case in CASES {
        let entries = entries
            .iter()
            .copied()
            .filter(|(_, kind)| case.size <= CAPACITY || !kind.keeps_messages())
            .filter(|(_, kind)| case.writers == 1 || *kind != Kind::Pipe64)
            .map(|(name, kind)| Peer::open(kind, case.size).map(|peer| (name, peer)));
        let peers = entries.collect::<Result<Vec<_>, _>>()?;
        for round in 0..=ROUNDS {
            for turn in turns(round, peers.len()) {
                let (name, peer) = &peers[turn];
                let transfer = transfer(peer, &case, round)?;
                if round > 0 {
                    transfers.push(json!({
                        "round": round,
                        "size": case.size,
                        "writers": case.writers,
                        "peer": name,
                        "messages": case.messages,
                        "nanoseconds": transfer.nanoseconds,
                        "waits": transfer.waits,
                        "wakes": transfer.wakes,
                    }));
                }
            }
        }
    }
    Ok(transfers)
}

/// Hands over the messages. The reader is alone on its CPU if there is one writer; several
/// writers are on both. Their buffers are in another place in each round.
fn transfer(peer: &Peer, case: &Case, round: usize) -> Result<Transfer, Box<dyn Error>> {
    let start = Barrier::new(case.writers + 1);
    let write = |cpu: usize| -> Result<u64, String> {
        let mut area = area(case.size, round);
        let out = place(&mut area, case.size, round);
        pattern(0, out);
        stay_on(cpu)?;
        let before = waits()?;
        start.wait();
        for _ in 0..case.messages / case.writers {
            let mut rest = &out[..];
            while !rest.is_empty() {
                let done = peer.send(rest).map_err(|error| error.to_string())?;
                rest = &rest[done..];
            }
        }
        Ok(waits()? - before)
    };
    let wakes = peer.wakes()?;
    thread::scope(|scope| {
        let spawn = |number| scope.spawn(move || write(number % 2));
        let writers: Vec<_> = (0..case.writers).map(spawn).collect();
        let mut area = area(case.size, round);
        let back = place(&mut area, case.size, round);
        stay_on(1)?;
        let before = waits()?;
        start.wait();
        let begin = Instant::now();
        let mut left = case.size * case.messages;
        while left > 0 {
            let count = peer.receive(back)?;
            left = left.checked_sub(count).ok_or("more came than was sent")?;
        }
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos())?;
        let mut waited = waits()? - before;
        for writer in writers {
            waited += writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(Transfer {
            nanoseconds,
            waits: waited,
            wakes: match (wakes, peer.wakes()?) {
                (Some(before), Some(after)) => Some(after - before),
                _ => None,
            },
        })
    })
}

/// Memory for a buffer of that size, wherever in it a round has it.
fn area(size: usize, round: usize) -> Vec<u8> {
    vec![0; size + (round + 1) * PAGE]
}

/// The buffer of a round: it begins at as many pages from the first.
///
/// A copy under TCG is several times slower where the pages that it reads from and writes to have
/// the same index in QEMU's table of translations, which has one page by index. A buffer in one
/// place has this for all rounds or for none.
fn place(area: &mut [u8], size: usize, round: usize) -> &mut [u8] {
    let first = area.as_ptr().align_offset(PAGE);
    &mut area[first + round * PAGE..][..size]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_a_writer() {
        assert!(CASES.iter().all(|case| case.messages % case.writers == 0));
    }

    #[test]
    fn each_round_has_its_buffer_a_page_further() {
        for round in 0..=ROUNDS {
            let mut area = area(100, round);
            let start = area.as_ptr().addr();
            let buffer = place(&mut area, 100, round);
            assert_eq!(buffer.len(), 100);
            assert_eq!(buffer.as_ptr().addr() % PAGE, 0);
            assert_eq!((buffer.as_ptr().addr() - start) / PAGE, round);
        }
    }

    #[test]
    fn a_transfer_through_a_pipe_takes_time() {
        let pipe = Peer::open(Kind::Pipe, 4096).expect("open the pipe");
        for writers in [1, 4] {
            let transfer = transfer(&pipe, &Case::new(4096, writers, 200), 1).expect("transfer");
            assert!(transfer.nanoseconds > 0);
            assert_eq!(transfer.wakes, None);
        }
    }
}
