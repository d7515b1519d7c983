// SPDX-License-Identifier: GPL-2.0

//! An endpoint: one open file of a ring. Turns system calls into operations of a [`Channel`].
//!
//! An endpoint is what open(2) made, and dup(2), fork(2) and `SCM_RIGHTS` share. It keeps its ring
//! alive for as long as it is open.

use crate::{
    channel::{
        Channel,
        Side, //
    },
    staging::{
        fasync::FasyncCall,
        file::{
            Access,
            FileOperations,
            Waiting, //
        },
        poll::{
            Events,
            PollTable, //
        },
        transfer::{
            Destination,
            Source, //
        }, //
    }, //
};
use kernel::{
    bindings,
    ffi::c_int,
    prelude::*,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// An open file of a ring.
pub(crate) struct Endpoint {
    channel: Arc<Channel>,
}

impl FileOperations for Endpoint {
    type Device = Arc<Channel>;
    type Private = KBox<Self>;
    type OwnerModule = crate::LocalModule;

    fn open(channel: &Arc<Channel>) -> Result<KBox<Self>> {
        let channel = channel.clone();
        Ok(KBox::new(Self { channel }, GFP_KERNEL_ACCOUNT)?)
    }

    #[inline]
    fn read(this: &Self, to: &mut impl Destination, waiting: Waiting) -> Result<usize> {
        this.channel.read(to, waiting)
    }

    #[inline]
    fn write(this: &Self, from: &mut impl Source, waiting: Waiting) -> Result<usize> {
        this.channel.write(from, waiting)
    }

    /// Level-exact: readable if and only if a byte is there, writable if and only if one fits.
    fn poll<'file>(this: &'file Self, table: PollTable<'file>, access: Access) -> Events {
        let channel = &this.channel;
        let mut ready = Events::NONE;
        if access.read {
            join(&table, channel.readers());
            if channel.unread() > 0 {
                ready = ready | Events::READABLE;
            }
        }
        if access.write {
            join(&table, channel.writers());
            if channel.room() > 0 {
                ready = ready | Events::WRITABLE;
            }
        }
        ready
    }

    fn ioctl(this: &Self, command: u32, argument: usize) -> Result<isize> {
        match command {
            bindings::FIONREAD => {
                let unread = c_int::try_from(this.channel.unread()).unwrap_or(c_int::MAX);
                UserSlice::new(UserPtr::from_addr(argument), size_of::<c_int>())
                    .writer()
                    .write(&unread)?;
                Ok(0)
            }
            _ => Err(ENOTTY),
        }
    }

    fn fasync<'file>(this: &'file Self, call: FasyncCall<'file>, access: Access) -> Result {
        let channel = &this.channel;
        let readers = channel.readers().signalled();
        if access.read {
            call.apply(readers)?;
        }
        if access.write {
            call.apply(channel.writers().signalled()).inspect_err(|_| {
                if access.read {
                    call.undo(readers);
                }
            })?;
        }
        Ok(())
    }
}

/// Puts whoever polls into the queue of `side`.
fn join<'file>(table: &PollTable<'file>, side: &'file Side) {
    table.register(side.pollers());
    if table
        .requested()
        .intersects(Events::EDGE_TRIGGERED | Events::EXCLUSIVE)
    {
        side.want_every_edge();
    }
}
