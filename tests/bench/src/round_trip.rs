// SPDX-License-Identifier: GPL-2.0

//! How long a message takes to another thread on another CPU, and back.

use std::error::Error;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::peer::{Kind, Peer};
use crate::timing::{Entry, ROUNDS, stay_on, turns};

/// How long a message is.
const MESSAGE: usize = 64;

/// How many times it goes there and back in a round: enough for the longest in a thousand.
const TRIPS: usize = 1000;

/// Measures, and returns what scripts/lab/latency.py reads.
pub fn run(entries: &[Entry]) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for &(name, kind) in entries {
        // A kfifo's device is there once, and a small pipe is a pipe.
        if ![Kind::Kfifo, Kind::Pipe64].contains(&kind) {
            let there = Peer::open(kind, MESSAGE)?;
            let back = Peer::open_new(kind, MESSAGE, &format!("bench-{name}"))?;
            lines.push((name, there, back, Vec::new()));
        }
    }
    for round in 0..=ROUNDS {
        for turn in turns(round, lines.len()) {
            let (_, there, back, rounds) = &mut lines[turn];
            let times = there_and_back(there, back)?;
            if round > 0 {
                rounds.push(times);
            }
        }
    }
    let to_json = |(name, _, _, rounds)| json!({ "peer": name, "rounds": rounds });
    Ok(lines.into_iter().map(to_json).collect())
}

/// Sends a message by one peer and waits for it to come back by the other, and returns how many
/// nanoseconds that took each time.
fn there_and_back(there: &Peer, back: &Peer) -> Result<Vec<u64>, Box<dyn Error>> {
    thread::scope(|scope| {
        let echo = scope.spawn(|| -> Result<(), String> {
            let mut message = [0; MESSAGE];
            stay_on(1)?;
            for _ in 0..TRIPS {
                there
                    .receive(&mut message)
                    .map_err(|error| error.to_string())?;
                back.send(&message).map_err(|error| error.to_string())?;
            }
            Ok(())
        });
        stay_on(0)?;
        let mut times = Vec::with_capacity(TRIPS);
        let mut message = [1; MESSAGE];
        for _ in 0..TRIPS {
            let begin = Instant::now();
            there.send(&message)?;
            back.receive(&mut message)?;
            times.push(u64::try_from(begin.elapsed().as_nanos())?);
        }
        echo.join().map_err(|_| "the echo panicked")??;
        Ok(times)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_each_time() {
        let [there, back] = [(); 2].map(|()| Peer::open(Kind::Pipe, MESSAGE).expect("a pipe"));
        let times = there_and_back(&there, &back).expect("there and back");
        assert_eq!(times.len(), TRIPS);
    }
}
