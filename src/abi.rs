// SPDX-License-Identifier: GPL-2.0

//! What the numbers of the ABI mean: between the structures that user space knows and the types of
//! the module.

use crate::{
    channel::{
        CursorStatistics,
        Statistics, //
    },
    registry::{
        Identity,
        Name, //
    },
    ring::{
        Attributes,
        Capacity,
        Delivery,
        Framing,
        Full,
        Header, //
    },
    staging::{
        credentials,
        uapi, //
    }, //
};
use core::mem::offset_of;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

// What lies in the ring is what a read returns.
const _: () = {
    assert!(size_of::<uapi::ringdev_record>() == Header::SIZE);
    assert!(Header::ALIGN == uapi::RINGDEV_ALIGN as usize);
    assert!(offset_of!(uapi::ringdev_record, length) == 0);
    assert!(offset_of!(uapi::ringdev_record, flags) == 4);
    assert!(offset_of!(uapi::ringdev_record, sequence) == 8);
    assert!(offset_of!(uapi::ringdev_record, timestamp_ns) == 16);
    assert!(offset_of!(uapi::ringdev_record, lost) == 24);
};

/// `EINVAL` if there is a flag that we do not know.
pub(crate) fn known_flags(flags: u32, known: u32) -> Result<u32> {
    if flags & !known == 0 {
        Ok(flags)
    } else {
        Err(EINVAL)
    }
}

/// A capacity that a ring may have, if it is not above `max`.
pub(crate) fn capacity(bytes: u64, max: u64) -> Result<Capacity> {
    if bytes > max {
        return Err(EINVAL);
    }
    Capacity::new(bytes, PAGE_SIZE as u64).ok_or(EINVAL)
}

/// What a ring is to be like.
pub(crate) fn attributes(create: &uapi::ringdev_create) -> Result<Attributes> {
    let flags = known_flags(create.flags, uapi::RINGDEV_HANGUP)?;
    Ok(Attributes {
        framing: match create.framing {
            uapi::RINGDEV_STREAM => Framing::Stream,
            uapi::RINGDEV_RECORD => Framing::Record,
            _ => return Err(EINVAL),
        },
        full: match create.full {
            uapi::RINGDEV_BLOCK => Full::Block,
            uapi::RINGDEV_DROP => Full::Drop,
            uapi::RINGDEV_OVERWRITE => Full::Overwrite,
            _ => return Err(EINVAL),
        },
        delivery: match create.delivery {
            uapi::RINGDEV_SHARED => Delivery::Shared,
            uapi::RINGDEV_BROADCAST => Delivery::Broadcast,
            _ => return Err(EINVAL),
        },
        hangup: flags & uapi::RINGDEV_HANGUP != 0,
    })
}

/// The permission bits of a node. `EINVAL` if there are others.
pub(crate) fn mode(mode: u32) -> Result<u16> {
    match u16::try_from(mode) {
        Ok(mode) if mode & !0o777 == 0 => Ok(mode),
        _ => Err(EINVAL),
    }
}

/// What a ring tells of itself, for a program that gave a structure of `size` bytes.
pub(crate) fn info(
    size: u32,
    identity: &Identity,
    attributes: Attributes,
    statistics: &Statistics,
) -> uapi::ringdev_info {
    uapi::ringdev_info {
        size,
        flags: if attributes.hangup {
            uapi::RINGDEV_HANGUP
        } else {
            0
        },
        id: identity.id,
        capacity: statistics.capacity,
        framing: match attributes.framing {
            Framing::Stream => uapi::RINGDEV_STREAM,
            Framing::Record => uapi::RINGDEV_RECORD,
        },
        full: match attributes.full {
            Full::Block => uapi::RINGDEV_BLOCK,
            Full::Drop => uapi::RINGDEV_DROP,
            Full::Overwrite => uapi::RINGDEV_OVERWRITE,
        },
        delivery: match attributes.delivery {
            Delivery::Shared => uapi::RINGDEV_SHARED,
            Delivery::Broadcast => uapi::RINGDEV_BROADCAST,
        },
        mode: identity.mode.into(),
        uid: credentials::uid_in_current_ns(identity.uid),
        gid: identity.gid.into_gid_in_current_ns(),
        name: identity.name.to_bytes(),
        readers: statistics.readers,
        writers: statistics.writers,
        unread: statistics.unread,
        high_water: statistics.high_water,
        records_in: statistics.written.records,
        bytes_in: statistics.written.bytes,
        records_dropped: statistics.written.records_dropped,
        bytes_dropped: statistics.written.bytes_dropped,
        records_lost: statistics.received.records_lost,
        bytes_lost: statistics.received.bytes_lost,
        records_out: statistics.received.records,
        bytes_out: statistics.received.bytes,
        writer_sleeps: statistics.writer_sleeps,
        writer_wakes: statistics.writer_wakes,
        reader_sleeps: statistics.reader_sleeps,
        reader_wakes: statistics.reader_wakes,
    }
}

/// What a cursor of the ring `name` tells of itself, for a program that gave a structure of `size`
/// bytes.
pub(crate) fn cursor(size: u32, name: &Name, cursor: &CursorStatistics) -> uapi::ringdev_cursor {
    uapi::ringdev_cursor {
        size,
        flags: 0,
        id: cursor.id,
        unread: cursor.unread,
        records_out: cursor.received.records,
        bytes_out: cursor.received.bytes,
        records_lost: cursor.received.records_lost,
        bytes_lost: cursor.received.bytes_lost,
        watermark: cursor.watermark.bytes,
        delay_ns: cursor.watermark.delay_ns,
        name: name.to_bytes(),
    }
}
