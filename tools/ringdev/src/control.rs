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
                let ring = Info::from_abi(&info);
                if ring.is_ok() {
                    self.next = info.id.checked_add(1);
                }
                Some(ring)
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use rustix::ioctl::Opcode;

    use super::*;
    use crate::attributes::{Delivery, Framing, Full};
    use crate::sys::made_up::{kernel, kernel_of};

    /// A control node that only the made-up kernel knows.
    fn control() -> Control {
        let null = File::open("/dev/null").expect("a device");
        Control::from(OwnedFd::from(null))
    }

    fn name(name: &str) -> RingName {
        name.parse().expect("a name")
    }

    /// A command whose argument is a `T` and that always succeeds: what `call` hands over to it.
    fn handed_over<T: Default + 'static>(
        number: Opcode,
        call: impl FnOnce(&Control) -> io::Result<()>,
    ) -> T {
        let taken = Rc::new(RefCell::new(None));
        let there = Rc::clone(&taken);
        kernel_of(number, move |argument: &mut T| {
            assert!(there.replace(Some(std::mem::take(argument))).is_none());
            Ok(())
        });
        call(&control()).expect("it succeeds");
        taken.take().expect("the command was called")
    }

    fn errno<T>(answer: io::Result<T>) -> Option<Errno> {
        Errno::from_io_error(&answer.err()?)
    }

    #[test]
    fn create_hands_over_the_whole_ring() {
        let ring = Create::new(name("made"))
            .capacity(1 << 21)
            .framing(Framing::Record)
            .full(Full::Overwrite)
            .delivery(Delivery::Broadcast)
            .hangup(true)
            .mode(0o321)
            .uid(11)
            .gid(12);
        let create: abi::Create = handed_over(abi::IOC_CREATE, |control| control.create(&ring));
        assert_eq!(create.size, 72);
        assert_eq!(create.flags, abi::HANGUP);
        assert_eq!(create.capacity, 1 << 21);
        assert_eq!(create.framing, abi::RECORD);
        assert_eq!(create.full, abi::OVERWRITE);
        assert_eq!(create.delivery, abi::BROADCAST);
        assert_eq!((create.mode, create.uid, create.gid), (0o321, 11, 12));
        assert_eq!(create.name, name("made").to_abi());
    }

    #[test]
    fn destroy_and_clear_hand_over_the_name() {
        let ring = name("gone");
        let destroyed: abi::Name = handed_over(abi::IOC_DESTROY, |it| it.destroy(&ring));
        let cleared: abi::Name = handed_over(abi::IOC_CLEAR, |it| it.clear(&ring));
        for argument in [destroyed, cleared] {
            assert_eq!((argument.size, argument.flags), (40, 0));
            assert_eq!(argument.name, ring.to_abi());
        }
    }

    #[test]
    fn resize_hands_over_the_name_and_the_capacity() {
        let ring = name("grows");
        let resize: abi::Resize = handed_over(abi::IOC_RESIZE, |it| it.resize(&ring, 1 << 22));
        assert_eq!((resize.size, resize.flags), (48, 0));
        assert_eq!(resize.capacity, 1 << 22);
        assert_eq!(resize.name, ring.to_abi());
    }

    #[test]
    fn evict_hands_over_the_name_and_the_cursor() {
        let ring = name("news");
        let evict: abi::Evict = handed_over(abi::IOC_EVICT, |it| it.evict(&ring, 77));
        assert_eq!((evict.size, evict.flags), (48, 0));
        assert_eq!(evict.cursor, 77);
        assert_eq!(evict.name, ring.to_abi());
    }

    #[test]
    fn the_errno_of_a_command_is_that_of_its_error() {
        kernel(|_, _| Err(Errno::DQUOT));
        let (control, ring) = (control(), name("log"));
        let create = Create::new(ring.clone());
        assert_eq!(errno(control.create(&create)), Some(Errno::DQUOT));
        assert_eq!(errno(control.destroy(&ring)), Some(Errno::DQUOT));
        assert_eq!(errno(control.resize(&ring, 1)), Some(Errno::DQUOT));
        assert_eq!(errno(control.clear(&ring)), Some(Errno::DQUOT));
        assert_eq!(errno(control.evict(&ring, 1)), Some(Errno::DQUOT));
        assert_eq!(errno(control.find(&ring)), Some(Errno::DQUOT));
    }

    /// Has rings with these numbers and names; those of the same number never come both.
    fn rings_are(rings: &'static [(u64, &'static str)]) {
        kernel_of(abi::IOC_NEXT, |info: &mut abi::Info| {
            assert_eq!((info.size, info.flags), (200, 0));
            let next = rings.iter().find(|(id, _)| *id >= info.id);
            let (id, ring) = next.ok_or(Errno::NODATA)?;
            info.id = *id;
            info.capacity = 1000 + *id % 1000;
            info.name[..ring.len()].copy_from_slice(ring.as_bytes());
            Ok(())
        });
    }

    #[test]
    fn rings_come_by_their_numbers_up_to_the_last() {
        rings_are(&[(0, "zero"), (3, "three"), (4, "four"), (u64::MAX, "last")]);
        let control = control();
        let mut rings = control.rings();
        for (id, ring) in [(0, "zero"), (3, "three"), (4, "four"), (u64::MAX, "last")] {
            let info = rings.next().expect("another ring").expect("no error");
            assert_eq!((info.id, info.name.as_str()), (id, ring));
            assert_eq!(info.capacity, 1000 + id % 1000);
        }
        assert!(rings.next().is_none());
        assert!(rings.next().is_none());
    }

    #[test]
    fn a_ring_is_found_by_its_name() {
        rings_are(&[(2, "two"), (3, "three"), (7, "seven")]);
        let found = control().find(&name("three")).expect("it is there");
        assert_eq!((found.id, found.name.as_str()), (3, "three"));
        assert_eq!(errno(control().find(&name("thre"))), Some(Errno::NOENT));
    }

    #[test]
    fn rings_end_after_an_error() {
        let control = control();
        kernel(|_, _| Err(Errno::PERM));
        let mut rings = control.rings();
        assert_eq!(rings.next().and_then(errno), Some(Errno::PERM));
        assert!(rings.next().is_none());
        // A name that is none is also an error.
        rings_are(&[(1, "one"), (2, "a/b"), (3, "three")]);
        let mut rings = control.rings();
        assert!(rings.next().expect("another ring").is_ok());
        let error = rings.next().expect("another ring").expect_err("no name");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(rings.next().is_none());
    }

    /// Has the ring `news` with cursors of these numbers, and no other ring.
    fn cursors_are(cursors: &'static [u64]) {
        kernel(|number, argument| {
            if number == abi::IOC_NEXT {
                let info: &mut abi::Info = argument.downcast_mut().expect("a ring");
                if info.id > 5 {
                    return Err(Errno::NODATA);
                }
                info.id = 5;
                info.name = name("news").to_abi();
                return Ok(());
            }
            assert_eq!(number, abi::IOC_NEXT_CURSOR);
            let cursor: &mut abi::Cursor = argument.downcast_mut().expect("a cursor");
            assert_eq!((cursor.size, cursor.flags), (104, 0));
            if cursor.name != name("news").to_abi() {
                return Err(Errno::NODATA);
            }
            let next = cursors.iter().find(|id| **id >= cursor.id);
            cursor.id = *next.ok_or(Errno::NODATA)?;
            cursor.unread = cursor.id % 1000 + 50;
            Ok(())
        });
    }

    #[test]
    fn cursors_come_by_their_numbers_up_to_the_last() {
        cursors_are(&[1, 2, 9, u64::MAX]);
        let control = control();
        let mut cursors = control.cursors(&name("news"));
        for id in [1, 2, 9, u64::MAX] {
            let cursor = cursors.next().expect("another").expect("no error");
            assert_eq!((cursor.id, cursor.unread), (id, id % 1000 + 50));
        }
        assert!(cursors.next().is_none());
        cursors_are(&[4]);
        assert_eq!(control.cursors(&name("news")).count(), 1);
    }

    #[test]
    fn a_ring_without_cursors_is_not_a_ring_that_does_not_exist() {
        cursors_are(&[]);
        let control = control();
        assert!(control.cursors(&name("news")).next().is_none());
        let mut cursors = control.cursors(&name("olds"));
        assert_eq!(cursors.next().and_then(errno), Some(Errno::NOENT));
        assert!(cursors.next().is_none());
    }

    #[test]
    fn cursors_end_after_an_error() {
        for at_the_second in [false, true] {
            let mut answers = 0;
            kernel(move |number, argument| {
                answers += 1;
                // The ring is there, whatever its cursors are.
                if number == abi::IOC_NEXT {
                    let info: &mut abi::Info = argument.downcast_mut().expect("a ring");
                    info.name = name("news").to_abi();
                    return Ok(());
                }
                if at_the_second && answers == 1 {
                    return Ok(());
                }
                Err(Errno::PERM)
            });
            let control = control();
            let mut cursors = control.cursors(&name("news"));
            if at_the_second {
                assert!(cursors.next().expect("a cursor").is_ok());
            }
            assert_eq!(cursors.next().and_then(errno), Some(Errno::PERM));
            assert!(cursors.next().is_none());
        }
    }
}
