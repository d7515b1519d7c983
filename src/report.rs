// SPDX-License-Identifier: GPL-2.0

//! What a ring tells of itself, for people to read: in fdinfo, and in debugfs.
//!
//! A line has a name and a value, and is about the ring or about a cursor. The names are those of
//! `struct ringdev_info` and `struct ringdev_cursor`. There may be more lines some day.

use crate::{
    channel::CursorStatistics,
    registry::Ring,
    staging::{
        debugfs::Show,
        uapi, //
    }, //
};
use kernel::{
    seq_file::SeqFile,
    seq_print, //
};

/// `/sys/kernel/debug/ringdev/<name>`: the ring, and behind it each of its cursors.
impl Show for Ring {
    type OwnerModule = crate::LocalModule;

    fn show(&self, to: &SeqFile) {
        ring(to, &self.info(0));
        self.channel.each_cursor(|statistics| {
            seq_print!(to, "\n");
            cursor(to, statistics);
        });
    }
}

/// The lines about a ring.
pub(crate) fn ring(to: &SeqFile, ring: &uapi::ringdev_info) {
    seq_print!(to, "ring-id:\t{}\n", ring.id);
    seq_print!(to, "ring-capacity:\t{}\n", ring.capacity);
    seq_print!(to, "ring-framing:\t{}\n", ring.framing);
    seq_print!(to, "ring-full:\t{}\n", ring.full);
    seq_print!(to, "ring-delivery:\t{}\n", ring.delivery);
    seq_print!(to, "ring-flags:\t{}\n", ring.flags);
    seq_print!(to, "ring-unread:\t{}\n", ring.unread);
    seq_print!(to, "ring-high-water:\t{}\n", ring.high_water);
    seq_print!(to, "ring-readers:\t{}\n", ring.readers);
    seq_print!(to, "ring-writers:\t{}\n", ring.writers);
    seq_print!(to, "ring-records-in:\t{}\n", ring.records_in);
    seq_print!(to, "ring-bytes-in:\t{}\n", ring.bytes_in);
    seq_print!(to, "ring-records-dropped:\t{}\n", ring.records_dropped);
    seq_print!(to, "ring-bytes-dropped:\t{}\n", ring.bytes_dropped);
    seq_print!(to, "ring-records-lost:\t{}\n", ring.records_lost);
    seq_print!(to, "ring-bytes-lost:\t{}\n", ring.bytes_lost);
    seq_print!(to, "ring-records-out:\t{}\n", ring.records_out);
    seq_print!(to, "ring-bytes-out:\t{}\n", ring.bytes_out);
    seq_print!(to, "ring-writer-sleeps:\t{}\n", ring.writer_sleeps);
    seq_print!(to, "ring-writer-wakes:\t{}\n", ring.writer_wakes);
    seq_print!(to, "ring-reader-sleeps:\t{}\n", ring.reader_sleeps);
    seq_print!(to, "ring-reader-wakes:\t{}\n", ring.reader_wakes);
}

/// The lines about a cursor.
pub(crate) fn cursor(to: &SeqFile, cursor: &CursorStatistics) {
    let received = &cursor.received;
    seq_print!(to, "cursor-id:\t{}\n", cursor.id);
    seq_print!(to, "cursor-unread:\t{}\n", cursor.unread);
    seq_print!(to, "cursor-records-out:\t{}\n", received.records);
    seq_print!(to, "cursor-bytes-out:\t{}\n", received.bytes);
    seq_print!(to, "cursor-records-lost:\t{}\n", received.records_lost);
    seq_print!(to, "cursor-bytes-lost:\t{}\n", received.bytes_lost);
    seq_print!(to, "cursor-watermark:\t{}\n", cursor.watermark.bytes);
    seq_print!(to, "cursor-delay-ns:\t{}\n", cursor.watermark.delay_ns);
}
