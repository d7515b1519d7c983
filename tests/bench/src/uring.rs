// SPDX-License-Identifier: GPL-2.0

//! Many writes with one system call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, types};

/// The offset that stands for "where a stream is".
const HERE: u64 = u64::MAX;

/// An io_uring in which nothing is pending.
pub struct Uring(Box<IoUring>);

impl Uring {
    /// Makes one for so many requests at once.
    pub fn new(requests: u32) -> io::Result<Self> {
        IoUring::new(requests).map(Box::new).map(Self)
    }

    /// Writes `message` so many times, and tells whether all of them were written whole.
    pub fn write(&mut self, end: BorrowedFd<'_>, message: &[u8], times: usize) -> bool {
        // CAST: A message is short.
        let length = message.len() as u32;
        let entry = opcode::Write::new(types::Fd(end.as_raw_fd()), message.as_ptr(), length)
            .offset(HERE)
            .build();
        for _ in 0..times {
            // SAFETY: `message` is borrowed until this returns, and by then all are complete.
            unsafe { self.0.submission().push(&entry) }.expect("room for a request");
        }
        let (mut whole, mut complete) = (true, 0);
        while complete < times {
            // Whatever it answers, what is not complete is waited for.
            whole &= self.0.submit_and_wait(times - complete).is_ok();
            for answer in self.0.completion() {
                whole &= u32::try_from(answer.result()) == Ok(length);
                complete += 1;
            }
        }
        whole
    }
}
