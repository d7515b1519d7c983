// SPDX-License-Identifier: GPL-2.0

//! Looks for programs that reach new code: makes some up, mutates those that did, keeps what is new.
//!
//! The loop is our own, and short. LibAFL does not fit: its executors run one input in one process
//! that they time and instrument themselves, while a program here is several threads and processes
//! whose coverage the kernel records for each thread; and it would bring 113 crates into a program
//! for the guest, where the others together have 90.

use crate::kcov::Reached;
use crate::program::{ACTORS, CHUNK, Kind, PROLOGUE, SLOTS, STEPS_MAX};
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

/// The parts of a program that is kept: it is run again without each, to see whether it needs that.
const PARTS: usize = 2;

/// Where the encoding of a step has what.
const ACTOR: usize = 0;
const OPCODE: usize = 1;
const SLOT: usize = 2;
/// Of a read or a write: the class of its length, how it is made, its buffer, and how often.
const CLASS: usize = 3;
const HOW: usize = 5;
const BUFFER: usize = 6;
const TIMES: usize = 7;

/// No operation is encoded in more bytes of a step.
const ENCODED: usize = TIMES + 1;

/// Operations by the numbers that `Op` decodes.
const OPEN: u8 = 0;
const CLOSE: u8 = 9;
const WRITE: u8 = 13;
const READ: u8 = 24;
const HEADERS: u8 = 44;
const EVICT: u8 = 48;
const PAUSE: u8 = 62;

/// One number of each kind of operation, but for the two that move the data.
const KINDS: [u8; 19] = [
    OPEN, CLOSE, 35, 37, 40, 42, HEADERS, 46, 47, EVICT, 51, 54, 55, 56, 58, 59, 60, 61, 63,
];

/// Operations by which endpoints come and go, and the ring changes: open, close, a seek, evict,
/// resize, clear.
const CHURN: [u8; 6] = [OPEN, CLOSE, 42, EVICT, 51, 54];

