// SPDX-License-Identifier: GPL-2.0

//! The bytes that tests write: a stream in which each position has its own, so that a byte
//! lost, doubled or misplaced is seen.

use std::sync::LazyLock;

use crate::random::Random;

/// After so many bytes the stream repeats. A prime: no size of a page, a ring or a transfer
/// is a multiple of it.
const PERIOD: usize = 65_521;

/// Random bytes, made once, because comparing is cheap and computing is not.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(4);
    (0..PERIOD).map(|_| random.next() as u8).collect()
});

/// The `length` bytes of the stream from a position on.
pub fn pattern(start: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let run = run_at(start + bytes.len() as u64);
        bytes.extend_from_slice(&run[..run.len().min(length - bytes.len())]);
    }
    bytes
}

/// Fails where `bytes` are not those of the stream from `start` on, and says where.
pub fn assert_pattern(bytes: &[u8], start: u64) {
    let mut checked = 0;
    while checked < bytes.len() {
        let position = start + checked as u64;
        let run = run_at(position);
        let length = run.len().min(bytes.len() - checked);
        let (found, wanted) = (&bytes[checked..][..length], &run[..length]);
        if found != wanted {
            let differs = |at: &usize| found[*at] != wanted[*at];
            let at = (0..length).find(differs).expect("a difference");
            panic!("not the byte of stream position {}", position + at as u64);
        }
        checked += length;
    }
}

/// The stream from a position to the end of its period.
pub fn run_at(position: u64) -> &'static [u8] {
    &BYTES[(position % PERIOD as u64) as usize..]
}
