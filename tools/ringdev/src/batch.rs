// SPDX-License-Identifier: GPL-2.0

//! What a read with `RINGDEV_HEADERS` returns: whole records, each behind a header.

use std::io;
use std::time::Duration;

use crate::abi;
use crate::record::Record;

/// What one read returned, and how far its records have been taken.
///
/// # Invariants
///
/// `at <= bytes.len()`.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the next header is.
    at: usize,
}

impl Batch {
    /// An empty batch, with room for so many bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        // INVARIANT: `0 <= 0`.
        Self {
            bytes: Vec::with_capacity(capacity),
            at: 0,
        }
    }

    /// Whether all records have been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Replaces the records by what `receive` puts into the vector, and says what it says: whether
    /// there was anything.
    pub(crate) fn fill(
        &mut self,
        receive: impl FnOnce(&mut Vec<u8>) -> io::Result<bool>,
    ) -> io::Result<bool> {
        // INVARIANT: 0 is not more than any length.
        self.at = 0;
        self.bytes.clear();
        receive(&mut self.bytes)
    }

    /// Takes the next record.
    pub(crate) fn take(&mut self) -> io::Result<Option<Record<'_>>> {
        if self.is_empty() {
            return Ok(None);
        }
        let Some((header, payload)) = split_record(&self.bytes[self.at..]) else {
            // INVARIANT: It is the length. Where another record would begin cannot be told.
            self.at = self.bytes.len();
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a read returned a part of a record",
            ));
        };
        let end = self.at + size_of::<abi::Record>() + payload.len();
        // INVARIANT: It is at most the length. The last record may be without padding.
        self.at = end.next_multiple_of(abi::ALIGN).min(self.bytes.len());
        Ok(Some(Record {
            sequence: header.sequence,
            timestamp: Duration::from_nanos(header.timestamp_ns),
            lost: header.lost,
            payload,
        }))
    }
}

/// The header at the beginning of `bytes`, and the payload behind it, if all of it is there.
fn split_record(bytes: &[u8]) -> Option<(abi::Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (flags, rest) = rest.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (timestamp_ns, rest) = rest.split_first_chunk()?;
    let (lost, rest) = rest.split_first_chunk()?;
    let header = abi::Record {
        length: u32::from_ne_bytes(*length),
        flags: u32::from_ne_bytes(*flags),
        sequence: u64::from_ne_bytes(*sequence),
        timestamp_ns: u64::from_ne_bytes(*timestamp_ns),
        lost: u64::from_ne_bytes(*lost),
    };
    let payload = rest.get(..usize::try_from(header.length).ok()?)?;
    Some((header, payload))
}

/// What a read returns, made up.
#[cfg(test)]
pub(crate) mod made_up {
    use super::*;

    impl Batch {
        /// Returns how many bytes a read may return.
        pub(crate) fn capacity(&self) -> usize {
            self.bytes.capacity()
        }
    }

