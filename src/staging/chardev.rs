// SPDX-License-Identifier: GPL-2.0

//! Character devices of a class of our own, with data.
//!
//! Each has a node under /dev in the folder of its class, with mode, owner and group before user
//! space is told of it. A misc device can set neither owner nor group, and all misc devices are
//! opened under one mutex.
//!
//! Upstream: nothing of `struct cdev` or `struct class` is in the kernel crate.
//!
//! C headers: [`include/linux/cdev.h`](srctree/include/linux/cdev.h),
//! [`include/linux/device.h`](srctree/include/linux/device.h)

use super::{
    compat,
    credentials::Kgid,
    file::{
        FileOperations,
        Vtable, //
    },
    sys, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    container_of,
    error::to_result,
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Acquire,
            AtomicFlag,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    task::Kuid,
    types::Opaque, //
};

/// A registered class of devices.
///
/// # Invariants
///
/// `raw` is registered with `class_register()`.
#[pin_data(PinnedDrop)]
struct Class {
    #[pin]
    raw: Opaque<bindings::class>,
    name: &'static CStr,
}

// SAFETY: `class_unregister()` may be called by any thread.
unsafe impl Send for Class {}

// SAFETY: A registered class is only read; what changes is in the driver core, with its own locks.
unsafe impl Sync for Class {}

impl Class {
    fn new(name: &'static CStr) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            name,
            raw <- Opaque::try_ffi_init(move |slot: *mut bindings::class| {
                let class = bindings::class {
                    name: name.as_char_ptr(),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes, and pinned. `Drop` unregisters the class
                // before the memory goes.
                // INVARIANT: On success it is registered.
                to_result(unsafe {
                    slot.write(class);
                    bindings::class_register(slot)
                })
            }),
        }? Error)
    }
}

#[pinned_drop]
impl PinnedDrop for Class {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the class is registered. No device of it is left, as each
        // holds a reference to its region.
        unsafe { bindings::class_unregister(self.raw.get()) };
    }
}

/// A range of device numbers.
///
/// # Invariants
///
/// The `taken.len()` numbers from `first` are reserved for us, and all have the same major number.
/// A flag is set while there is a [`Minor`] of that number.
struct Numbers {
    first: bindings::dev_t,
    taken: KVVec<AtomicFlag>,
}

impl Numbers {
    fn new(name: &CStr, count: u32) -> Result<Self> {
        if count == 0 || count > bindings::MINORMASK + 1 {
            return Err(EINVAL);
        }
        let mut taken = KVVec::with_capacity(count as usize, GFP_KERNEL)?;
        for _ in 0..count {
            taken.push(AtomicFlag::new(false), GFP_KERNEL)?;
        }

        let mut first = 0;
        // SAFETY: `first` is valid for writes, and the function copies the name.
        to_result(unsafe {
            bindings::alloc_chrdev_region(&mut first, 0, count, name.as_char_ptr())
        })?;
        // INVARIANT: On success the numbers are ours, with minor numbers from 0 to at most
        // `MINORMASK`. None is in use so far.
        Ok(Self { first, taken })
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the numbers are ours, and that many. None is in use any
        // more, as each `Minor` holds a reference to its region.
        // CAST: `new` had the count as a `u32`.
        unsafe { bindings::unregister_chrdev_region(self.first, self.taken.len() as u32) };
    }
}

/// A class of devices and the numbers for them.
#[pin_data]
pub(crate) struct Region {
    #[pin]
    class: Class,
    numbers: Numbers,
}

impl Region {
    /// Registers the class `name`, which is also the name of the folder under /dev, and reserves
    /// the minor numbers from 0 to `count - 1` of a major number of its own.
    ///
    /// May sleep. There must be no class of that name, or the kernel complains in its log: this is
    /// for the load of a module.
    pub(crate) fn new(name: &'static CStr, count: u32) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            numbers: Numbers::new(name, count)?,
            class <- Class::new(name),
        }? Error)
    }

    /// A minor number that is not in use, if there is one. Another thread may be quicker.
    pub(crate) fn free_minor(&self) -> Option<u32> {
        let mut numbers = self.numbers.taken.iter();
        // CAST: `new` had the count as a `u32`.
        numbers
            .position(|taken| !taken.load(Relaxed))
            .map(|number| number as u32)
    }
}

/// A device number that is in use.
///
/// # Invariants
///
/// `number < region.numbers.taken.len()`; the flag there is set, and this is the only value of that
/// number and region.
struct Minor {
    region: Arc<Region>,
    number: u32,
}

