// SPDX-License-Identifier: GPL-2.0

//! A ring is destroyed, and nobody looks whether it was.
//!
//! A result that may be an error has to be used. In C an int can be left lying; a function may ask
//! for a look at it (__must_check), and most do not.
//@ in: src/registry.rs
//@ error: unused_must_use: unused `*Result` that must be used
//@ in C, run: destroy_of_the_unknown_is_enoent
//@ in C, found: the test

use super::*;

pub(super) fn remove(registry: &Registry, name: Name) -> Result {
    #[cfg(not(mistake))]
    registry.destroy(name)?;
    #[cfg(mistake)]
    registry.destroy(name);
    Ok(())
}
