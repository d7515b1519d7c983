// SPDX-License-Identifier: GPL-2.0

//! File operations of a stream-like device.
//!
//! The kernel crate's `MiscDevice` has no `poll` and no `fasync`, does not tell `O_NONBLOCK` or
//! `IOCB_NOWAIT`, and serves plain read(2) and write(2) by way of an iterator. The trait here has
//! all of that, for a device without positions (`stream_open()`).
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    fasync::FasyncCall,
    misc::Registration,
    poll::{
        Events,
        PollTable, //
    },
    sys,
    transfer::{
        Destination,
        IovDestination,
        IovSource,
        Source,
        UserDestination,
        UserSource, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::from_result,
    ffi::{
        c_char,
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    fs::file::{
        flags,
        File, //
    },
    prelude::*,
    types::ForeignOwnable,
    ModuleMetadata, //
};

/// Whether a call may sleep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It sleeps until it can go on.
    Allowed,
    /// It answers `EAGAIN` instead: `O_NONBLOCK`, read at each call, or `IOCB_NOWAIT`.
    Refused,
}

/// What a file was opened for.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    /// `O_RDONLY` or `O_RDWR`.
    pub(crate) read: bool,
    /// `O_WRONLY` or `O_RDWR`.
    pub(crate) write: bool,
}

impl Access {
    /// The access that `file` was opened with, which never changes.
    fn of(file: &File) -> Self {
        let mode = file.flags() & flags::O_ACCMODE;
        // Access mode 3, which open(2) allows, is neither.
        Self {
            read: mode == flags::O_RDONLY || mode == flags::O_RDWR,
            write: mode == flags::O_WRONLY || mode == flags::O_RDWR,
        }
    }
}

/// Borrowed private data of a file of `T`.
pub(crate) type Private<'a, T> = <<T as FileOperations>::Private as ForeignOwnable>::Borrowed<'a>;

