// SPDX-License-Identifier: GPL-2.0

//! What the driver uses of the kernel crate that is not in all kernels that it is built for.
//!
//! Upstream: all of it is in 7.3, and passed on here as it is there.

#[cfg(not(linux_7_2))]
mod kernel_crate {
    use kernel::{
        module_param::ModuleParamAccess,
        ModuleMetadata, //
    };

    pub(crate) use kernel::{
        bindings::FIONREAD,
        error::code::{
            EDQUOT,
            ENOBUFS,
            ENODATA,
            ESHUTDOWN, //
        },
        sync::barrier::{
            smp_mb,
            Full,
            Read,
            Write, //
        }, //
    };

    /// What `owner` of a structure with functions of the module `M` is.
    pub(crate) const fn owner<M: ModuleMetadata>() -> *mut kernel::bindings::module {
        M::THIS_MODULE.as_ptr()
    }

    /// The value of a parameter.
    pub(crate) fn value<T: Copy>(parameter: &ModuleParamAccess<T>) -> T {
        parameter.value()
    }

    /// The value of a parameter that [`with_flag!`](super::with_flag) has declared.
    pub(crate) fn flag(parameter: &ModuleParamAccess<bool>) -> Option<bool> {
        Some(parameter.value())
    }
}

/// The same for 7.2, which lacks it, or has it under another name. Kbuild sets the `cfg`; this goes
/// when 7.2 goes.
#[cfg(linux_7_2)]
mod kernel_crate {
    use core::num::NonZeroI32;
    use kernel::{
        bindings,
        error::Error,
        module_param::ModuleParamAccess,
        sync::barrier,
        ModuleMetadata, //
    };

    // As in include/uapi/asm-generic/ioctls.h, which bindgen is not shown.
    pub(crate) const FIONREAD: u32 = 0x541b;

    pub(crate) const EDQUOT: Error = error(bindings::EDQUOT);
    pub(crate) const ENOBUFS: Error = error(bindings::ENOBUFS);
    pub(crate) const ENODATA: Error = error(bindings::ENODATA);
    pub(crate) const ESHUTDOWN: Error = error(bindings::ESHUTDOWN);

    /// `Error::from_errno()`, which is no `const fn`.
    const fn error(errno: u32) -> Error {
        assert!(errno > 0 && errno <= bindings::MAX_ERRNO);
        // CAST: At most `MAX_ERRNO`, by the line above.
        let code = NonZeroI32::new(-(errno as i32)).unwrap();
        // SAFETY: In 7.2 an `Error` has one field, a `NonZeroI32`, whose invariant is what the
        // assertion says. It is as large as that field, or this would not compile, so that there is
        // one place in it where the field can be.
        unsafe { core::mem::transmute::<NonZeroI32, Error>(code) }
    }

    /// What a barrier orders.
    pub(crate) trait Ordering {
        fn barrier();
    }

    /// All before it, and all after it.
    pub(crate) struct Full;

    /// Loads.
    pub(crate) struct Read;

    /// Stores.
    pub(crate) struct Write;

    impl Ordering for Full {
        #[inline]
        fn barrier() {
            barrier::smp_mb();
        }
    }

    impl Ordering for Read {
        #[inline]
        fn barrier() {
            barrier::smp_rmb();
        }
    }

    impl Ordering for Write {
        #[inline]
        fn barrier() {
            barrier::smp_wmb();
        }
    }

    /// A memory barrier between CPUs.
    #[inline]
    pub(crate) fn smp_mb<O: Ordering>(_ordering: O) {
        O::barrier();
    }

    /// What `owner` of a structure with functions of the module `M` is; there is one in this crate.
    pub(crate) const fn owner<M: ModuleMetadata>() -> *mut bindings::module {
        crate::THIS_MODULE.as_ptr()
    }

    /// The value of a parameter.
    pub(crate) fn value<T: Copy>(parameter: &ModuleParamAccess<T>) -> T {
        *parameter.value()
    }

    /// The value of a parameter that [`with_flag!`](super::with_flag) has declared; `None` if it is
    /// neither 0 nor 1.
    pub(crate) fn flag(parameter: &ModuleParamAccess<u8>) -> Option<bool> {
        match parameter.value() {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

pub(crate) use kernel_crate::*;

/// Calls a macro with the type of a module parameter that is a flag, and with what it is when set.
#[cfg(not(linux_7_2))]
macro_rules! with_flag {
    ($declare:ident) => {
        $declare!(bool, true);
    };
}

/// The same for 7.2, whose parameters are numbers.
#[cfg(linux_7_2)]
macro_rules! with_flag {
    ($declare:ident) => {
        $declare!(u8, 1);
    };
}

pub(crate) use with_flag;
