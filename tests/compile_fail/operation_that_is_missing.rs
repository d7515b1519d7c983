// SPDX-License-Identifier: GPL-2.0

//! A file is given operations, and none that opens it.
//!
//! What every file needs is a required function of the trait. In C a member of the structure that
//! is left out is a null pointer, and for `open` that means that whatever comes next finds no
//! private data.
//@ in: src/endpoint.rs
//@ error: E0046: not all trait items implemented, missing: `open`
//@ in C, run: write_and_read_give_the_same_bytes
//@ in C, found: KASAN: null-ptr-deref

use super::*;

pub(super) struct Incomplete;

#[vtable]
impl FileOperations for Incomplete {
    type Device = ();
    type OwnerModule = crate::LocalModule;

    #[cfg(not(mistake))]
    fn open(_device: &(), _access: Access) -> Result<Self> {
        Ok(Self)
    }
}
