// SPDX-License-Identifier: GPL-2.0

//! Two writers have room reserved at the same time, and both fill the same bytes.
//!
//! Room borrows the writers' side for as long as it is not published, and there is one writers'
//! side. In C that is a rule.
//@ in: src/ring/producer.rs
//@ error: E0499: cannot borrow `*producer` as mutable more than once at a time
//@ in C, run: record_of_every_writer_is_in_one_piece
//@ in C, found: the test

use super::*;

pub(super) fn reserve_twice(producer: &mut Producer, positions: &Positions) -> Option<u64> {
    let first = producer.reserve(positions, 1, 1)?;
    #[cfg(not(mistake))]
    let _ = first.publish(1);
    let second = producer.reserve(positions, 1, 1)?;
    #[cfg(mistake)]
    let _ = first.publish(1);
    Some(second.span().position)
}
