// SPDX-License-Identifier: GPL-2.0

//! Bytes of the ring are taken for a slice, which the compiler may believe not to change, while a
//! writer overwrites them.
//!
//! Memory that others may be writing to is of a type that can only be copied from and to. In C it
//! is a char pointer, as all memory is.
//@ in: src/channel/mod.rs
//@ error: E0308: mismatched types
//@ in C, run: lapped_all_the_time_it_reads_nothing_torn
//@ in C, found: nothing

use super::*;

pub(super) fn first_byte(data: &Mirror) -> Option<u8> {
    #[cfg(not(mistake))]
    let bytes: &[u8] = &data.load_words::<1>(0)[0].to_ne_bytes();
    #[cfg(mistake)]
    let bytes: &[u8] = &data.area(0, 8);
    bytes.first().copied()
}
