// SPDX-License-Identifier: GPL-2.0

//! Misc devices with a place and a mode of their own under /dev, and with data.
//!
//! The kernel crate's `MiscDeviceRegistration` cannot set `nodename` or `mode`, and its
//! registration carries no data, so that one type of file cannot serve several devices.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)

use super::file::{
    FileOperations,
    Vtable, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::c_int,
    prelude::*,
    types::Opaque, //
};

/// What a device is called and who may open it.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// The name in /sys/class/misc and /proc/misc, unique among all misc devices.
    pub(crate) name: &'static CStr,
    /// The node under /dev; a slash makes a folder.
    pub(crate) nodename: &'static CStr,
    /// The permission bits of the node.
    pub(crate) mode: u16,
}

/// A registered misc device.
///
/// # Invariants
///
/// `misc` is registered with `misc_register()`, and its operations are those of `T`.
///
/// `repr(C)` and `misc` first: a pointer to it is a pointer to the registration.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: FileOperations> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    device: T::Device,
}

// SAFETY: `misc_deregister()` may be called by any thread, and `T::Device` is `Send`.
unsafe impl<T: FileOperations> Send for Registration<T> {}

// SAFETY: `&self` only gives out `&T::Device`, which is `Sync`.
unsafe impl<T: FileOperations> Sync for Registration<T> {}

impl<T: FileOperations> Registration<T> {
    const OPERATIONS: &'static bindings::file_operations = &Vtable::<T>::table(Self::open);

    /// Registers a device. From then on it can be opened, even before this returns.
    ///
    /// May sleep. At the load of a module as little as can be that can fail should come after this,
    /// since a load that fails does not wait for open files.
    pub(crate) fn new(options: Options, device: T::Device) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            device,
            // Last, since the device can be opened at once.
            misc <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                let misc = bindings::miscdevice {
                    // CAST: The constant is 255.
                    minor: bindings::MISC_DYNAMIC_MINOR as i32,
                    name: options.name.as_char_ptr(),
                    nodename: options.nodename.as_char_ptr(),
                    mode: options.mode,
                    fops: Self::OPERATIONS,
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes, and pinned. `Drop` deregisters the device
                // before the memory goes.
                // INVARIANT: On success it is registered.
                to_result(unsafe {
                    slot.write(misc);
                    bindings::misc_register(slot)
                })
            }),
        }? Error)
    }

    /// # Safety
    ///
    /// Must be called by `misc_open()` for a device whose operations are [`Self::OPERATIONS`].
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `misc_open()` leaves the `struct miscdevice` in the private data, and keeps it
        // registered during this call. It is the first field of a `repr(C)` structure.
        let registration = unsafe { &*(*file).private_data.cast::<Self>() };
        // SAFETY: The file is being opened, and its operations are those of `T`.
        unsafe { Vtable::<T>::open(&registration.device, inode, file) }
    }
}

#[pinned_drop]
impl<T: FileOperations> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the device is registered.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}
