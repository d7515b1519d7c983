// SPDX-License-Identifier: GPL-2.0

//! A record as a reader gets it.

use std::time::Duration;

/// A record in the buffer of whoever read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number. The first record of a ring has 0, the next has the next.
    pub sequence: u64,
    /// When it was written, by `CLOCK_MONOTONIC`.
    pub timestamp: Duration,
    /// How many records were overwritten between this and the one that was read before it.
    pub lost: u64,
    /// What was written.
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// A copy that does not need the buffer.
    pub fn into_owned(self) -> OwnedRecord {
        OwnedRecord {
            sequence: self.sequence,
            timestamp: self.timestamp,
            lost: self.lost,
            payload: self.payload.to_vec(),
        }
    }
}

/// A record that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// As in [`Record`].
    pub sequence: u64,
    /// As in [`Record`].
    pub timestamp: Duration,
    /// As in [`Record`].
    pub lost: u64,
    /// As in [`Record`].
    pub payload: Vec<u8>,
}
