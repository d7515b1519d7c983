// SPDX-License-Identifier: GPL-2.0

//! The structures and numbers of `include/uapi/linux/ringdev.h`.
//!
//! Written by hand, so that a fuzzer can also send what a client library would not. The layouts are
//! asserted in `tools/ringdev/src/abi.rs`; here, a wrong one would fail every program.

pub const NAME_SIZE: usize = 32;
pub const HANGUP: u32 = 1;
pub const HEADERS: u32 = 1;
pub const ALIGN: usize = 8;
pub const HEADER_SIZE: usize = 32;

pub const CREATE: u32 = 0x7c90;
pub const DESTROY: u32 = 0x7c91;
pub const NEXT: u32 = 0x7c92;
pub const RESIZE: u32 = 0x7c93;
pub const CLEAR: u32 = 0x7c94;
pub const EVICT: u32 = 0x7c95;
pub const NEXT_CURSOR: u32 = 0x7c96;
pub const INFO: u32 = 0x7c98;
pub const CURSOR: u32 = 0x7c99;
pub const WATERMARK: u32 = 0x7c9a;
pub const READ_MODE: u32 = 0x7c9b;

/// The numbers that a nearly valid ioctl uses: all there are, the next ones, and one of another
/// kind of file.
pub const COMMANDS: [u32; 16] = [
    CREATE,
    DESTROY,
    NEXT,
    RESIZE,
    CLEAR,
    EVICT,
    NEXT_CURSOR,
    INFO,
    CURSOR,
    WATERMARK,
    READ_MODE,
    0x7c97,
    0x7c9c,
    0x7c9d,
    0x5401,
    0x541b,
];

/// A structure that begins with its size.
pub trait Structure: Default {}

macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name { pub size: u32, pub flags: u32, $(pub $field: $type),+ }

        impl Default for $name {
            fn default() -> Self {
                Self { size: size_of::<Self>() as u32, flags: 0, $($field: Default::default()),+ }
            }
        }

        impl Structure for $name {}
    )+};
}

type Name = [u8; NAME_SIZE];

structures! {
    Create {
        capacity: u64, framing: u32, full: u32, delivery: u32, mode: u32, uid: u32, gid: u32,
        name: Name,
    }
    OfName { name: Name }
    Resize { capacity: u64, name: Name }
    Evict { cursor: u64, name: Name }
    Info {
        id: u64, capacity: u64, framing: u32, full: u32, delivery: u32, mode: u32, uid: u32,
        gid: u32, name: Name, readers: u32, writers: u32, unread: u64, high_water: u64,
        records_in: u64, bytes_in: u64, records_dropped: u64, bytes_dropped: u64,
        records_lost: u64, bytes_lost: u64, records_out: u64, bytes_out: u64, writer_sleeps: u64,
        writer_wakes: u64, reader_sleeps: u64, reader_wakes: u64,
    }
    Cursor {
        id: u64, unread: u64, records_out: u64, bytes_out: u64, records_lost: u64, bytes_lost: u64,
        watermark: u64, delay_ns: u64, name: Name,
    }
    Watermark { bytes: u64, delay_ns: u64 }
}

/// How an endpoint reads records; it has no field of its own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReadMode {
    pub size: u32,
    pub flags: u32,
}

impl Default for ReadMode {
    fn default() -> Self {
        Self {
            size: size_of::<Self>() as u32,
            flags: 0,
        }
    }
}

impl Structure for ReadMode {}

/// Returns a name as the structures have it.
pub fn name(text: &str) -> Name {
    let mut name = [0; NAME_SIZE];
    name[..text.len()].copy_from_slice(text.as_bytes());
    name
}

/// What precedes a record in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub length: u32,
    pub flags: u32,
    pub sequence: u64,
    pub timestamp_ns: u64,
    pub lost: u64,
}

impl Header {
    /// Reads a header; `None` if there are too few bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let first = word(0)?;
        Some(Self {
            length: first as u32,
            flags: (first >> 32) as u32,
            sequence: word(8)?,
            timestamp_ns: word(16)?,
            lost: word(24)?,
        })
    }

    #[cfg(test)]
    pub fn to_bytes(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..4].copy_from_slice(&self.length.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_ne_bytes());
        bytes[16..24].copy_from_slice(&self.timestamp_ns.to_ne_bytes());
        bytes[24..].copy_from_slice(&self.lost.to_ne_bytes());
        bytes
    }
}
