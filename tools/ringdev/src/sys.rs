// SPDX-License-Identifier: GPL-2.0

//! What is unsafe, as safe functions: the ioctls, and handing a file to tokio. All the `unsafe` of
//! this crate is here.

use std::io;
use std::os::fd::AsFd;

#[cfg(feature = "tokio")]
use ::tokio::io::unix::AsyncFd;
use rustix::ioctl::{Updater, ioctl};

use crate::abi;
#[cfg(feature = "tokio")]
use crate::ring::Ring;

/// Makes a function of a command. It fills in the size of the argument, so that nobody else must.
macro_rules! command {
    ($name:ident, $number:expr, $argument:ty) => {
        pub(crate) fn $name(fd: impl AsFd, argument: &mut $argument) -> io::Result<()> {
            argument.size = const { size_of::<$argument>() as u32 };
            // SAFETY: By the header this is the argument of the command. The kernel accesses as
            // many bytes of it as `size` says, it is borrowed for so long, and any bytes are a
            // value of it. A file that is not of this driver does not know the number.
            unsafe { ioctl(fd, Updater::<{ $number }, $argument>::new(argument)) }?;
            Ok(())
        }
    };
}

command!(create, abi::IOC_CREATE, abi::Create);
command!(destroy, abi::IOC_DESTROY, abi::Name);
command!(next, abi::IOC_NEXT, abi::Info);
command!(resize, abi::IOC_RESIZE, abi::Resize);
command!(clear, abi::IOC_CLEAR, abi::Name);
command!(evict, abi::IOC_EVICT, abi::Evict);
command!(next_cursor, abi::IOC_NEXT_CURSOR, abi::Cursor);
command!(info, abi::IOC_INFO, abi::Info);
command!(cursor, abi::IOC_CURSOR, abi::Cursor);
command!(watermark, abi::IOC_WATERMARK, abi::Watermark);
command!(read_mode, abi::IOC_READ_MODE, abi::ReadMode);

/// Registers an endpoint with the tokio runtime.
#[cfg(feature = "tokio")]
pub(crate) fn register(ring: Ring) -> io::Result<AsyncFd<Ring>> {
    // SAFETY: A `Ring` owns its file, and has the same file for as long as it lives.
    let registered = unsafe { AsyncFd::register(ring) };
    registered.map_err(io::Error::from)
}