/// The operations of an open file.
///
/// All of them are called in process context. Unless said otherwise they may sleep.
///
/// `'file` is a lifetime that the implementation knows nothing about, up to the one from open to
/// release. What it borrows for `'file` can therefore only come from the private data.
pub(crate) trait FileOperations: Sized + 'static {
    /// What the registration of the device holds, for [`FileOperations::open`].
    type Device: Send + Sync;

    /// What an open file holds.
    type Private: ForeignOwnable + Send + Sync;

    /// The module that must stay while a file is open.
    type OwnerModule: ModuleMetadata;

    /// open(2). Must not block: all misc devices are opened under one mutex.
    fn open(device: &Self::Device) -> Result<Self::Private>;

    /// read(2) and its kin. `Ok(0)` means the end of the file, or that 0 bytes were asked for.
    fn read(this: Private<'_, Self>, to: &mut impl Destination, waiting: Waiting) -> Result<usize>;

    /// write(2) and its kin.
    fn write(this: Private<'_, Self>, from: &mut impl Source, waiting: Waiting) -> Result<usize>;

    /// poll(2) and its kin. Registers first, and then answers what is ready. Must not sleep.
    fn poll<'file>(this: Private<'file, Self>, table: PollTable<'file>, access: Access) -> Events;

    /// ioctl(2), also of 32-bit processes; `argument` is a pointer of theirs, if it is one.
    fn ioctl(this: Private<'_, Self>, command: u32, argument: usize) -> Result<isize>;

    /// fcntl(2) with `O_ASYNC`, and the end of a file that had it.
    fn fasync<'file>(this: Private<'file, Self>, call: FasyncCall<'file>, access: Access)
        -> Result;
}

/// The `struct file_operations` of `T`.
pub(super) struct Vtable<T>(PhantomData<T>);

impl<T: FileOperations> Vtable<T> {
    /// The table.
    ///
    /// splice(2) and sendfile(2) go by way of `read_iter` and `write_iter`. There is no `mmap`
    /// (`ENODEV`), no `fsync` (`EINVAL`), and no `llseek` (`ESPIPE`).
    pub(super) const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: T::OwnerModule::THIS_MODULE.as_ptr(),
        open: Some(Self::open),
        release: Some(Self::release),
        read: Some(Self::read),
        write: Some(Self::write),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        splice_read: Some(bindings::copy_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        poll: Some(Self::poll),
        unlocked_ioctl: Some(Self::ioctl),
        compat_ioctl: bindings::compat_ptr_ioctl,
        fasync: Some(Self::fasync),
        ..pin_init::zeroed()
    };

    /// Borrows the private data of `file`.
    ///
    /// # Safety
    ///
    /// `file` must be a file whose operations are [`Self::TABLE`], between `open` and `release`.
    /// `'a` must end before `release`.
    #[inline]
    unsafe fn private<'a>(file: *mut bindings::file) -> Private<'a, T> {
        // SAFETY: `open` put the data there, `release` takes them away, and both happen outside of
        // `'a` by the safety requirements. Nothing borrows them mutably.
        unsafe { <T::Private as ForeignOwnable>::borrow((*file).private_data) }
    }

    /// What the flags of `file` say now about sleeping.
    ///
    /// # Safety
    ///
    /// `file` must be valid.
    #[inline]
    unsafe fn waiting(file: *mut bindings::file) -> Waiting {
        // SAFETY: The file is valid. fcntl(2) may change its flags meanwhile; one look at a time
        // that is as good as another is what read(2) promises.
        let file = unsafe { File::from_raw_file(file) };
        if file.flags() & flags::O_NONBLOCK != 0 {
            Waiting::Refused
        } else {
            Waiting::Allowed
        }
    }

    /// # Safety
    ///
    /// Must be called by `misc_open()` for a device that was registered by [`Registration`].
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `misc_open()` leaves the `struct miscdevice` in the private data, and keeps it
        // registered during this call.
        let registration = unsafe { Registration::<T>::from_raw((*file).private_data.cast()) };
        match T::open(registration.device()) {
            Ok(private) => {
                // SAFETY: The file is being opened, and nobody else sees it yet.
                unsafe {
                    (*file).private_data = private.into_foreign();
                    sys::ringdev_file_set_nowait(file);
                    bindings::stream_open(inode, file)
                }
            }
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// `file` must be a file of ours that is being released.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` put the data there, and this is the last operation of the file.
        drop(unsafe { <T::Private as ForeignOwnable>::from_foreign((*file).private_data) });
        0
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours.
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        buffer: *mut c_char,
        len: usize,
        _position: *mut bindings::loff_t,
    ) -> isize {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (this, waiting) = unsafe { (Self::private(file), Self::waiting(file)) };
            let read = T::read(this, &mut UserDestination::new(buffer, len), waiting)?;
            // CAST: At most `len`, which the VFS limits to `MAX_RW_COUNT`.
            Ok(read as isize)
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        buffer: *const c_char,
        len: usize,
        _position: *mut bindings::loff_t,
    ) -> isize {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (this, waiting) = unsafe { (Self::private(file), Self::waiting(file)) };
            let written = T::write(this, &mut UserSource::new(buffer, len), waiting)?;
            // CAST: At most `len`, which the VFS limits to `MAX_RW_COUNT`.
            Ok(written as isize)
        })
    }

    /// What the flags of `iocb` and of its file say about sleeping.
    ///
    /// # Safety
    ///
    /// `iocb` must be valid.
    unsafe fn waiting_iocb(iocb: *mut bindings::kiocb) -> Waiting {
        // SAFETY: `iocb` is valid, and so is its file.
        unsafe {
            if sys::ringdev_kiocb_is_nowait(iocb) {
                Waiting::Refused
            } else {
                Self::waiting((*iocb).ki_filp)
            }
        }
    }

    /// # Safety
    ///
    /// `iocb` must be for an open file of ours, `iter` a destination.
    unsafe extern "C" fn read_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (this, waiting) =
                unsafe { (Self::private((*iocb).ki_filp), Self::waiting_iocb(iocb)) };
            // SAFETY: The VFS hands us a valid destination, for us alone during the call.
            let mut to = unsafe { IovDestination::new(iter) };
            let read = T::read(this, &mut to, waiting)?;
            // CAST: The VFS limits it to `MAX_RW_COUNT`.
            Ok(read as isize)
        })
    }

    /// # Safety
    ///
    /// `iocb` must be for an open file of ours, `iter` a source.
    unsafe extern "C" fn write_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (this, waiting) =
                unsafe { (Self::private((*iocb).ki_filp), Self::waiting_iocb(iocb)) };
            // SAFETY: The VFS hands us a valid source, for us alone during the call.
            let mut from = unsafe { IovSource::new(iter) };
            let written = T::write(this, &mut from, waiting)?;
            // CAST: The VFS limits it to `MAX_RW_COUNT`.
            Ok(written as isize)
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours, `table` valid or null.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table,
    ) -> bindings::__poll_t {
        // SAFETY: The file is open, and stays so during the call. `T::poll` cannot know that
        // `'file` ends with the call, so what it borrows for `'file` comes from the private data
        // and stays valid until `release`.
        let (this, table, access) = unsafe {
            (
                Self::private(file),
                PollTable::from_raw(file, table),
                Access::of(File::from_raw_file(file)),
            )
        };
        T::poll(this, table, access).bits()
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours.
    unsafe extern "C" fn ioctl(
        file: *mut bindings::file,
        command: c_uint,
        argument: c_ulong,
    ) -> c_long {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let this = unsafe { Self::private(file) };
            T::ioctl(this, command, argument)
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours, and the call one of the `fasync` operation.
    unsafe extern "C" fn fasync(fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
        from_result(|| {
            // SAFETY: As for `poll`.
            let (this, call, access) = unsafe {
                (
                    Self::private(file),
                    FasyncCall::from_raw(fd, file, on),
                    Access::of(File::from_raw_file(file)),
                )
            };
            T::fasync(this, call, access)?;
            Ok(0)
        })
    }
}
