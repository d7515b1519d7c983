// SPDX-License-Identifier: GPL-2.0

//! Files in debugfs that say how something stands, for as long as it is there.
//!
//! Who opens such a file holds the module until it is closed, and nothing else: what the file tells
//! of may go at any time, after which a read answers `EIO`. It is used only while it is printed
//! into memory of the kernel's, so that no reader keeps waiting who removes it.
//!
//! Without `CONFIG_DEBUG_FS` there is nothing of it.
//!
//! Upstream: the files of the kernel crate's `debugfs` have operations without an owner, so that
//! the kernel calls into a module that is gone when a file is closed after rmmod; and whoever
//! removes one waits for its readers, also for one whose memory is not present.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use kernel::{
    prelude::*,
    seq_file::SeqFile,
    sync::Arc,
    ModuleMetadata, //
};

#[cfg(CONFIG_DEBUG_FS)]
use super::compat;
#[cfg(CONFIG_DEBUG_FS)]
use core::{
    marker::PhantomData,
    ptr, //
};
#[cfg(CONFIG_DEBUG_FS)]
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_void, //
    }, //
};

/// Something that can say how it stands.
pub(crate) trait Show: Send + Sync + 'static {
    /// The module that this code is in.
    type OwnerModule: ModuleMetadata;

    /// Prints it. May sleep. Is called again, from the start, if there was not enough room.
    fn show(&self, to: &SeqFile);
}

/// An entry of debugfs.
///
/// # Invariants
///
/// It is null, an error, or an entry that this value has made and that nobody else removes.
#[cfg(CONFIG_DEBUG_FS)]
struct Entry(*mut bindings::dentry);

#[cfg(CONFIG_DEBUG_FS)]
// SAFETY: An entry may be removed by any thread.
unsafe impl Send for Entry {}

#[cfg(CONFIG_DEBUG_FS)]
// SAFETY: `&self` only gives out the pointer, and debugfs does its own locking.
unsafe impl Sync for Entry {}

#[cfg(CONFIG_DEBUG_FS)]
impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it is ours to remove; null and errors are ignored.
        unsafe { bindings::debugfs_remove(self.0) };
    }
}

/// A folder in debugfs. Goes with the last of its files.
pub(crate) struct Folder {
    #[cfg(CONFIG_DEBUG_FS)]
    entry: Entry,
}

impl Folder {
    /// Makes a folder in the root of debugfs, or nothing if that is not possible, which nobody
    /// needs to know. May sleep.
    ///
    /// There must be no folder of that name, or the kernel complains in its log.
    #[cfg(CONFIG_DEBUG_FS)]
    pub(crate) fn new(name: &CStr) -> Self {
        // SAFETY: Null stands for the root, and the function copies the name.
        let entry = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), ptr::null_mut()) };
        // INVARIANT: It was made here.
        let entry = Entry(entry);
        Self { entry }
    }

    /// Makes nothing.
    #[cfg(not(CONFIG_DEBUG_FS))]
    pub(crate) fn new(_name: &CStr) -> Self {
        Self {}
    }
}

/// A file in debugfs, for root to read.
///
/// To drop it removes the file. This may sleep, while somebody makes, removes or lists files in the
/// same folder, or is printing this one.
///
/// # Invariants
///
/// If there is a file at `_entry`, its operations are those of `T`, and its private data the object
/// in `_data`.
pub(crate) struct File<T: Show> {
    // This order matters: first the file goes, then what is in it, then where it is.
    #[cfg(CONFIG_DEBUG_FS)]
    _entry: Entry,
    _data: Arc<T>,
    _folder: Arc<Folder>,
}

impl<T: Show> File<T> {
    /// Makes a file, or nothing if that is not possible, which nobody needs to know. May sleep.
    ///
    /// There must be no file of that name in the folder, or the kernel complains in its log.
    pub(crate) fn new(folder: &Arc<Folder>, name: &CStr, data: Arc<T>) -> Self {
        #[cfg(CONFIG_DEBUG_FS)]
        // SAFETY: The function copies the name. Folder and object stay for as long as the entry is
        // there, and the operations for as long as the module, which is their owner.
        // `Operations` looks after what is used of an entry that has been removed.
        let entry = unsafe {
            bindings::debugfs_create_file_unsafe(
                name.as_char_ptr(),
                0o400,
                folder.entry.0,
                Arc::as_ptr(&data).cast_mut().cast(),
                Operations::<T>::TABLE,
            )
        };
        #[cfg(not(CONFIG_DEBUG_FS))]
        let _ = name;
        // INVARIANT: The entry was made here, with these operations and this object.
        Self {
            #[cfg(CONFIG_DEBUG_FS)]
            _entry: Entry(entry),
            _data: data,
            _folder: folder.clone(),
        }
    }
}

/// The operations of a [`File`].
#[cfg(CONFIG_DEBUG_FS)]
struct Operations<T>(PhantomData<T>);

#[cfg(CONFIG_DEBUG_FS)]
impl<T: Show> Operations<T> {
    const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: compat::owner::<T::OwnerModule>(),
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Must be called for a file whose operations are [`Self::TABLE`], to open it.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: Both are valid during the call; `show` looks after what it may use.
        unsafe { bindings::single_open(file, Some(Self::show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// `seq` must be a file that [`Self::open`] has opened, in the middle of a read.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: The file is open, so it has an entry, which is a file in debugfs.
        let (entry, result) = unsafe {
            let entry = (*(*seq).file).__bindgen_anon_1.f_path.dentry;
            (entry, bindings::debugfs_file_get(entry))
        };
        if result != 0 {
            // It has been removed.
            return result;
        }
        // SAFETY: By the type invariant of `File` the private data point to a `T`. It stays until
        // `debugfs_remove()` returns, which waits until the entry is put. `seq` is valid, and this
        // is the thread that prints to it.
        let (data, to) = unsafe { (&*(*seq).private.cast::<T>(), SeqFile::from_raw(seq)) };
        T::show(data, to);
        // SAFETY: It was got above.
        unsafe { bindings::debugfs_file_put(entry) };
        0
    }
}
