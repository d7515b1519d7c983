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
            #[cfg(test)]
            if let Some(answer) = made_up::answer($number, argument) {
                return answer;
            }
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

/// A kernel that is made up: it answers the commands of a thread, so that tests need no module.
#[cfg(test)]
pub(crate) mod made_up {
    use std::any::Any;
    use std::cell::RefCell;
    use std::io;

    use rustix::io::Errno;
    use rustix::ioctl::Opcode;

    type Kernel = Box<dyn FnMut(Opcode, &mut dyn Any) -> Result<(), Errno>>;

    thread_local! {
        static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    }

    /// Has `kernel` answer every command of this thread from now on. It gets the number of the
    /// command and its argument, which it may fill in.
    pub(crate) fn kernel(kernel: impl FnMut(Opcode, &mut dyn Any) -> Result<(), Errno> + 'static) {
        KERNEL.set(Some(Box::new(kernel)));
    }

    /// Has `kernel` answer a command whose argument is a `T`, and no other.
    pub(crate) fn kernel_of<T: 'static>(
        number: Opcode,
        mut answer: impl FnMut(&mut T) -> Result<(), Errno> + 'static,
    ) {
        kernel(move |asked, argument| {
            assert_eq!(asked, number);
            answer(
                argument
                    .downcast_mut()
                    .expect("the argument of this command"),
            )
        });
    }

    /// Returns the answer of the made-up kernel, if the thread has one.
    pub(super) fn answer<T: Any>(number: Opcode, argument: &mut T) -> Option<io::Result<()>> {
        KERNEL.with_borrow_mut(|kernel| {
            let kernel = kernel.as_mut()?;
            Some(kernel(number, argument).map_err(io::Error::from))
        })
    }
}
