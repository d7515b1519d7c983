// SPDX-License-Identifier: GPL-2.0

//! File operations of a stream-like device.
//!
//! The kernel crate's `MiscDevice` has no `poll` and no `fasync`, does not tell `O_NONBLOCK` or
//! `IOCB_NOWAIT`, and serves plain read(2) and write(2) by way of an iterator. The trait here has
//! all of that, for a device without positions (`stream_open()`).
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    compat,
    fasync::{
        Lists,
        Membership, //
    },
    poll::{
        Events,
        PollTable, //
    },
    splice,
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
use core::{
    convert::Infallible,
    marker::PhantomData, //
};
use kernel::{
    bindings,
    error::{
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
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
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    sync::Mutex,
    types::ForeignOwnable,
    ModuleMetadata, //
};

/// A flag of splice(2), from include/linux/splice.h.
const SPLICE_F_NONBLOCK: c_uint = 2;

/// Whether a call may sleep.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It sleeps until it can go on.
    Allowed,
    /// It answers `EAGAIN` instead: `O_NONBLOCK`, read at each call, or `IOCB_NOWAIT`.
    Refused,
}

/// What a write does to its thread, beyond `EPIPE`, if nobody is left to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sigpipe {
    /// It sends SIGPIPE.
    Sent,
    /// It does not: `RWF_NOSIGNAL`.
    Withheld,
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

/// An open file, and its operations.
///
/// All of them are called in process context. Unless said otherwise they may sleep.
///
/// `'file` is a lifetime that the implementation knows nothing about, up to the one from open to
/// release. What it borrows for `'file` can therefore only come from `self`.
#[vtable]
pub(crate) trait FileOperations: Sized + Send + Sync + 'static {
    /// What the registration of the device holds, for [`FileOperations::open`].
    type Device: Send + Sync;

    /// The module that must stay while a file is open.
    type OwnerModule: ModuleMetadata;

    /// open(2). Must not block if this is a misc device, as all of them are opened under one mutex.
    ///
    /// May be called before the registration of the device returns. For a character device it may
    /// even be called after its removal, for whoever had found the node before. What it returns is
    /// dropped when the file is released; there is memory for it already.
    fn open(device: &Self::Device, access: Access) -> Result<Self>;

    /// The same as [`FileOperations::read`] for what can be read at once, in as few instructions as
    /// it takes. `None` if it is not that simple; then nothing has happened, and `read` is called.
    #[inline]
    fn read_at_once(&self, _to: UserDestination) -> Option<usize> {
        None
    }

    /// The same for [`FileOperations::write`].
    #[inline]
    fn write_at_once(&self, _from: UserSource) -> Option<usize> {
        None
    }

    /// read(2) and its kin. `Ok(0)` means the end of the file, or that 0 bytes were asked for.
    fn read(&self, _to: &mut impl Destination, _waiting: Waiting) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Waits until a read returns something, be it the end or an error. For splice(2), which then
    /// reads without waiting. `ERESTARTSYS`.
    fn wait_to_read(&self) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// A thread that has waited to read does not read after all.
    fn read_given_up(&self) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// write(2) and its kin.
    fn write(
        &self,
        _from: &mut impl Source,
        _waiting: Waiting,
        _sigpipe: Sigpipe,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// poll(2) and its kin. Registers first, and then answers what is ready. Must not sleep.
    fn poll<'file>(&'file self, _table: PollTable<'file>, _access: Access) -> Events {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// ioctl(2), also of 32-bit processes; `argument` is a pointer of theirs, if it is one.
    fn ioctl(&self, _command: u32, _argument: usize) -> Result<isize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// fcntl(2) with `O_ASYNC`: into which lists it puts the file.
    fn signalled(&self, _access: Access) -> Lists<'_> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Whether this file can be sought. Asked once, when it is opened; lseek(2) of one that cannot
    /// be answers `ESPIPE`.
    fn is_seekable(&self) -> bool {
        false
    }

    /// lseek(2) to a place that is not an offset: the file has no position that the VFS knows of,
    /// so that pread(2) and pwrite(2) answer `ESPIPE` all the same.
    fn seek(&self, _offset: i64, _from: SeekFrom) -> Result<i64> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// What `/proc/<pid>/fdinfo/<fd>` says beyond what it says of every file.
    fn show_fdinfo(&self, _to: &SeqFile) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// What an offset of lseek(2) is relative to. Others than these are refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeekFrom {
    /// `SEEK_SET`.
    Start,
    /// `SEEK_END`.
    End,
}

