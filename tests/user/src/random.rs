// SPDX-License-Identifier: GPL-2.0

//! Random numbers that are the same in every run (SplitMix64).

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 1 to `limit`, or 0 if that is the limit.
    pub fn up_to(&mut self, limit: u64) -> u64 {
        match limit {
            0 => 0,
            _ => 1 + self.next() % limit,
        }
    }
}