/// Operations that change something under a transfer: close, a setting, a seek, headers, a
/// watermark, evict, resize, clear, destroy, a signal, a kill, and what is done to its memory.
const CHANGES: [u8; 12] = [CLOSE, 40, 42, HEADERS, 46, EVICT, 51, 54, 55, 59, 60, 61];

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
        // Many a fault needs no code that is new, but calls in an order that is: new programs are
        // as many as mutated ones.
        if self.entries.is_empty() || !self.random.one_in(3) {
            self.parent = None;
            return if self.random.one_in(3) {
                self.race()
            } else {
                self.fresh()
            };
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

    /// Keeps a program, without those parts that it reaches `new` without. `run` runs a program.
    ///
    /// Only large parts are tried: a run takes long, and is better spent on another program.
    pub fn keep(
        &mut self,
        mut bytes: Vec<u8>,
        mut reached: Reached,
        new: &Reached,
        mut run: impl FnMut(&[u8]) -> Reached,
    ) -> &Entry {
        let steps = (bytes.len() / CHUNK).saturating_sub(1);
        let part = steps.div_ceil(PARTS).max(1);
        for first in (0..steps).step_by(part).rev() {
            let mut shorter = bytes.clone();
            let end = (CHUNK * (1 + first + part)).min(bytes.len());
            shorter.drain(CHUNK * (1 + first)..end);
            let without = run(&shorter);
            self.reached.add(&without);
            if without.includes(new) {
                (bytes, reached) = (shorter, without);
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
        let mut setup = self.random_chunk();
        if self.random.one_in(2) {
            // Without concurrency, where each call is judged exactly.
            setup[ACTORS] = 0;
        }
        let mut opcodes: Vec<u8> = if self.random.one_in(3) {
            (0..4)
                .map(|_| CHURN[self.random.below(CHURN.len())])
                .collect()
        } else {
            let kinds = self.random.below(3);
            let kinds = (0..kinds).map(|_| KINDS[self.random.below(KINDS.len())]);
            kinds.collect()
        };
        // Sometimes these alone: most others leave less to read.
        let alone = opcodes.is_empty();
        // More writes than reads, as a read may take what many have written.
        for transfer in [READ, WRITE, WRITE] {
            if alone || !self.random.one_in(4) {
                opcodes.push(transfer);
            }
        }
        let readers = 1 + self.random.below(2) as u8;
        let opening = if self.random.one_in(8) {
            Vec::new()
        } else {
            self.opening(&setup, readers)
        };
        setup[PROLOGUE] = opening.len() as u8;
        let mut bytes = setup.to_vec();
        bytes.extend(opening.concat());
        for _ in 0..3 + self.random.below(STEPS_MAX - 10) {
            let mut step = self.random_chunk();
            step[OPCODE] = opcodes[self.random.below(opcodes.len())];
            step[SLOT] = if self.random.one_in(8) {
                self.random.below(SLOTS) as u8
            } else if step[OPCODE] == WRITE {
                0
            } else {
                // Most of what there is to call is about a reader.
                1 + self.random.below(readers.into()) as u8
            };
            bytes.extend(step);
        }
        bytes
    }

    /// Makes up a race: one actor moves data in many small pieces, another changes something under
    /// it again and again, and a third, if there is one, is at the other end.
    fn race(&mut self) -> Vec<u8> {
        let mut setup = self.random_chunk();
        let three = self.random.one_in(2);
        setup[ACTORS] = if three { 4 } else { 2 };
        let readers = 1 + u8::from(self.random.one_in(4));
        let opening = self.opening(&setup, readers);
        setup[PROLOGUE] = opening.len() as u8;
        let mut bytes = setup.to_vec();
        bytes.extend(opening.concat());
        let (here, there) = if self.random.one_in(4) {
            (WRITE, READ)
        } else {
            (READ, WRITE)
        };
        let changes: Vec<u8> = (0..1 + self.random.below(2))
            .map(|_| CHANGES[self.random.below(CHANGES.len())])
            .collect();
        let slot = |opcode: u8| u8::from(opcode == READ);
        let mut ended = false;
        for _ in 0..(STEPS_MAX - opening.len()) / 3 {
            let mut moving = self.transfer(here, slot(here));
            moving[ACTOR] = 0;
            let mut change = self.random_chunk();
            change[ACTOR] = 1;
            change[OPCODE] = match self.random.below(8) {
                0 => PAUSE,
                1 => OPEN,
                // What was closed or evicted comes again.
                _ if ended => OPEN,
                _ => changes[self.random.below(changes.len())],
            };
            ended = [CLOSE, EVICT].contains(&change[OPCODE]);
            change[SLOT] = slot(here);
            if change[OPCODE] == OPEN {
                // For reading or writing, as it was.
                change[CLASS] = 1 - slot(here);
            }
            let other = if self.random.one_in(4) { here } else { there };
            let mut beyond = self.transfer(other, slot(other));
            beyond[ACTOR] = if three { 2 } else { self.random.below(2) as u8 };
            for step in [moving, change, beyond] {
                bytes.extend(step);
            }
        }
        bytes
    }

    /// Returns steps that open the ring for both sides, and mostly fill it, as nothing much
    /// happens without: slot 0 is for writing, the next ones for reading.
    fn opening(&mut self, setup: &[u8; CHUNK], readers: u8) -> Vec<[u8; CHUNK]> {
        let random = &mut self.random;
        let step = |bytes: &[u8]| {
            let mut step = [0; CHUNK];
            step[OPCODE..OPCODE + bytes.len()].copy_from_slice(bytes);
            step
        };
        let records = Kind::decode(setup).is_record();
        let mut opening = vec![step(&[OPEN, 0, 1, random.next() as u8])];
        if !random.one_in(4) {
            opening.push(if records {
                // Up to 32 records, short or very short.
                let class = 2 * random.below(2) as u8;
                let times = 2 + random.below(5) as u8;
                step(&[WRITE, 0, class, random.next() as u8, 0, 0, times])
            } else {
                // As many bytes as the ring has.
                step(&[WRITE, 0, 9, 0])
            });
        }
        for slot in 1..=readers {
            opening.push(step(&[OPEN, slot, 0, random.next() as u8]));
            if records && random.one_in(2) {
                opening.push(step(&[HEADERS, slot, 1]));
            }
        }
        opening
    }

    /// Returns a read or a write that is repeated, mostly of few bytes and in the simplest way.
    fn transfer(&mut self, opcode: u8, slot: u8) -> [u8; CHUNK] {
        let mut step = self.random_chunk();
        let random = &mut self.random;
        step[OPCODE] = opcode;
        step[SLOT] = slot;
        match random.below(3) {
            0 => step[CLASS] = 0,
            1 => step[CLASS] = 3,
            _ => {}
        }
        for at in [HOW, BUFFER] {
            if random.one_in(2) {
                step[at] = 0;
            }
        }
        if !random.one_in(4) {
            step[TIMES] = 5 + random.below(3) as u8;
        }
        step
    }

    fn random_chunk(&mut self) -> [u8; CHUNK] {
        let mut chunk = [0; CHUNK];
        self.random.fill(&mut chunk);
        chunk
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
                let at = step + random.below(ENCODED);
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
    use std::collections::HashSet;

    use crate::program::{Access, Op, Program};

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
    fn a_program_without_steps_gets_some() {
        let mut search = Search::new(7);
        let mut bytes = vec![0; CHUNK];
        for _ in 0..1_000 {
            search.mutate_once(&mut bytes);
        }
        assert!(bytes.len() > CHUNK);
        assert_eq!(bytes.len() % CHUNK, 0);
    }

    #[test]
    fn a_race_has_an_actor_that_moves_data_and_one_that_changes_something() {
        let mut search = Search::new(4);
        for _ in 0..500 {
            let bytes = search.race();
            let program = Program::decode(&bytes);
            assert!(program.setup.actors >= 2);
            assert!(program.steps.len() <= STEPS_MAX);
            let race = &program.steps[program.setup.prologue..];
            let moves = |op: &Op| matches!(op, Op::Read { .. } | Op::Write { .. });
            assert!(race.iter().any(|step| step.actor == 0 && moves(&step.op)));
            assert!(race.iter().any(|step| step.actor == 1 && !moves(&step.op)));
        }
    }

    #[test]
    fn a_program_opens_both_sides_first() {
        let mut search = Search::new(5);
        for _ in 0..500 {
            let bytes = search.race();
            let program = Program::decode(&bytes);
            let opening = &program.steps[..program.setup.prologue];
            for (side, slots) in [(Access::Write, 0..=0), (Access::Read, 1..=1)] {
                assert!(opening.iter().any(|step| matches!(
                    step.op,
                    Op::Open { slot, access, .. } if slots.contains(&slot) && access == side
                )));
            }
        }
    }

    #[test]
    fn the_last_bytes_of_a_step_mean_nothing() {
        let mut random = Random::new(7);
        for _ in 0..2_000 {
            let mut bytes = [0; CHUNK * 2];
            random.fill(&mut bytes);
            let step = format!("{:?}", Program::decode(&bytes).steps);
            random.fill(&mut bytes[CHUNK + ENCODED..]);
            assert_eq!(format!("{:?}", Program::decode(&bytes).steps), step);
        }
    }

    #[test]
    fn operations_have_the_numbers_that_are_used_here() {
        let name = |op: Op| {
            let text = format!("{op:?}");
            text.split(' ').next().unwrap_or_default().to_owned()
        };
        let op = |opcode: u8| {
            let mut bytes = [0; CHUNK * 2];
            bytes[CHUNK + OPCODE] = opcode;
            Program::decode(&bytes).steps[0].op
        };
        assert!(matches!(op(OPEN), Op::Open { .. }));
        assert!(matches!(op(WRITE), Op::Write { .. }));
        assert!(matches!(op(READ), Op::Read { .. }));
        assert!(matches!(op(HEADERS), Op::Headers { .. }));
        assert!(matches!(op(PAUSE), Op::Pause { .. }));
        let churn: Vec<String> = CHURN.iter().map(|opcode| name(op(*opcode))).collect();
        assert_eq!(churn.join(" "), "Open Close Seek Evict Resize Clear");
        let kinds: HashSet<String> = KINDS.iter().map(|opcode| name(op(*opcode))).collect();
        assert_eq!(kinds.len(), KINDS.len());
        let every: HashSet<String> = (0..64).map(|opcode| name(op(opcode))).collect();
        assert_eq!(every.len(), KINDS.len() + 3, "Read, Write and Pause");
        let changes: Vec<String> = CHANGES.iter().map(|opcode| name(op(*opcode))).collect();
        assert_eq!(
            changes.join(" "),
            "Close Set Seek Headers Watermark Evict Resize Clear Destroy Signal Kill Disturb"
        );
    }

    #[test]
    fn a_program_is_kept_without_the_parts_that_it_does_not_need() {
        let mut search = Search::new(6);
        let bytes: Vec<u8> = (0..9 * CHUNK as u8).collect();
        // What is new comes of the step that begins with this byte.
        let needed = 4 * CHUNK as u8;
        let mut runs = 0;
        let new = Reached::of_edges(&[7]);
        let reached = new.clone();
        let kept = search.keep(bytes, reached, &new, |shorter| {
            runs += 1;
            let has = shorter.chunks(CHUNK).any(|step| step[0] == needed);
            if has {
                Reached::of_edges(&[7, 8])
            } else {
                Reached::default()
            }
        });
        let steps: Vec<u8> = kept
            .bytes
            .chunks(CHUNK)
            .map(|step| step[0] / CHUNK as u8)
            .collect();
        assert_eq!(steps, [0, 1, 2, 3, 4]);
        assert_eq!(runs, PARTS);
    }

    #[test]
    fn mutations_stay_within_the_longest_program() {
        let mut search = Search::new(3);
        for _ in 0..50 {
            let bytes = search.fresh();
            assert!(bytes.len() <= CHUNK * (STEPS_MAX + 1));
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