/// The `open` operation, as C calls it.
pub(super) type OpenOperation =
    unsafe extern "C" fn(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int;

/// What an open file has as its private data.
#[pin_data]
struct Private<T> {
    this: T,
    #[pin]
    membership: Mutex<Membership>,
}

impl<T: FileOperations> Private<T> {
    /// Finds memory, charged to the caller's cgroup, and then opens.
    fn new(open: impl FnOnce() -> Result<T>) -> Result<Pin<KBox<Self>>> {
        let memory = KBox::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let this = open()?;
        let private = memory.write_pin_init(pin_init!(Self {
            this,
            membership <- new_mutex!(Membership::new(), "membership"),
        }));
        private.map_err(|never: Infallible| match never {})
    }
}

/// The `struct file_operations` of `T`.
pub(super) struct Vtable<T>(PhantomData<T>);

impl<T: FileOperations> Vtable<T> {
    /// The table for a kind of devices, whose `open` finds the device and calls [`Self::open`].
    ///
    /// splice(2) to the file goes by way of `write_iter`. There is no `mmap`
    /// (`ENODEV`) and no `fsync` (`EINVAL`). What `T` leaves out answers as the VFS has it for
    /// files without.
    pub(super) const fn table(open: OpenOperation) -> bindings::file_operations {
        let mut table: bindings::file_operations = pin_init::zeroed();
        table.owner = compat::owner::<T::OwnerModule>();
        table.open = Some(open);
        table.release = Some(Self::release);
        if T::HAS_READ {
            table.read = Some(Self::read);
            table.read_iter = Some(Self::read_iter);
        }
        if T::HAS_WAIT_TO_READ {
            table.splice_read = Some(Self::splice_read);
        }
        if T::HAS_WRITE {
            table.write = Some(Self::write);
            table.write_iter = Some(Self::write_iter);
            table.splice_write = Some(bindings::iter_file_splice_write);
        }
        if T::HAS_POLL {
            table.poll = Some(Self::poll);
        }
        if T::HAS_IOCTL {
            table.unlocked_ioctl = Some(Self::ioctl);
            table.compat_ioctl = bindings::compat_ptr_ioctl;
        }
        if T::HAS_SIGNALLED {
            table.fasync = Some(Self::fasync);
        }
        if T::HAS_SEEK {
            table.llseek = Some(Self::llseek);
        }
        if T::HAS_SHOW_FDINFO {
            table.show_fdinfo = Some(Self::show_fdinfo);
        }
        table
    }

    /// Borrows the private data of `file`.
    ///
    /// # Safety
    ///
    /// `file` must be a file whose operations are from [`Self::table`], between `open` and
    /// `release`. `'a` must end before `release`.
    #[inline]
    unsafe fn private<'a>(file: *mut bindings::file) -> &'a Private<T> {
        // SAFETY: `open` put the data there, `release` takes them away, and both happen outside of
        // `'a` by the safety requirements. Nothing borrows them mutably.
        unsafe { Pin::<KBox<Private<T>>>::borrow((*file).private_data) }.get_ref()
    }

    /// Borrows what is open as `file`.
    ///
    /// # Safety
    ///
    /// As for [`Self::private`].
    #[inline]
    unsafe fn this<'a>(file: *mut bindings::file) -> &'a T {
        // SAFETY: By the safety requirements.
        &unsafe { Self::private(file) }.this
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

    /// Opens a file of `device`.
    ///
    /// # Safety
    ///
    /// `inode` and `file` must be the arguments of a call of the `open` operation that is going on,
    /// and the operations of the file from [`Self::table`].
    pub(super) unsafe fn open(
        device: &T::Device,
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> c_int {
        // SAFETY: The file is being opened.
        let opened = unsafe { File::from_raw_file(file) };
        if opened.flags() & flags::O_DIRECT != 0 {
            // The VFS also fails the open, but only after calling the device, whose other files
            // would then see an open and a close.
            return EINVAL.to_errno();
        }
        let access = Access::of(opened);
        match Private::new(|| T::open(device, access)) {
            Ok(private) => {
                // SAFETY: The file is being opened, and nobody else sees it yet; its private data
                // have just been put there.
                unsafe {
                    (*file).private_data = private.into_foreign();
                    sys::ringdev_file_set_nowait(file);
                    let seekable = Self::this(file).is_seekable();
                    // Takes away what `llseek`, `pread` and `pwrite` ask for.
                    let result = bindings::stream_open(inode, file);
                    if seekable {
                        sys::ringdev_file_set_seekable(file);
                    }
                    result
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
        drop(unsafe { Pin::<KBox<Private<T>>>::from_foreign((*file).private_data) });
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
        // SAFETY: The file is open, and stays so during the call.
        let this = unsafe { Self::this(file) };
        match this.read_at_once(UserDestination::new(buffer, len)) {
            // CAST: At most `len`, which the VFS limits to `MAX_RW_COUNT`.
            Some(read) => read as isize,
            // SAFETY: Likewise.
            None => unsafe { Self::read_slowly(file, buffer, len) },
        }
    }

    /// The rest of `read`: another function, with another destination, so that the short way has
    /// all registers for itself.
    ///
    /// # Safety
    ///
    /// `file` must be an open file of ours.
    #[inline(never)]
    unsafe fn read_slowly(file: *mut bindings::file, buffer: *mut c_char, len: usize) -> isize {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (this, waiting) = unsafe { (Self::this(file), Self::waiting(file)) };
            let read = this.read(&mut UserDestination::new(buffer, len), waiting)?;
            // CAST: As in `read`.
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
        // SAFETY: The file is open, and stays so during the call.
        let this = unsafe { Self::this(file) };
        match this.write_at_once(UserSource::new(buffer, len)) {
            // CAST: At most `len`, which the VFS limits to `MAX_RW_COUNT`.
            Some(written) => written as isize,
            // SAFETY: Likewise.
            None => unsafe { Self::write_slowly(file, buffer, len) },
        }
    }

    /// The rest of `write`, as `read_slowly` is of `read`.
    ///
    /// # Safety
    ///
    /// `file` must be an open file of ours.
    #[inline(never)]
    unsafe fn write_slowly(file: *mut bindings::file, buffer: *const c_char, len: usize) -> isize {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (this, waiting) = unsafe { (Self::this(file), Self::waiting(file)) };
            let written = this.write(&mut UserSource::new(buffer, len), waiting, Sigpipe::Sent)?;
            // CAST: As in `write`.
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
                unsafe { (Self::this((*iocb).ki_filp), Self::waiting_iocb(iocb)) };
            // SAFETY: The VFS hands us a valid destination, for us alone during the call.
            let mut to = unsafe { IovDestination::new(iter) };
            let read = this.read(&mut to, waiting)?;
            // CAST: The VFS limits it to `MAX_RW_COUNT`.
            Ok(read as isize)
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours, `pipe` valid and locked by this thread.
    unsafe extern "C" fn splice_read(
        file: *mut bindings::file,
        _position: *mut bindings::loff_t,
        pipe: *mut bindings::pipe_inode_info,
        len: usize,
        flags: c_uint,
    ) -> isize {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (this, waiting) = unsafe { (Self::this(file), Self::waiting(file)) };
            let waiting = if flags & SPLICE_F_NONBLOCK != 0 {
                Waiting::Refused
            } else {
                waiting
            };
            // SAFETY: The VFS has locked the pipe, and keeps it.
            let read = unsafe { splice::read(this, pipe, len, waiting) }?;
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
                unsafe { (Self::this((*iocb).ki_filp), Self::waiting_iocb(iocb)) };
            // SAFETY: `iocb` is valid.
            let sigpipe = if unsafe { sys::ringdev_kiocb_is_nosignal(iocb) } {
                Sigpipe::Withheld
            } else {
                Sigpipe::Sent
            };
            // SAFETY: The VFS hands us a valid source, for us alone during the call.
            let mut from = unsafe { IovSource::new(iter) };
            let written = this.write(&mut from, waiting, sigpipe)?;
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
                Self::this(file),
                PollTable::from_raw(file, table),
                Access::of(File::from_raw_file(file)),
            )
        };
        this.poll(table, access).bits()
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
            let this = unsafe { Self::this(file) };
            this.ioctl(command, argument)
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours, and the call one of the `fasync` operation.
    unsafe extern "C" fn fasync(fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
        from_result(|| {
            // SAFETY: The file is open, and stays so during the call.
            let (private, access) =
                unsafe { (Self::private(file), Access::of(File::from_raw_file(file))) };
            let lists = private.this.signalled(access);
            // SAFETY: The arguments are ours, and the membership that of the file. The lists are
            // borrowed from what is dropped by `release`.
            unsafe { private.membership.lock().apply(fd, file, on, lists) }?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours.
    unsafe extern "C" fn llseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // CAST: Small numbers.
        const SEEK_SET: c_int = bindings::SEEK_SET as c_int;
        const SEEK_END: c_int = bindings::SEEK_END as c_int;
        from_result(|| {
            let from = match whence {
                SEEK_SET => SeekFrom::Start,
                SEEK_END => SeekFrom::End,
                _ => return Err(EINVAL),
            };
            // SAFETY: The file is open, and stays so during the call.
            unsafe { Self::this(file) }.seek(offset, from)
        })
    }

    /// # Safety
    ///
    /// `file` must be an open file of ours, `seq` a file to print to.
    unsafe extern "C" fn show_fdinfo(seq: *mut bindings::seq_file, file: *mut bindings::file) {
        // SAFETY: Both are valid during the call.
        let (this, to) = unsafe { (Self::this(file), SeqFile::from_raw(seq)) };
        this.show_fdinfo(to);
    }
}
