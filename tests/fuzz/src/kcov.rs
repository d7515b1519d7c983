// SPDX-License-Identifier: GPL-2.0

//! Which code of the module ran: `/sys/kernel/debug/kcov`, see `Documentation/dev-tools/kcov.rst`
//! of the kernel.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::{self, Fd};

const INIT_TRACE: u64 = 0x8008_6301;
const ENABLE: u64 = 0x6364;
const DISABLE: u64 = 0x6365;
const TRACE_PC: u64 = 0;

/// Program counters that one actor can record.
const ENTRIES: usize = 1 << 16;

/// A record of program counters, for one thread at a time. A process that is forked shares it.
pub struct Trace {
    fd: Fd,
    area: &'static [AtomicU64],
}

impl Trace {
    /// Returns a record; `None` if the kernel cannot.
    pub fn new() -> Option<Self> {
        let fd = sys::open("/sys/kernel/debug/kcov", libc::O_RDWR);
        let fd = Fd::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        if sys::ioctl_at_wide(fd, INIT_TRACE, ENTRIES) < 0 {
            return None;
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let address = sys::map(0, ENTRIES * 8, protection, Some(fd), false);
        if address <= 0 {
            return None;
        }
        // SAFETY: The mapping has that many words, is never removed, and atomics are all that ever
        // refers to it here.
        let area = unsafe { std::slice::from_raw_parts(address as *const AtomicU64, ENTRIES) };
        Some(Self { fd, area })
    }

    /// Records what the calling thread does from here on.
    pub fn start(&self) {
        sys::ioctl_at_wide(self.fd, ENABLE, TRACE_PC as usize);
    }

    pub fn stop(&self) {
        sys::ioctl_at_wide(self.fd, DISABLE, 0);
    }

    pub fn clear(&self) {
        self.area[0].store(0, Ordering::Relaxed);
    }

    /// The program counters that were recorded, in their order.
    fn counters(&self) -> impl Iterator<Item = u64> {
        let count = self.area[0].load(Ordering::Relaxed).min(ENTRIES as u64 - 1) as usize;
        self.area[1..=count]
            .iter()
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Edges are kept by a hash of this many bits.
const EDGE_BITS: u32 = 18;

/// What has been reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Reached {
    /// Pairs of program counters that followed each other.
    edges: Vec<u64>,
    /// Program counters, relative to the module's code.
    counters: Vec<u64>,
}

/// The module's code is not longer than this.
const CODE: usize = 1 << 20;

impl Default for Reached {
    fn default() -> Self {
        Self {
            edges: vec![0; (1 << EDGE_BITS) / 64],
            counters: vec![0; CODE / 64],
        }
    }
}

impl Reached {
    /// Returns what the traces have recorded, of code that begins at `text`.
    pub fn of(traces: &[Trace], text: u64) -> Self {
        let mut reached = Self::default();
        for trace in traces {
            let mut before = 0;
            for counter in trace.counters() {
                let offset = counter.wrapping_sub(text);
                if offset >= CODE as u64 {
                    continue;
                }
                set(&mut reached.counters, offset as usize);
                let pair = ((before << 20) | offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                set(&mut reached.edges, (pair >> (64 - EDGE_BITS)) as usize);
                before = offset;
            }
        }
        reached
    }

    /// Returns what has these edges and nothing else.
    #[cfg(test)]
    pub fn of_edges(edges: &[usize]) -> Self {
        let mut reached = Self::default();
        edges.iter().for_each(|edge| set(&mut reached.edges, *edge));
        reached
    }

    /// Adds what another run has reached. Returns how many edges are new.
    pub fn add(&mut self, other: &Self) -> usize {
        merge(&mut self.counters, &other.counters);
        merge(&mut self.edges, &other.edges)
    }

    /// Returns the edges of this that `others` has not.
    pub fn beyond(&self, others: &Self) -> Self {
        let mut rest = self.clone();
        for (mine, other) in rest.edges.iter_mut().zip(&others.edges) {
            *mine &= !other;
        }
        rest
    }

    /// Says whether this has all edges of `other`.
    pub fn includes(&self, other: &Self) -> bool {
        self.edges
            .iter()
            .zip(&other.edges)
            .all(|(mine, other)| other & !mine == 0)
    }

    pub fn edge_count(&self) -> usize {
        self.edges
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    pub fn counter_count(&self) -> usize {
        self.counters
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// How many program counters of this `others` has not.
    pub fn new_counters(&self, others: &Self) -> usize {
        let pairs = self.counters.iter().zip(&others.counters);
        pairs
            .map(|(mine, other)| (mine & !other).count_ones() as usize)
            .sum()
    }

    /// The program counters, relative to the module's code, in their order.
    pub fn counters(&self) -> impl Iterator<Item = usize> {
        (0..CODE).filter(|at| (self.counters[at / 64] >> (at % 64)) & 1 == 1)
    }
}

fn set(words: &mut [u64], bit: usize) {
    words[bit / 64] |= 1 << (bit % 64);
}

fn merge(words: &mut [u64], others: &[u64]) -> usize {
    let mut new = 0;
    for (word, other) in words.iter_mut().zip(others) {
        new += (other & !*word).count_ones() as usize;
        *word |= other;
    }
    new
}

/// Where the module's code is.
pub fn module_text() -> u64 {
    let text = fs::read_to_string("/sys/module/ringdev/sections/.text").unwrap_or_default();
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0)
}
