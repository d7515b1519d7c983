// SPDX-License-Identifier: GPL-2.0

//! The argument of an ioctl(2), an address in the calling process, is read as if it were the
//! kernel's.
//!
//! An address of user space is of a type of its own that can only be copied from and to, with a
//! check and with an error. In C it is a pointer with an annotation that sparse looks at, if
//! somebody runs it.
//@ in: src/endpoint.rs
//@ error: E0614: type `*UserPtr` cannot be dereferenced
//@ in C, run: create_makes_a_node_that_works
//@ in C, found: KASAN: probably user-memory-access

use super::*;

pub(super) fn argument_of(argument: UserPtr) -> Result<c_int> {
    #[cfg(not(mistake))]
    let value = UserSlice::new(argument, size_of::<c_int>())
        .reader()
        .read()?;
    #[cfg(mistake)]
    let value = *argument;
    Ok(value)
}