impl Minor {
    /// Takes a number into use. `EINVAL` if the region does not have it, `EBUSY` if it is in use.
    fn new(region: &Arc<Region>, number: u32) -> Result<Self> {
        let taken = region.numbers.taken.get(number as usize).ok_or(EINVAL)?;
        // Acquire pairs with the release in `drop`: who had the number before is through with it.
        if taken.cmpxchg(false, true, Acquire).is_err() {
            return Err(EBUSY);
        }
        // INVARIANT: The flag was clear, so there was no such value, and now it is set.
        Ok(Self {
            region: region.clone(),
            number,
        })
    }

    /// Major and minor number together.
    fn devt(&self) -> bindings::dev_t {
        // OVERFLOW: By the invariants of both types the sum is one of the reserved numbers.
        self.region.numbers.first + self.number
    }
}

impl Drop for Minor {
    fn drop(&mut self) {
        if let Some(taken) = self.region.numbers.taken.get(self.number as usize) {
            // INVARIANT: The value goes.
            taken.store(false, Release);
        }
    }
}

/// The node of a device under /dev.
///
/// devtmpfs makes it as a node of root, with the mode, and passes it on at once, but not in the
/// same step: who guesses its name may see that.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    /// Its name in the folder of the class, and that of the device in `/sys/class/<class>`.
    /// Is copied.
    pub(crate) name: &'a CStr,
    /// Its permission bits, exactly.
    pub(crate) mode: u16,
    /// Its owner.
    pub(crate) uid: Kuid,
    /// Its group.
    pub(crate) gid: Kgid,
}

impl Node<'_> {
    /// Whether there can be such a node. The driver core does not check that, and does strange or
    /// noisy things instead.
    fn is_valid(&self) -> bool {
        is_file_name(self.name.to_bytes()) && self.mode & !0o777 == 0
    }
}

/// Whether a file can have that name.
fn is_file_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= bindings::NAME_MAX as usize
        && !name.contains(&b'/')
}

/// A device.
///
/// # Invariants
///
/// `dev` is initialised with `device_initialize()`, its reference count is that of the whole, and
/// `TYPE` is its type: the memory and `data` stay until [`Device::release`]. `cdev` is initialised
/// with `cdev_init()`; where it has been added, its own count holds one of those references until
/// it is zero.
///
/// So that the code of the module stays until `release` has been called: what opens the device
/// takes a reference to the module (`cdev.owner`, and `owner` of the operations) before one to
/// `cdev`, and puts it after that. Files in /sys hold no reference to the device; removal waits for
/// those who use them. The last reference is then that of [`Registration`], in code of the module,
/// or one of an open file. Two things that this does not cover are the kernel's: a shutdown that
/// visits the device just then, and `CONFIG_DEBUG_KOBJECT_RELEASE`, which puts off every release.
#[pin_data]
struct Device<T: FileOperations> {
    #[pin]
    dev: Opaque<bindings::device>,
    #[pin]
    cdev: Opaque<bindings::cdev>,
    mode: u16,
    uid: Kuid,
    gid: Kgid,
    data: T::Device,
    // The class, which `dev` points to, stays as long as `dev`.
    region: Arc<Region>,
}

// SAFETY: References can be put by any thread, which may then drop the data; they are `Send`, and
// so is a region.
unsafe impl<T: FileOperations> Send for Device<T> {}

// SAFETY: `&self` only gives out `&T::Device`, which is `Sync`, and pointers for the driver core,
// which does its own locking. The rest does not change.
unsafe impl<T: FileOperations> Sync for Device<T> {}

// SAFETY: By the type invariant `get_device()` and `put_device()` count references to the whole.
// `Device::new` is the only way to make one, and returns it counted.
unsafe impl<T: FileOperations> AlwaysRefCounted for Device<T> {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant `dev` is initialised, and there is a reference: `self`.
        unsafe { bindings::get_device(self.dev.get()) };
    }

    unsafe fn dec_ref(device: NonNull<Self>) {
        // SAFETY: By the safety requirements there is a reference to put, so the device is there.
        unsafe { bindings::put_device((*device.as_ptr()).dev.get()) };
    }
}

impl<T: FileOperations> Device<T> {
    const TYPE: &'static bindings::device_type = &bindings::device_type {
        devnode: Some(Self::devnode),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    const OPERATIONS: &'static bindings::file_operations = &Vtable::<T>::table(Self::open);

