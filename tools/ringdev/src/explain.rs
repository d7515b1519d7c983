// SPDX-License-Identifier: GPL-2.0

//! What an errno means for which call, and what to do about it.

use std::io;

use rustix::io::Errno;

/// A call of this library, as [`explain`] tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// [`Control::open`](crate::Control::open).
    Control,
    /// [`Control::create`](crate::Control::create).
    Create,
    /// [`Control::destroy`](crate::Control::destroy).
    Destroy,
    /// [`Control::rings`](crate::Control::rings) and [`find`](crate::Control::find).
    Rings,
    /// [`Control::cursors`](crate::Control::cursors).
    Cursors,
    /// [`Control::resize`](crate::Control::resize).
    Resize,
    /// [`Control::clear`](crate::Control::clear).
    Clear,
    /// [`Control::evict`](crate::Control::evict).
    Evict,
    /// [`OpenOptions::open`](crate::OpenOptions::open).
    Open,
    /// [`Ring::info`](crate::Ring::info) and [`cursor`](crate::Ring::cursor).
    Info,
    /// [`Ring::set_watermark`](crate::Ring::set_watermark).
    Watermark,
    /// [`Ring::records`](crate::Ring::records).
    Records,
    /// Reading from a [`Ring`](crate::Ring).
    Read,
    /// Writing to a [`Ring`](crate::Ring).
    Write,
}

/// Says in a sentence what an error means for the call that it came from, and what to do, if
/// there is more to say than the error itself says.
///
/// ```
/// use std::io;
///
/// use ringdev::{Call, explain};
///
/// const EEXIST: i32 = 17;
/// let error = io::Error::from_raw_os_error(EEXIST);
/// let meaning = explain(Call::Create, &error).expect("it has one");
/// assert!(meaning.starts_with("a ring of this name exists"));
/// ```
pub fn explain(call: Call, error: &io::Error) -> Option<&'static str> {
    let errno = Errno::from_io_error(error)?;
    of_call(call, errno).or_else(|| of_any(errno))
}

/// What the errno means for this call and not for others.
fn of_call(call: Call, errno: Errno) -> Option<&'static str> {
    Some(match (call, errno) {
        (Call::Control, Errno::NOENT) => {
            "the module is not loaded; load it with modprobe or insmod"
        }
        (Call::Control, Errno::ACCESS | Errno::PERM) => {
            "making, showing and changing rings is for root, and for the group ringdev where the \
             driver's udev rule is installed; become root, or a member"
        }
        (Call::Create, Errno::EXIST) => {
            "a ring of this name exists; choose another name, or destroy that one first"
        }
        (Call::Create, Errno::INVAL) => {
            "a value is out of range; the capacity must be a power of two, from the page size to \
             the module's max_capacity, and the mode at most 0777"
        }
        (Call::Create, Errno::NOSPC) => {
            "there are as many rings as the module's max_rings allows; destroy one first"
        }
        (Call::Create | Call::Resize, Errno::DQUOT) => {
            "the user would have more memory in rings than is allowed; destroy or shrink others, \
             or have CAP_SYS_RESOURCE"
        }
        (Call::Create | Call::Resize, Errno::NOMEM) => {
            "there is no memory for so large a ring; try a smaller capacity"
        }
        (Call::Resize, Errno::INVAL) => {
            "the capacity must be a power of two, from the page size to the module's max_capacity"
        }
        (Call::Resize, Errno::BUSY) => {
            "what is in the ring does not fit; read or clear it first, or choose a larger capacity"
        }
        (Call::Evict, Errno::NOENT) => {
            "there is no such ring, or it has no such reader; list the ring's cursors"
        }
        (Call::Evict, Errno::INVAL) => {
            "readers can be evicted only from a ring with broadcast delivery"
        }
        (
            Call::Destroy | Call::Rings | Call::Cursors | Call::Resize | Call::Clear | Call::Open,
            Errno::NOENT,
        ) => "there is no such ring; look in /dev/ring for those there are",
        (Call::Open, Errno::ACCESS | Errno::PERM) => {
            "the mode of the node does not allow it; become its owner, or have the mode changed"
        }
        (Call::Watermark, Errno::INVAL) => {
            "the watermark is at most half of the capacity, and needs a delay of at most a minute"
        }
        (Call::Records, Errno::INVAL) => {
            "the ring is a stream and has no records; read it as bytes"
        }
        (Call::Write, Errno::MSGSIZE) => {
            "the record is longer than a quarter of the ring's capacity; write shorter records, or \
             resize the ring"
        }
        (Call::Write, Errno::NOBUFS) => {
            "the ring is full and refuses what does not fit; read from it, or try later"
        }
        (Call::Write, Errno::AGAIN) => "the ring is full; read from it, or let the write wait",
        (Call::Write, Errno::PIPE) => "nobody has the ring open for reading; start a reader first",
        (Call::Write, Errno::INVAL) => "a record cannot be empty; write at least one byte",
        (Call::Read, Errno::MSGSIZE) => {
            "the next record is longer than the buffer and stays in the ring; read into a larger \
             buffer"
        }
        (Call::Read, Errno::AGAIN) => "the ring is empty; write to it, or let the read wait",
        (Call::Read, Errno::SHUTDOWN) => {
            "the reader was evicted because others waited for it; open the ring again"
        }
        _ => return None,
    })
}

