// SPDX-License-Identifier: GPL-2.0

//! `/dev/ring/control`: making, showing, changing and removing rings.

use std::fs::File;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use crate::abi;
use crate::create::Create;
use crate::info::{Cursor, Info};
use crate::name::{CONTROL, DIRECTORY, RingName};
use crate::sys;

/// `/dev/ring/control`, open. Its node admits root alone, or also the group
/// `ringdev`, if the driver's udev rule is installed.
#[derive(Debug)]
pub struct Control {
    file: File,
}

impl Control {
    /// Opens it. `ENOENT` means that the module is not loaded.
    pub fn open() -> io::Result<Self> {
        let path = Path::new(DIRECTORY).join(CONTROL);
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self { file })
    }

    /// Makes a ring.
    ///
    /// `EEXIST`: the name is taken. `EINVAL`: a value is out of range. `EDQUOT`: the user has too
    /// much memory in rings. `ENOSPC`: there are too many rings. `ENOMEM`: there is no memory.
    ///
    /// ```no_run
    /// use ringdev::{Control, Create, Framing};
    ///
    /// let events = Create::new("events".parse()?).framing(Framing::Record);
    /// Control::open()?.create(&events)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create(&self, ring: &Create) -> io::Result<()> {
        sys::create(self, &mut ring.to_abi())
    }

    /// Removes a ring. Its node goes at once; who has it open reads what is left and then meets
    /// the end of file, or writes and gets `ENODEV`.
    pub fn destroy(&self, name: &RingName) -> io::Result<()> {
        sys::destroy(self, &mut by_name(name))
    }

    /// All rings, by their numbers. A ring that is made or removed meanwhile may be missed.
    ///
    /// ```no_run
    /// for ring in ringdev::Control::open()?.rings() {
    ///     let ring = ring?;
    ///     println!("{}: {} of {} bytes", ring.name, ring.unread, ring.capacity);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn rings(&self) -> Rings<'_> {
        Rings {
            control: self,
            next: Some(0),
        }
    }

    /// The ring of this name. `ENOENT` if there is none.
    pub fn find(&self, name: &RingName) -> io::Result<Info> {
        // The kernel finds rings by number only. Looking through them here does not open the ring,
        // which would count as a reader or a writer.
        let is_it = |ring: &io::Result<Info>| ring.as_ref().map_or(true, |ring| ring.name == *name);
        self.rings()
            .find(is_it)
            .unwrap_or_else(|| Err(Errno::NOENT.into()))
    }

    /// Gives a ring another capacity and keeps what is in it. `EBUSY`: that does not fit.
    pub fn resize(&self, name: &RingName, capacity: u64) -> io::Result<()> {
        let mut resize = abi::Resize {
            capacity,
            name: name.to_abi(),
            ..abi::Resize::default()
        };
        sys::resize(self, &mut resize)
    }

    /// Throws away what is in a ring.
    pub fn clear(&self, name: &RingName) -> io::Result<()> {
        sys::clear(self, &mut by_name(name))
    }

    /// Parts a reader from a ring with broadcast delivery, so that nobody waits for it any more.
    /// It gets `ESHUTDOWN` from then on. `cursor` is the number of its [`Cursor`].
    pub fn evict(&self, name: &RingName, cursor: u64) -> io::Result<()> {
        let mut evict = abi::Evict {
            cursor,
            name: name.to_abi(),
            ..abi::Evict::default()
        };
        sys::evict(self, &mut evict)
    }

    /// The reading positions of a ring: one with shared delivery, with broadcast delivery one for
    /// each endpoint that reads. `ENOENT` if there is no such ring.
    pub fn cursors(&self, name: &RingName) -> Cursors<'_> {
        Cursors {
            control: self,
            name: name.clone(),
            next: Some(0),
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A control node that was inherited, or opened elsewhere.
impl From<OwnedFd> for Control {
    fn from(fd: OwnedFd) -> Self {
        Self { file: fd.into() }
    }
}

/// What commands take that are about a ring and need nothing else.
fn by_name(name: &RingName) -> abi::Name {
    abi::Name {
        name: name.to_abi(),
        ..abi::Name::default()
    }
}

fn is_the_end(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::NODATA)
}

/// The rings there are, from [`Control::rings`]. It ends after an error.
#[derive(Debug)]
pub struct Rings<'a> {
    control: &'a Control,
    /// The least number that the next one can have; none at the end.
    next: Option<u64>,
}

impl Iterator for Rings<'_> {
    type Item = io::Result<Info>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut info = abi::Info {
            id: self.next.take()?,
            ..abi::Info::default()
        };
        match sys::next(self.control, &mut info) {
            Ok(()) => {
                self.next = info.id.checked_add(1);
                Some(Info::from_abi(&info))
            }
            Err(error) if is_the_end(&error) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Rings<'_> {}

/// The reading positions of a ring, from [`Control::cursors`]. It ends after an error.
#[derive(Debug)]
pub struct Cursors<'a> {
    control: &'a Control,
    name: RingName,
    /// The least number that the next one can have; none at the end.
    next: Option<u64>,
}

impl Iterator for Cursors<'_> {
    type Item = io::Result<Cursor>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.next.take()?;
        let mut cursor = abi::Cursor {
            id: from,
            name: self.name.to_abi(),
            ..abi::Cursor::default()
        };
        match sys::next_cursor(self.control, &mut cursor) {
            Ok(()) => {
                self.next = cursor.id.checked_add(1);
                Some(Ok(Cursor::from_abi(&cursor)))
            }
            // Either there is no more, or there is no such ring: the errno does not say.
            Err(error) if is_the_end(&error) => match from {
                0 => self.control.find(&self.name).err().map(Err),
                _ => None,
            },
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Cursors<'_> {}
