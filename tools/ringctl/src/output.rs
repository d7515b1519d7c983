// SPDX-License-Identifier: GPL-2.0

//! Standard output, whose errors are told apart from those of rings.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat};

use crate::failure::{Failure, Outcome};
use crate::wait;

/// Standard output through a buffer. It must be flushed, else its last errors go unnoticed.
pub(crate) struct Output<W: Write + AsFd = StdoutLock<'static>> {
    stdout: BufWriter<W>,
    /// Whether poll(2) tells if it has a reader.
    is_pipe: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self::to(io::stdout().lock())
    }
}

impl<W: Write + AsFd> Output<W> {
    /// Makes an output of what stands for stdout.
    pub(crate) fn to(stdout: W) -> Self {
        let mode = fstat(&stdout).map(|stat| stat.st_mode);
        let is_pipe = mode.is_ok_and(|mode| FileType::from_raw_mode(mode) == FileType::Fifo);
        Self {
            stdout: BufWriter::new(stdout),
            is_pipe,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.stdout.write_all(bytes).map_err(Failure::Output)
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        self.stdout.flush().map_err(Failure::Output)
    }

    /// Returns the pipe that it is, if it is one.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.is_pipe.then(|| self.stdout.get_ref().as_fd())
    }

    /// Fails as a write would if it is a pipe that nobody reads any more. So what nobody would see
    /// need not be taken from a ring.
    pub(crate) fn check_reader(&self) -> Outcome {
        let Some(pipe) = self.pipe() else {
            return Ok(());
        };
        let events = wait::now(pipe, PollFlags::empty()).map_err(Failure::Output)?;
        if events.contains(PollFlags::ERR) {
            return Err(Failure::Output(io::ErrorKind::BrokenPipe.into()));
        }
        Ok(())
    }
}

/// Writes all of `text`.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Outcome {
    let mut output = Output::new();
    output.write(text.as_ref())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use rustix::pipe::pipe;

    use super::*;

    #[test]
    fn what_is_written_is_there_once_it_is_flushed() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut output = Output::to(File::from(writer));
        output.write(b"one, ").expect("there is room");
        output.write(b"two").expect("there is room");
        output.flush().expect("there is room");
        let mut there = [0; 16];
        let count = File::from(reader).read(&mut there).expect("a read");
        assert_eq!(&there[..count], b"one, two");
    }

    #[test]
    fn what_cannot_be_written_is_a_failure_of_stdout() {
        let full = File::options().write(true).open("/dev/full");
        let mut output = Output::to(full.expect("a device that is full"));
        output.write(b"x").expect("it is in the buffer");
        let failure = output.flush().expect_err("it is full");
        assert!(matches!(failure, Failure::Output(_)), "{failure}");
        let failure = output.write(&[0; 1 << 20]).expect_err("it is full");
        assert!(matches!(failure, Failure::Output(_)), "{failure}");
    }

    #[test]
    fn only_a_pipe_without_a_reader_is_without_one() {
        let (reader, writer) = pipe().expect("a pipe");
        let output = Output::to(File::from(writer));
        output.check_reader().expect("it has a reader");
        drop(reader);
        match output.check_reader() {
            Err(Failure::Output(error)) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
            other => panic!("{other:?}"),
        }
        let null = File::options().write(true).open("/dev/null");
        let output = Output::to(null.expect("a device"));
        assert!(output.pipe().is_none());
        output.check_reader().expect("it needs none");
    }
}
