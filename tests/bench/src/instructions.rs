// SPDX-License-Identifier: GPL-2.0

//! `ringdev-bench instructions`: everything that is counted, in a guest whose clock counts.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::count::{Subject, count};
use crate::peer::{Kind, PIECE, Peer};
use crate::{batch, broadcast, clock, memory, overwrite, pair};

/// The clock that the kernel has chosen.
const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// What the kernel says of each fault of CPUs that it knows; a mitigation costs instructions.
const VULNERABILITIES: &str = "/sys/devices/system/cpu/vulnerabilities";

/// Measures these peers, or if none is named all of them, and returns what scripts/lab/bench.py
/// reads.
pub fn run(peers: &[&str]) -> Result<Value, Box<dyn Error>> {
    let counts = |mut subjects: Vec<Box<dyn Subject>>| {
        subjects.retain(|subject| peers.is_empty() || peers.contains(&subject.label().peer));
        count(subjects)
    };
    let calibration = clock::calibrate()?;
    Ok(json!({
        "clocksource": read_line(CLOCKSOURCE)?,
        "calibration": {
            "instructions": calibration.instructions,
            "nanoseconds": calibration.nanoseconds,
        },
        "vulnerabilities": vulnerabilities()?,
        "holds": holds()?,
        "pairs": counts(pair::subjects()?)?,
        "batches": counts(batch::subjects()?)?,
        "broadcast": counts(broadcast::subjects()?)?,
        "overwrite": counts(overwrite::subjects()?)?,
        "memory": memory::run()?,
    }))
}

/// Returns how much each peer holds that can be filled.
fn holds() -> Result<Map<String, Value>, String> {
    let mut holds = Map::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.fills()) {
        let peer = Peer::open(kind, PIECE)?;
        let held = peer.fill()?;
        peer.empty(held)?;
        holds.insert(kind.name().to_owned(), held.into());
    }
    Ok(holds)
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
