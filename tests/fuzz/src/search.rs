// SPDX-License-Identifier: GPL-2.0

//! Looks for programs that reach new code: makes some up, mutates those that did, keeps what is new.
//!
//! The loop is our own, and short. LibAFL does not fit: its executors run one input in one process
//! that they time and instrument themselves, while a program here is several threads and processes
//! whose coverage the kernel records for each thread; and it would bring 113 crates into a program
//! for the guest, where the others together have 90.

use crate::kcov::Reached;
use crate::program::{CHUNK, PROLOGUE, SLOTS, STEPS_MAX};
use crate::random::Random;

/// A program that reached something new.
pub struct Entry {
    pub bytes: Vec<u8>,
    pub reached: Reached,
    /// How often something new came of it, less how often it was tried.
    energy: i64,
}

/// The programs that were kept, and all that they reached.
pub struct Search {
    random: Random,
    pub entries: Vec<Entry>,
    pub reached: Reached,
    parent: Option<usize>,
}

/// How often a program is run again with a step less, to see whether it needs that step.
const ATTEMPTS: usize = 10;

/// Where the encoding of a step has what.
const ACTOR: usize = 0;
const OPCODE: usize = 1;
const SLOT: usize = 2;

impl Search {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            entries: Vec::new(),
            reached: Reached::default(),
            parent: None,
        }
    }

    /// Returns the next program to run.
    pub fn next(&mut self) -> Vec<u8> {
        if self.entries.is_empty() || self.random.one_in(4) {
            self.parent = None;
            return self.fresh();
        }
        // Of a few, the one of which most can be expected.
        let chosen = (0..3)
            .map(|_| self.random.below(self.entries.len()))
            .max_by_key(|at| self.entries[*at].energy)
            .unwrap_or(0);
        self.parent = Some(chosen);
        self.entries[chosen].energy -= 1;
        let bytes = self.entries[chosen].bytes.clone();
        self.mutate(bytes)
    }

    /// Takes note of what a program has reached. Returns what of it is new, if anything is.
    pub fn consider(&mut self, reached: &Reached) -> Option<Reached> {
        let new = reached.beyond(&self.reached);
        if new.edge_count() == 0 {
            return None;
        }
        self.reached.add(reached);
        if let Some(parent) = self.parent {
            self.entries[parent].energy += 20;
        }
        Some(new)
    }

    /// Keeps a program, without those steps that it reaches `new` without. `run` runs a program.
    pub fn keep(
        &mut self,
        mut bytes: Vec<u8>,
        mut reached: Reached,
        new: &Reached,
        mut run: impl FnMut(&[u8]) -> Reached,
    ) -> &Entry {
        let mut attempts = ATTEMPTS;
        let mut step = bytes.len() / CHUNK;
        while step > 1 && attempts > 0 {
            step -= 1;
            let mut shorter = bytes.clone();
            shorter.drain(step * CHUNK..((step + 1) * CHUNK).min(bytes.len()));
            let without = run(&shorter);
            self.reached.add(&without);
            if without.includes(new) {
                (bytes, reached) = (shorter, without);
            } else {
                attempts -= 1;
            }
        }
        self.entries.push(Entry {
            bytes,
            reached,
            energy: 20,
        });
        &self.entries[self.entries.len() - 1]
    }

    /// Returns those programs that together reach all the code that all of them reach: shortest
    /// first, each for what none before it reached.
    pub fn smallest(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| entry.bytes.len());
        let mut reached = Reached::default();
        // Those first that reach most, for their length.
        let mut kept = Vec::new();
        loop {
            let best = entries.iter().max_by_key(|entry| {
                entry.reached.new_counters(&reached) * 1_000 / (entry.bytes.len() + 40)
            });
            match best {
                Some(best) if best.reached.new_counters(&reached) > 0 => {
                    reached.add(&best.reached);
                    kept.push(*best);
                }
                _ => return kept,
            }
        }
    }

    /// Makes a program up. It uses few operations and few endpoints, so that they meet.
    fn fresh(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let mut setup = [0; CHUNK];
        random.fill(&mut setup);
        let mut bytes = setup.to_vec();
        let slots = 1 + random.below(2);
        let opcodes: Vec<u8> = (0..2 + random.below(6))
            .map(|_| random.next() as u8 % 64)
            .collect();
        // Begin with endpoints of both sides and a full ring, or nothing much happens.
        if !random.one_in(8) {
            let step = |bytes: &[u8]| {
                let mut step = [0; CHUNK];
                step[OPCODE..OPCODE + bytes.len()].copy_from_slice(bytes);
                step
            };
            let nonblock = random.next() as u8;
            // By the numbers that `Op` decodes: an open, of slot 0 for writing.
            let mut opening = vec![step(&[0, 0, 1, nonblock])];
            if random.one_in(2) {
                // A write of as many bytes as the ring has.
                opening.push(step(&[13, 0, 9, 0]));
            }
            for slot in 1..=1 + random.below(2) as u8 {
                opening.push(step(&[0, slot, 0, random.next() as u8]));
            }
            bytes[PROLOGUE] = opening.len() as u8;
            bytes.extend(opening.concat());
        }
        for _ in 0..3 + random.below(STEPS_MAX - 8) {
            let mut step = [0; CHUNK];
            random.fill(&mut step);
            step[OPCODE] = opcodes[random.below(opcodes.len())];
            step[SLOT] = random.below(slots + 1) as u8;
            bytes.extend(step);
        }
        bytes
    }

    fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..1 + self.random.below(4) {
            self.mutate_once(&mut bytes);
        }
        bytes.truncate(CHUNK * (STEPS_MAX + 1));
        bytes
    }

    fn mutate_once(&mut self, bytes: &mut Vec<u8>) {
        let random = &mut self.random;
        let steps = (bytes.len() / CHUNK).saturating_sub(1);
        let step = CHUNK * (1 + random.below(steps));
        match random.below(12) {
            // The kind of ring and how many run at once: the same calls, another meaning.
            0 | 1 => {
                let at = random.below(CHUNK);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            2 | 3 if steps > 0 => {
                let at = step + random.below(CHUNK);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
            4 if steps > 0 => bytes[step + SLOT] = random.below(SLOTS) as u8,
            5 if steps > 0 => bytes[step + ACTOR] = random.next() as u8,
            6 if steps > 1 => {
                bytes.drain(step..(step + CHUNK).min(bytes.len()));
            }
            7 if steps > 0 => {
                let copy: Vec<u8> = bytes[step..step + CHUNK].to_vec();
                let to = CHUNK * (1 + random.below(steps + 1));
                bytes.splice(to..to, copy);
            }
            8 if steps > 1 => {
                let other = CHUNK * (1 + random.below(steps));
                for at in 0..CHUNK {
                    bytes.swap(step + at, other + at);
                }
            }
            9 | 10 if !self.entries.is_empty() => {
                // The steps of another program, or some of them.
                let other = &self.entries[random.below(self.entries.len())].bytes;
                let from = CHUNK * (1 + random.below(other.len() / CHUNK));
                let more: Vec<u8> = other.get(from..).unwrap_or_default().to_vec();
                let to = CHUNK * (1 + random.below(steps + 1));
                bytes.splice(to.min(bytes.len()).., more);
            }
            _ => {
                let mut new = [0; CHUNK];
                random.fill(&mut new);
                new[SLOT] = random.below(3) as u8;
                let to = (CHUNK * (1 + random.below(steps + 1))).min(bytes.len());
                bytes.splice(to..to, new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    #[test]
    fn the_same_seed_makes_the_same_programs() {
        let programs = |seed| {
            let mut search = Search::new(seed);
            (0..20).map(|_| search.next()).collect::<Vec<_>>()
        };
        assert_eq!(programs(1), programs(1));
        assert_ne!(programs(1), programs(2));
    }

    #[test]
    fn mutations_stay_within_the_longest_program() {
        let mut search = Search::new(3);
        for _ in 0..50 {
            let bytes = search.fresh();
            search.entries.push(Entry {
                bytes,
                reached: Reached::default(),
                energy: 0,
            });
        }
        for _ in 0..5_000 {
            let bytes = search.next();
            assert!(bytes.len() <= CHUNK * (STEPS_MAX + 1));
            let _ = Program::decode(&bytes).listing();
        }
    }
}
