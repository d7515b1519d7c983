// SPDX-License-Identifier: GPL-2.0

//! The structures and numbers of `include/uapi/linux/ringdev.h`, and ioctl(2) with them.
//!
//! Written down once more, independently of the module and of the client library: what these
//! tests say is then what the ABI says, and not what somebody's bindings make of it.

use std::os::fd::AsRawFd;
use std::ptr;
use std::slice;

use nix::Result;
use nix::errno::Errno;

use crate::memory::Span;

pub const NAME_SIZE: usize = 32;

/// A flag of a ring: end of file and EPIPE, as a FIFO has them.
pub const HANGUP: u32 = 1;

/// A flag of an endpoint's read mode: records with their headers.
pub const HEADERS: u32 = 1;

/// What the place of a header is a multiple of.
pub const ALIGN: usize = 8;

/// A structure that begins with its own size.
///
/// # Safety
///
/// The type is `repr(C)`, has no padding, and any bytes are a value of it.
pub unsafe trait Structure: Copy + Default {
    /// Sets the size that the structure says it has.
    fn set_size(&mut self, size: u32);

    /// The structure as it lies in memory.
    fn bytes(&self) -> &[u8] {
        // SAFETY: the type has no padding, so all of its bytes are there.
        unsafe { slice::from_raw_parts(ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

macro_rules! structures {
    ($($name:ident of $size:literal { $($field:ident: $type:ty),* $(,)? })*) => {$(
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            pub size: u32,
            pub flags: u32,
            $(pub $field: $type),*
        }

        // Their sum is the whole: there is no padding.
        const _: () = assert!(size_of::<$name>() == $size && 8 $(+ size_of::<$type>())* == $size);

        // SAFETY: integers and arrays of them, without padding, as just asserted.
        unsafe impl Structure for $name {
            fn set_size(&mut self, size: u32) {
                self.size = size;
            }
        }
    )*};
}

structures! {
    Create of 72 {
        capacity: u64,
        framing: u32,
        full: u32,
        delivery: u32,
        mode: u32,
        uid: u32,
        gid: u32,
        name: [u8; NAME_SIZE],
    }
    Name of 40 {
        name: [u8; NAME_SIZE],
    }
    Resize of 48 {
        capacity: u64,
        name: [u8; NAME_SIZE],
    }
    Evict of 48 {
        cursor: u64,
        name: [u8; NAME_SIZE],
    }
    Info of 200 {
        id: u64,
        capacity: u64,
        framing: u32,
        full: u32,
        delivery: u32,
        mode: u32,
        uid: u32,
        gid: u32,
        name: [u8; NAME_SIZE],
        readers: u32,
        writers: u32,
        unread: u64,
        high_water: u64,
        records_in: u64,
        bytes_in: u64,
        records_dropped: u64,
        bytes_dropped: u64,
        records_lost: u64,
        bytes_lost: u64,
        records_out: u64,
        bytes_out: u64,
        writer_sleeps: u64,
        writer_wakes: u64,
        reader_sleeps: u64,
        reader_wakes: u64,
    }
    Cursor of 104 {
        id: u64,
        unread: u64,
        records_out: u64,
        bytes_out: u64,
        records_lost: u64,
        bytes_lost: u64,
        watermark: u64,
        delay_ns: u64,
        name: [u8; NAME_SIZE],
    }
    Watermark of 24 {
        bytes: u64,
        delay_ns: u64,
    }
    ReadMode of 8 {}
}

/// The name of a ring as the structures have it. Longer ones than may be are for those who make
/// their own.
pub fn name(name: &str) -> [u8; NAME_SIZE] {
    let mut bytes = [0; NAME_SIZE];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

/// What ioctl(2) takes for a command: a long in one program is an int in another.
pub type Command = libc::Ioctl;

/// A command: `_IO('|', number)`.
const fn command(number: Command) -> Command {
    (0x7c << 8) | number
}

pub const CREATE: Command = command(0x90);
pub const DESTROY: Command = command(0x91);
pub const NEXT: Command = command(0x92);
pub const RESIZE: Command = command(0x93);
pub const CLEAR: Command = command(0x94);
pub const EVICT: Command = command(0x95);
pub const NEXT_CURSOR: Command = command(0x96);
pub const INFO: Command = command(0x98);
pub const CURSOR: Command = command(0x99);
pub const WATERMARK: Command = command(0x9a);
pub const READ_MODE: Command = command(0x9b);

/// ioctl(2) with a structure, which says its true size, and is changed in place.
pub fn call<T: Structure>(file: impl AsRawFd, command: Command, argument: &mut T) -> Result<()> {
    argument.set_size(size_of::<T>() as u32);
    // SAFETY: the kernel reads and writes no more than the size that the structure says.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), command, ptr::from_mut(argument)) };
    Errno::result(done).map(drop)
}

/// ioctl(2) with an argument that may be bad.
pub fn call_at(file: impl AsRawFd, command: Command, argument: Span) -> Result<i32> {
    // SAFETY: a span holds no Rust object, so the kernel may write to what it can reach.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), command, argument.ptr()) })
}

/// What precedes each record in a read with headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub length: u32,
    pub flags: u32,
    pub sequence: u64,
    pub timestamp_ns: u64,
    pub lost: u64,
}

impl Header {
    pub const SIZE: usize = 32;

    fn from_bytes(bytes: &[u8]) -> Self {
        let half = |at: usize| u32::from_ne_bytes(bytes[at..][..4].try_into().expect("four"));
        let word = |at: usize| u64::from_ne_bytes(bytes[at..][..8].try_into().expect("eight"));
        Self {
            length: half(0),
            flags: half(4),
            sequence: word(8),
            timestamp_ns: word(16),
            lost: word(24),
        }
    }
}

/// Bytes of a ring that a record of so many bytes takes up.
pub fn stored(length: usize) -> usize {
    (Header::SIZE + length).next_multiple_of(ALIGN)
}

/// The records of what a read with headers returned, which must be whole.
pub fn records(mut bytes: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let header = Header::from_bytes(&bytes[..Header::SIZE]);
        assert_eq!(header.flags, 0);
        let length = header.length as usize;
        records.push((header, bytes[Header::SIZE..][..length].to_vec()));
        // The last one is not padded.
        bytes = &bytes[stored(length).min(bytes.len())..];
    }
    records
}
