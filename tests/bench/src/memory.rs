// SPDX-License-Identifier: GPL-2.0

//! How much memory the kernel takes for a peer with both ends open.

use std::error::Error;
use std::fs;
use std::num::ParseIntError;

use serde_json::{Value, json};

use crate::peer::{Kind, PIECE, Peer};

/// How many are opened, as the kernel takes memory by the page, and how many before, which fill
/// pages that are there already.
const COUNT: u64 = 128;
const FIRST: u64 = 32;

/// Measures, and returns what scripts/lab/bench.py reads: bytes for each peer.
pub fn run() -> Result<Vec<Value>, Box<dyn Error>> {
    let mut all = Vec::new();
    for kind in [Kind::Ring, Kind::Twin, Kind::Pipe, Kind::Unix] {
        let open = |number| Peer::open_new(kind, PIECE, &format!("bench-memory-{number}"));
        let first = (0..FIRST).map(open).collect::<Result<Vec<_>, _>>()?;
        let before = free()?;
        let peers = (FIRST..FIRST + COUNT)
            .map(open)
            .collect::<Result<Vec<_>, _>>()?;
        let idle = before.saturating_sub(free()?);
        for peer in &peers {
            peer.fill()?;
        }
        let full = before.saturating_sub(free()?);
        drop((first, peers));
        all.push(json!({
            "peer": kind.name(),
            "idle": idle / COUNT,
            "full": full / COUNT,
        }));
    }
    Ok(all)
}

/// How many bytes nobody has.
fn free() -> Result<u64, Box<dyn Error>> {
    const PAGE: u64 = 4096;
    Ok(free_pages(&fs::read_to_string("/proc/zoneinfo")?)? * PAGE)
}

/// The free pages of all zones, and those that a CPU keeps for itself: these are free as well, and
/// the kernel does not count them as such.
fn free_pages(zoneinfo: &str) -> Result<u64, ParseIntError> {
    zoneinfo
        .lines()
        .filter_map(|line| line.trim_start().split_once(char::is_whitespace))
        .filter(|(name, _)| ["nr_free_pages", "count:"].contains(name))
        .map(|(_, count)| count.trim().parse::<u64>())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cpu_keeps_for_itself_is_free() {
        let zone = "  pages free     900\n      nr_free_pages 900\n      nr_free_pages_blocks 7\n";
        let cpu = "    cpu: 0\n              count:    20\n              high:     800\n";
        assert_eq!(
            free_pages(&format!("Node 0, zone DMA\n{zone}{cpu}{zone}")),
            Ok(1820)
        );
        assert!(free_pages("nr_free_pages many").is_err());
    }
}
