// SPDX-License-Identifier: GPL-2.0

//! A POSIX message queue, as a peer.

use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::stat::Mode;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

/// A queue, which is one file for both directions.
pub struct Queue(MqdT);

impl Queue {
    /// Makes a queue for so many bytes in messages of at most `message` bytes.
    pub fn open(capacity: usize, message: usize) -> rustix::io::Result<Self> {
        // It is gone when the last who has it open closes it.
        const NAME: &str = "/ringdev-bench";
        let open = || {
            // The limit is for users, and counts what the kernel needs for each message as well.
            setrlimit(Resource::RLIMIT_MSGQUEUE, RLIM_INFINITY, RLIM_INFINITY)?;
            let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL | MQ_OFlag::O_RDWR;
            // CAST: Both are small.
            let attributes = MqAttr::new(0, (capacity / message) as i64, message as i64, 0);
            let queue = mq_open(NAME, flags, Mode::S_IRWXU, Some(&attributes))?;
            mq_unlink(NAME)?;
            Ok(Self(queue))
        };
        open().map_err(errno)
    }

    /// Sends a message.
    #[inline(always)]
    pub fn send(&self, message: &[u8]) -> rustix::io::Result<usize> {
        mq_send(&self.0, message, 0).map_err(errno)?;
        Ok(message.len())
    }

    /// Takes the oldest message. `back` has to have room for the longest that there could be.
    #[inline(always)]
    pub fn receive(&self, back: &mut [u8]) -> rustix::io::Result<usize> {
        mq_receive(&self.0, back, &mut 0).map_err(errno)
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The same error of the other library.
fn errno(error: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(error as i32)
}