    /// Appends a record, in the way that the kernel does: what is there is padded first.
    pub(crate) fn push(bytes: &mut Vec<u8>, sequence: u64, lost: u64, payload: &[u8]) {
        bytes.resize(bytes.len().next_multiple_of(abi::ALIGN), 0);
        let length = u32::try_from(payload.len()).expect("short");
        bytes.extend(length.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend((sequence * 1_000_000_001).to_ne_bytes());
        bytes.extend(lost.to_ne_bytes());
        bytes.extend(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::made_up::push;
    use super::*;

    fn filled(bytes: &[u8]) -> Batch {
        let mut batch = Batch::new(0);
        fill(&mut batch, bytes);
        batch
    }

    fn fill(batch: &mut Batch, bytes: &[u8]) {
        let filled = batch.fill(|buffer| {
            buffer.extend(bytes);
            Ok(true)
        });
        assert!(filled.expect("nothing fails here"));
    }

    #[test]
    fn each_field_of_a_record_is_the_kernels() {
        // In the order of the header; each has a value of its own.
        let mut bytes = 5_u32.to_ne_bytes().to_vec();
        bytes.extend(2_u32.to_ne_bytes());
        bytes.extend(3_u64.to_ne_bytes());
        bytes.extend(4_000_000_007_u64.to_ne_bytes());
        bytes.extend(6_u64.to_ne_bytes());
        bytes.extend(b"seven");
        let mut batch = filled(&bytes);
        let expected = Record {
            sequence: 3,
            timestamp: Duration::new(4, 7),
            lost: 6,
            payload: b"seven",
        };
        let record = batch.take().expect("well formed").expect("a record");
        assert_eq!(record, expected);
        let owned = record.into_owned();
        assert_eq!((owned.sequence, owned.lost), (3, 6));
        assert_eq!(owned.timestamp, Duration::new(4, 7));
        assert_eq!(owned.payload, b"seven");
        let (header, payload) = split_record(&bytes).expect("all of it is there");
        assert_eq!((header.length, header.flags, payload.len()), (5, 2, 5));
    }

    #[test]
    fn records_of_all_lengths_follow_each_other() {
        let payloads: Vec<Vec<u8>> = (1..=17).map(|length| vec![0xa5; length]).collect();
        let mut bytes = Vec::new();
        for (sequence, payload) in (0..).zip(&payloads) {
            push(&mut bytes, sequence, 0, payload);
        }
        let mut batch = filled(&bytes);
        for (sequence, payload) in (0..).zip(&payloads) {
            let record = batch.take().expect("well formed").expect("a record");
            assert_eq!(record.sequence, sequence);
            assert_eq!(record.timestamp, Duration::new(sequence, sequence as u32));
            assert_eq!(record.payload, payload);
        }
        assert!(batch.is_empty());
        assert_eq!(batch.take().expect("nothing wrong"), None);
    }

    #[test]
    fn what_was_lost_is_told_with_the_record_after_it() {
        let mut bytes = Vec::new();
        push(&mut bytes, 7, 7, b"seven");
        push(&mut bytes, 8, 0, b"eight");
        push(&mut bytes, 20, 11, b"twenty");
        let mut batch = filled(&bytes);
        let mut expected = 0;
        for lost in [7, 0, 11] {
            let record = batch.take().expect("well formed").expect("a record");
            assert_eq!(record.lost, lost);
            assert_eq!(record.sequence, expected + lost);
            expected = record.sequence + 1;
        }
    }

    #[test]
    fn the_last_payload_may_be_padded_or_not() {
        let mut bytes = Vec::new();
        push(&mut bytes, 0, 0, b"abc");
        for _ in 0..=5 {
            let mut batch = filled(&bytes);
            let record = batch.take().expect("well formed").expect("a record");
            assert_eq!(record.payload, b"abc");
            assert!(batch.is_empty());
            bytes.push(0);
        }
    }

    #[test]
    fn a_part_of_a_record_is_an_error_once() {
        let mut bytes = Vec::new();
        push(&mut bytes, 0, 0, b"whole...");
        let whole = bytes.len();
        push(&mut bytes, 1, 0, b"in part");
        for end in whole + 1..bytes.len() {
            let mut batch = filled(&bytes[..end]);
            let record = batch.take().expect("well formed").expect("a record");
            assert_eq!(record.payload, b"whole...");
            let error = batch.take().expect_err("a part");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            // What follows can be read nevertheless.
            assert!(batch.is_empty());
            fill(&mut batch, &bytes);
        }
    }

    #[test]
    fn a_length_beyond_everything_is_an_error() {
        let mut bytes = Vec::new();
        push(&mut bytes, 0, 0, b"x");
        bytes[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(filled(&bytes).take().is_err());
    }

    #[test]
    fn a_read_that_fails_leaves_an_empty_batch() {
        let mut bytes = Vec::new();
        push(&mut bytes, 0, 0, b"x");
        let mut batch = filled(&bytes);
        let error = batch
            .fill(|_| Err(io::ErrorKind::WouldBlock.into()))
            .expect_err("nothing there");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(batch.is_empty());
    }

    #[test]
    fn the_end_of_file_is_no_records() {
        let mut batch = Batch::new(64);
        assert!(!batch.fill(|_| Ok(false)).expect("the end"));
        assert!(batch.is_empty());
    }
}
