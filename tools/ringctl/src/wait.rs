// SPDX-License-Identifier: GPL-2.0

//! Waiting for files, with poll(2).

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

/// Waits until one of the files has one of its events. Each always has `ERR` and `HUP` as well.
pub(crate) fn until(files: &[(BorrowedFd<'_>, PollFlags)]) -> io::Result<()> {
    let mut polled = polled(files);
    retry_on_intr(|| poll(&mut polled, None))?;
    Ok(())
}

/// Returns which of its events a file has now.
pub(crate) fn now(file: BorrowedFd<'_>, events: PollFlags) -> io::Result<PollFlags> {
    let mut polled = polled(&[(file, events)]);
    // It does not wait, so no signal interrupts it.
    poll(&mut polled, Some(&Timespec::default()))?;
    Ok(polled[0].revents())
}

fn polled<'a>(files: &[(BorrowedFd<'a>, PollFlags)]) -> Vec<PollFd<'a>> {
    files
        .iter()
        .map(|(file, events)| PollFd::from_borrowed_fd(*file, *events))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::io::write;
    use rustix::pipe::pipe;

    use super::*;

    #[test]
    fn it_waits_for_the_first_of_several() {
        let (idle, _idle_writer) = pipe().expect("a pipe");
        let (reader, writer) = pipe().expect("a pipe");
        let delay = Duration::from_millis(20);
        let start = Instant::now();
        thread::scope(|threads| {
            threads.spawn(|| {
                thread::sleep(delay);
                write(&writer, b"x").expect("there is room");
            });
            let files = [idle.as_fd(), reader.as_fd()];
            until(&files.map(|file| (file, PollFlags::IN))).expect("it comes");
            assert!(start.elapsed() >= delay);
        });
        let events = now(reader.as_fd(), PollFlags::IN).expect("a pipe");
        assert_eq!(events, PollFlags::IN);
        let events = now(idle.as_fd(), PollFlags::IN).expect("a pipe");
        assert_eq!(events, PollFlags::empty());
    }

    #[test]
    fn an_end_needs_no_event() {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        until(&[(writer.as_fd(), PollFlags::empty())]).expect("it has an error");
        let events = now(writer.as_fd(), PollFlags::empty()).expect("a pipe");
        assert_eq!(events, PollFlags::ERR);
    }
}