    /// Makes a device that nobody knows of yet.
    fn new(minor: &Minor, node: Node<'_>, data: T::Device) -> Result<ARef<Self>> {
        let region = minor.region.clone();
        let class = region.class.raw.get();
        let devt = minor.devt();
        let device = KBox::pin_init(
            pin_init!(Self {
                // SAFETY: `slot` is valid for writes, and pinned. All zero is what
                // `device_initialize()` asks for, and a value of the structure.
                dev <- Opaque::ffi_init(move |slot: *mut bindings::device| unsafe {
                    slot.write_bytes(0, 1);
                    bindings::device_initialize(slot);
                    // It has no power to manage, and needs no files in /sys for that.
                    sys::ringdev_device_set_pm_not_required(slot);
                    (*slot).devt = devt;
                    (*slot).class = class;
                    (*slot).type_ = Self::TYPE;
                }),
                // SAFETY: `slot` is valid for writes, and pinned. The operations are never freed
                // while there is the module, their owner.
                cdev <- Opaque::ffi_init(|slot: *mut bindings::cdev| unsafe {
                    bindings::cdev_init(slot, Self::OPERATIONS);
                    (*slot).owner = compat::owner::<T::OwnerModule>();
                }),
                mode: node.mode,
                uid: node.uid,
                gid: node.gid,
                data,
                region,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        // SAFETY: The device stays where it is: from here on it is only used by reference, and
        // `release` frees it in place.
        let device = KBox::leak(unsafe { Pin::into_inner_unchecked(device) });
        // INVARIANT: All of it is initialised, and the box will be taken up again by `release`.
        // SAFETY: `device_initialize()` made a first reference, which is handed over.
        let device = unsafe { ARef::from_raw(NonNull::from(device)) };

        // SAFETY: `dev` is initialised and not registered. Both are strings that end with a null
        // byte, as the format asks for, and the function copies the name.
        to_result(unsafe {
            bindings::dev_set_name(
                device.dev.get(),
                c"%s".as_char_ptr(),
                node.name.as_char_ptr(),
            )
        })?;
        Ok(device)
    }

    /// The device whose `struct device` is at `dev`.
    ///
    /// # Safety
    ///
    /// `dev` must be part of a `Device<T>`, to which there is a reference for `'a`.
    unsafe fn from_dev<'a>(dev: *const bindings::device) -> &'a Self {
        let dev = dev.cast_mut().cast::<Opaque<bindings::device>>();
        // SAFETY: By the safety requirements it is a field of a device, which stays for `'a`.
        unsafe { &*container_of!(dev, Self, dev) }
    }

    /// The device whose `struct cdev` is at `cdev`.
    ///
    /// # Safety
    ///
    /// `cdev` must be part of a `Device<T>`, to which there is a reference for `'a`.
    unsafe fn from_cdev<'a>(cdev: *mut bindings::cdev) -> &'a Self {
        let cdev = cdev.cast::<Opaque<bindings::cdev>>();
        // SAFETY: By the safety requirements it is a field of a device, which stays for `'a`.
        unsafe { &*container_of!(cdev, Self, cdev) }
    }

    /// Answers where the node is, and if asked, whose.
    ///
    /// The answer is memory that the driver core frees. Without an answer it would take the node
    /// to be `/dev/<name>` and say nothing, hence `__GFP_NOFAIL`, for a few bytes.
    ///
    /// # Safety
    ///
    /// `dev` must be part of a `Device<T>` that has a name, and the rest each valid for a write, or
    /// null. May sleep.
    unsafe extern "C" fn devnode(
        dev: *const bindings::device,
        mode: *mut bindings::umode_t,
        uid: *mut bindings::kuid_t,
        gid: *mut bindings::kgid_t,
    ) -> *mut c_char {
        // SAFETY: Whoever asks has a reference.
        let device = unsafe { Self::from_dev(dev) };
        // SAFETY: By the safety requirements the pointers are valid where they are not null.
        unsafe {
            if !mode.is_null() {
                // With the type of the file it is not 0, which would mean 0600.
                // CAST: A constant of 16 bits.
                *mode = bindings::S_IFCHR as bindings::umode_t | device.mode;
            }
            if !uid.is_null() {
                *uid = device.uid.into_raw();
            }
            if !gid.is_null() {
                *gid = device.gid.into_raw();
            }
        }
        let gfp = bindings::GFP_KERNEL | (1 << bindings::___GFP_NOFAIL_BIT);
        let folder = device.region.class.name;
        // SAFETY: The format asks for two strings that end with a null byte. The device has a name,
        // which does not change while it is registered.
        unsafe {
            bindings::kasprintf(
                gfp,
                c"%s/%s".as_char_ptr(),
                folder.as_char_ptr(),
                bindings::dev_name(dev),
            )
        }
    }

    /// Frees the device.
    ///
    /// # Safety
    ///
    /// `dev` must be part of a `Device<T>`, to which there is no reference any more.
    unsafe extern "C" fn release(dev: *mut bindings::device) {
        let dev = dev.cast::<Opaque<bindings::device>>();
        // SAFETY: By the safety requirements it is a field of a device, which `new` took out of its
        // box, and which nobody will use any more.
        drop(unsafe { KBox::from_raw(container_of!(dev, Self, dev)) });
    }

    /// # Safety
    ///
    /// Must be called by `chrdev_open()` for a device whose operations are [`Self::OPERATIONS`].
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `chrdev_open()` found the `struct cdev` in the inode or put it there, and holds a
        // reference to it during this call, by which it stays there. By the type invariant that is
        // one to the device, even if it has been removed.
        let device = unsafe { Self::from_cdev((*inode).__bindgen_anon_5.i_cdev) };
        // SAFETY: The file is being opened, and its operations are those of `T`.
        unsafe { Vtable::<T>::open(&device.data, inode, file) }
    }
}

/// A registered character device.
///
/// To drop it removes the device and its node; this may sleep. No open file is disturbed, and
/// keeps the data of the device.
///
/// # Invariants
///
/// `device` has been added with `cdev_device_add()`, under the number `_minor`, and not removed.
pub(crate) struct Registration<T: FileOperations> {
    device: ARef<Device<T>>,
    // Held for its destructor, which runs after that of `Registration`.
    _minor: Minor,
}

impl<T: FileOperations> Registration<T> {
    /// Registers a device. From then on it can be opened, even before this returns, and even if it
    /// then returns an error.
    ///
    /// `EINVAL` if `node` is not possible or `minor` not in the region, `EBUSY` if `minor` is in
    /// use, `ENOMEM`. There must be no device of that name in the region, or the kernel complains
    /// in its log and this answers `EEXIST`. If something else stands where the node should be,
    /// or devtmpfs lacks memory, then there is no node, and nobody is told.
    ///
    /// May sleep, and for long: nodes are made and removed by a thread that waits for everybody
    /// who holds the folder, such as a process that lists it. At the load of a module this should
    /// be the last thing that can fail, since a load that fails does not wait for open files.
    pub(crate) fn new(
        region: &Arc<Region>,
        minor: u32,
        node: Node<'_>,
        data: T::Device,
    ) -> Result<Self> {
        if !node.is_valid() {
            return Err(EINVAL);
        }
        let minor = Minor::new(region, minor)?;
        let device = Device::<T>::new(&minor, node, data)?;
        // SAFETY: Both are initialised, and part of the same device. Nobody else has its number.
        to_result(unsafe { bindings::cdev_device_add(device.cdev.get(), device.dev.get()) })?;
        // INVARIANT: It was added.
        Ok(Self {
            device,
            _minor: minor,
        })
    }
}

impl<T: FileOperations> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the device was added, and this is done once.
        unsafe { bindings::cdev_device_del(self.device.cdev.get(), self.device.dev.get()) };
    }
}

