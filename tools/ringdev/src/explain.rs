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
    /// [`Ring::seek_to_oldest`](crate::Ring::seek_to_oldest) and
    /// [`seek_to_newest`](crate::Ring::seek_to_newest).
    Seek,
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
        (Call::Open, Errno::NXIO) => {
            "the ring was destroyed; open the ring that has its name now, if there is one"
        }
        (Call::Open, Errno::NOMEM) => "there is no memory for another endpoint; close others first",
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
        (Call::Read | Call::Watermark | Call::Seek, Errno::SHUTDOWN) => {
            "the reader was evicted because others waited for it; open the ring again"
        }
        (Call::Seek, Errno::SPIPE) => {
            "only a reader of a ring with broadcast delivery has a position of its own; read what \
             is not wanted, or clear the ring"
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

    const CALLS: [Call; 15] = [
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
        Call::Seek,
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

    /// What each errno means, by words that no other meaning has. Of a call that is not named, it
    /// means what it means for all.
    const MEANINGS: [(&[Call], &[Errno], &str); 26] = [
        (&[Call::Control], &[Errno::NOENT], "module is not loaded"),
        (
            &[Call::Control],
            &[Errno::ACCESS, Errno::PERM],
            "become root, or a member",
        ),
        (
            &[Call::Create],
            &[Errno::EXIST],
            "a ring of this name exists",
        ),
        (&[Call::Create], &[Errno::INVAL], "the mode at most 0777"),
        (&[Call::Create], &[Errno::NOSPC], "max_rings"),
        (
            &[Call::Create, Call::Resize],
            &[Errno::DQUOT],
            "CAP_SYS_RESOURCE",
        ),
        (
            &[Call::Create, Call::Resize],
            &[Errno::NOMEM],
            "try a smaller capacity",
        ),
        (
            &[Call::Resize],
            &[Errno::INVAL],
            "the capacity must be a power of two, from the page size to the module's max_capacity",
        ),
        (
            &[Call::Resize],
            &[Errno::BUSY],
            "does not fit; read or clear",
        ),
        (&[Call::Evict], &[Errno::NOENT], "or it has no such reader"),
        (
            &[Call::Evict],
            &[Errno::INVAL],
            "readers can be evicted only",
        ),
        (
            &[
                Call::Destroy,
                Call::Rings,
                Call::Cursors,
                Call::Resize,
                Call::Clear,
                Call::Open,
            ],
            &[Errno::NOENT],
            "there is no such ring; look in /dev/ring",
        ),
        (
            &[Call::Open],
            &[Errno::ACCESS, Errno::PERM],
            "the mode of the node",
        ),
        (&[Call::Open], &[Errno::NXIO], "the ring was destroyed"),
        (&[Call::Open], &[Errno::NOMEM], "another endpoint"),
        (
            &[Call::Watermark],
            &[Errno::INVAL],
            "the watermark is at most",
        ),
        (&[Call::Records], &[Errno::INVAL], "the ring is a stream"),
        (&[Call::Write], &[Errno::MSGSIZE], "a quarter of the ring's"),
        (
            &[Call::Write],
            &[Errno::NOBUFS],
            "refuses what does not fit",
        ),
        (&[Call::Write], &[Errno::AGAIN], "let the write wait"),
        (&[Call::Write], &[Errno::PIPE], "nobody has the ring open"),
        (&[Call::Write], &[Errno::INVAL], "a record cannot be empty"),
        (
            &[Call::Read],
            &[Errno::MSGSIZE],
            "read into a larger buffer",
        ),
        (&[Call::Read], &[Errno::AGAIN], "the ring is empty"),
        (
            &[Call::Read, Call::Watermark, Call::Seek],
            &[Errno::SHUTDOWN],
            "the reader was evicted",
        ),
        (&[Call::Seek], &[Errno::SPIPE], "a position of its own"),
    ];

    /// What each of these means for every call.
    const FOR_ALL: [(Errno, &str); 4] = [
        (Errno::NOTTY, "does not know this command"),
        (Errno::TOOBIG, "the module is older than this program"),
        (Errno::NODEV, "the ring was destroyed"),
        (Errno::BADF, "is not open in this direction"),
    ];

    #[test]
    fn each_errno_means_what_it_says_and_no_other_means_it() {
        let here = |call, errno| {
            let of_call = MEANINGS
                .iter()
                .find(|(calls, errnos, _)| calls.contains(&call) && errnos.contains(&errno));
            let of_all = FOR_ALL.iter().find(|(known, _)| *known == errno);
            of_call.map(|row| row.2).or(of_all.map(|row| row.1))
        };
        for call in CALLS {
            for number in 1..134 {
                let errno = Errno::from_raw_os_error(number);
                match (meaning(call, errno), here(call, errno)) {
                    (Some(sentence), Some(words)) => {
                        assert!(sentence.contains(words), "{call:?} {errno}: {sentence}");
                    }
                    (sentence, words) => assert_eq!(sentence, words, "{call:?} {errno}"),
                }
            }
        }
    }

    /// The calls of this library that a section of the documentation is about, or one of its
    /// ioctls. None if there is no such call.
    fn calls(section: &str) -> &'static [Call] {
        match section {
            "open" => &[Call::Open],
            "write, writev" => &[Call::Write],
            "read, readv" => &[Call::Read],
            "lseek" => &[Call::Seek],
            "CURSOR" | "INFO" => &[Call::Info],
            "WATERMARK" => &[Call::Watermark],
            "READ_MODE" => &[Call::Records],
            "CREATE" => &[Call::Create],
            "DESTROY" => &[Call::Destroy],
            "NEXT" => &[Call::Rings],
            "NEXT_CURSOR" => &[Call::Cursors],
            "RESIZE" => &[Call::Resize],
            "CLEAR" => &[Call::Clear],
            "EVICT" => &[Call::Evict],
            _ => &[],
        }
    }

    /// The errnos that `Documentation/user-api.rst` names for a call of this library.
    fn documented() -> Vec<(Call, String)> {
        let text = include_str!("../../../Documentation/user-api.rst");
        let mut found = Vec::new();
        let mut about: &[Call] = &[];
        for (line, below) in text.lines().zip(text.lines().skip(1)) {
            let title = below.len() > 2 && below.chars().all(|c| c == '=' || c == '-');
            let ioctl = line.strip_prefix("``RINGDEV_IOC_");
            if title && line.starts_with(char::is_alphabetic) {
                about = calls(line);
            } else if let Some(ioctl) = ioctl.and_then(|rest| rest.strip_suffix("``")) {
                about = calls(ioctl);
            } else if line.starts_with("``FIONREAD``") {
                about = &[];
            }
            for word in line.split("``").skip(1).step_by(2) {
                let errno = word.strip_prefix('E').is_some_and(|rest| {
                    rest.chars()
                        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
                });
                if errno {
                    found.extend(about.iter().map(|call| (*call, word.to_owned())));
                }
            }
        }
        found
    }

    #[test]
    fn each_errno_of_the_documentation_is_explained() {
        let number = |name: &str| {
            let known = (1..134).map(nix::errno::Errno::from_raw);
            let known = known.map(|errno| (format!("{errno:?}"), errno as i32));
            let named = |(known, number)| (known == name).then_some(number);
            known.filter_map(named).next()
        };
        let mut errnos = 0;
        for (call, name) in documented() {
            match (call, name.as_str()) {
                // Memory that is Rust's can be read and written.
                (_, "EFAULT") => continue,
                // There is nothing to do but to call again.
                (_, "EINTR") => continue,
                // The library has no call that does these: pread(2), pwrite(2), open(2) with
                // O_DIRECT, an offset of lseek(2), a name or a number that CURSOR does not want.
                (Call::Read | Call::Write, "ESPIPE") => continue,
                (Call::Open | Call::Seek | Call::Info, "EINVAL") => continue,
                // The end of the list, which is none of the iterators.
                (Call::Rings | Call::Cursors, "ENODATA") => continue,
                _ => {}
            }
            // EVICT, say, is none.
            let Some(number) = number(&name) else {
                continue;
            };
            let errno = Errno::from_raw_os_error(number);
            assert!(meaning(call, errno).is_some(), "{call:?} {name}");
            errnos += 1;
        }
        assert!(errnos > 30, "{errnos}");
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
