// SPDX-License-Identifier: GPL-2.0

//! A ring gets new memory while a copy into the old one is still to come.
//!
//! An area is borrowed from the memory that it is a part of. In C it is a pointer into it, also
//! after vunmap().
//@ in: src/channel/mod.rs
//@ error: E0505: cannot move out of `data` because it is borrowed
//@ in C, run: resize_under_load_loses_nothing
//@ in C, found: BUG: KASAN: vmalloc-out-of-bounds

use super::*;
use crate::staging::transfer::Destination;

pub(super) fn copy_out(data: Arc<Mirror>, to: &mut impl Destination) -> usize {
    let area = data.area(0, 8);
    #[cfg(mistake)]
    drop(data);
    let copied = to.copy_from(area);
    #[cfg(not(mistake))]
    drop(data);
    copied
}