#[cfg(CONFIG_RINGDEV_KUNIT_TEST)]
#[kunit_tests(ringdev_chardev)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_that_a_file_can_have() {
        for name in [&b"0"[..], b"...", b"a!b", b".hidden", &[b'x'; 255]] {
            assert!(is_file_name(name));
        }
        for name in [&b""[..], b".", b"..", b"/", b"a/b", b"../x", &[b'x'; 256]] {
            assert!(!is_file_name(name));
        }
    }

    #[test]
    fn a_number_is_used_once_at_a_time() -> Result {
        let region = Arc::pin_init(Region::new(c"ringdev_kunit", 2), GFP_KERNEL)?;
        let first = Minor::new(&region, 0)?;
        let second = Minor::new(&region, 1)?;
        assert_eq!(second.devt(), first.devt() + 1);
        assert_eq!(Minor::new(&region, 0).err(), Some(EBUSY));
        assert_eq!(Minor::new(&region, 2).err(), Some(EINVAL));
        drop(first);
        assert!(Minor::new(&region, 0).is_ok());
        assert_eq!(Minor::new(&region, 1).err(), Some(EBUSY));
        Ok(())
    }

    #[test]
    fn a_region_has_at_least_one_number_and_at_most_a_major() {
        for count in [0, bindings::MINORMASK + 2, u32::MAX] {
            assert_eq!(Numbers::new(c"ringdev_kunit", count).err(), Some(EINVAL));
        }
    }
}