/// What the errno means for every call.
fn of_any(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::NOTTY => {
            "the module does not know this command, or this is not a ring; load the \
             module that belongs to this program"
        }
        Errno::TOOBIG => {
            "the module is older than this program and cannot do what was asked; load a \
             newer module"
        }
        Errno::NODEV => {
            "the ring was destroyed; open the ring that has its name now, if there is one"
        }
        Errno::BADF => "the endpoint is not open in this direction; open it for what it is to do",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: [Call; 14] = [
        Call::Control,
        Call::Create,
        Call::Destroy,
        Call::Rings,
        Call::Cursors,
        Call::Resize,
        Call::Clear,
        Call::Evict,
        Call::Open,
        Call::Info,
        Call::Watermark,
        Call::Records,
        Call::Read,
        Call::Write,
    ];

    fn meaning(call: Call, errno: Errno) -> Option<&'static str> {
        explain(call, &errno.into())
    }

    #[test]
    fn each_says_what_is_and_what_to_do() {
        for call in CALLS {
            for number in 1..134 {
                let Some(sentence) = meaning(call, Errno::from_raw_os_error(number)) else {
                    continue;
                };
                // It is the end of a line that has begun already.
                assert!(sentence.starts_with(char::is_lowercase), "{sentence}");
                assert!(!sentence.ends_with('.'), "{sentence}");
                assert!(!sentence.contains(['\n', '\t']), "{sentence}");
                assert!(!sentence.contains("  "), "{sentence}");
            }
        }
    }

    #[test]
    fn the_same_errno_means_different_things() {
        let read = meaning(Call::Read, Errno::MSGSIZE);
        let write = meaning(Call::Write, Errno::MSGSIZE);
        assert!(read.is_some() && write.is_some());
        assert_ne!(read, write);
    }

    #[test]
    fn all_that_the_module_answers_is_explained() {
        for (call, errnos) in [
            (Call::Control, &[Errno::NOENT, Errno::ACCESS][..]),
            (
                Call::Create,
                &[
                    Errno::EXIST,
                    Errno::INVAL,
                    Errno::DQUOT,
                    Errno::NOSPC,
                    Errno::NOMEM,
                    Errno::TOOBIG,
                ],
            ),
            (Call::Destroy, &[Errno::NOENT]),
            (Call::Cursors, &[Errno::NOENT]),
            (
                Call::Resize,
                &[Errno::NOENT, Errno::INVAL, Errno::BUSY, Errno::DQUOT],
            ),
            (Call::Clear, &[Errno::NOENT]),
            (Call::Evict, &[Errno::NOENT, Errno::INVAL]),
            (Call::Open, &[Errno::NOENT, Errno::ACCESS]),
            (Call::Watermark, &[Errno::INVAL]),
            (Call::Records, &[Errno::INVAL]),
            (Call::Read, &[Errno::MSGSIZE, Errno::AGAIN, Errno::SHUTDOWN]),
            (
                Call::Write,
                &[
                    Errno::MSGSIZE,
                    Errno::NOBUFS,
                    Errno::AGAIN,
                    Errno::PIPE,
                    Errno::NODEV,
                ],
            ),
        ] {
            for errno in errnos {
                assert!(meaning(call, *errno).is_some(), "{call:?} {errno:?}");
            }
        }
    }

    #[test]
    fn what_is_not_from_the_kernel_speaks_for_itself() {
        let error = io::Error::new(io::ErrorKind::InvalidData, "made up");
        assert_eq!(explain(Call::Read, &error), None);
        let error = io::Error::from_raw_os_error(i32::MAX);
        assert_eq!(explain(Call::Read, &error), None);
        assert_eq!(meaning(Call::Read, Errno::IO), None);
    }
}
