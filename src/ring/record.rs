// SPDX-License-Identifier: GPL-2.0

//! A record as it lies in the ring: a header, the payload, and padding up to the next header.
//!
//! The header is what a batch read returns, byte for byte (`struct ringdev_record`), so that a run
//! of whole records is copied to user space in one piece. Its `lost` is 0 in the ring, as it
//! depends on who reads.

/// The data of a ring as words, which is how the core looks at headers.
///
/// Others may store to a word while it is loaded, where data may be overwritten before they are
/// read; the value is then any, and [`super::Cursor`] sees to it that it is not used.
pub(crate) trait Words {
    /// The word at `position`, which is a multiple of 8.
    fn load(&self, position: u64) -> u64;

    /// Changes the word at `position`.
    fn store(&self, position: u64, word: u64);

    /// The words from `position` on, each as [`Words::load`] has it.
    #[inline]
    fn load_all<const N: usize>(&self, position: u64) -> [u64; N] {
        core::array::from_fn(|index| self.load(position.wrapping_add(index as u64 * WORD)))
    }

    /// Changes the words from `position` on, each as [`Words::store`] does.
    #[inline]
    fn store_all<const N: usize>(&self, position: u64, words: [u64; N]) {
        for (index, word) in words.into_iter().enumerate() {
            self.store(position.wrapping_add(index as u64 * WORD), word);
        }
    }
}

const WORD: u64 = size_of::<u64>() as u64;

/// What precedes the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of payload.
    pub(crate) length: u32,
    /// The number of the record.
    pub(crate) sequence: u64,
    /// When it was written, in nanoseconds.
    pub(crate) timestamp: u64,
}

impl Header {
    /// Bytes of a header.
    pub(crate) const SIZE: usize = 32;

    /// What a header's place is a multiple of.
    pub(crate) const ALIGN: usize = 8;

    /// How many bytes of the ring a record with a payload of `length` bytes takes.
    #[inline]
    pub(crate) fn stored(length: u32) -> u64 {
        // OVERFLOW: Three numbers of 32 bits.
        let end = Self::SIZE as u64 + u64::from(length) + (Self::ALIGN as u64 - 1);
        // Not `next_multiple_of`, which is a case distinction.
        end & !(Self::ALIGN as u64 - 1)
    }

    /// The header at `position`.
    #[inline]
    pub(super) fn load(words: &impl Words, position: u64) -> Self {
        let [first, sequence, timestamp] = words.load_all(position);
        Self {
            length: length_of(first),
            sequence,
            timestamp,
        }
    }

    /// The length in the header at `position`.
    #[inline]
    pub(super) fn load_length(words: &impl Words, position: u64) -> u32 {
        length_of(words.load(position))
    }

    /// Puts the header to `position`: every byte of it, whatever lay there before.
    #[inline]
    pub(super) fn store(&self, words: &impl Words, position: u64) {
        words.store_all(
            position,
            [self.first_word(), self.sequence, self.timestamp, 0],
        );
    }

    /// Clears what is between a payload of `length` bytes at `position` and the next header, which
    /// readers of a batch get as well.
    #[inline]
    pub(super) fn clear_padding(words: &impl Words, position: u64, length: u32) {
        let odd = length % Self::ALIGN as u32;
        if odd != 0 {
            let last = position.wrapping_add(u64::from(length - odd));
            // In the order of memory the first bytes of a word are the low ones of `to_le`.
            let keep = (1 << (8 * odd)) - 1;
            words.store(last, u64::from_le(words.load(last).to_le() & keep));
        }
    }

    /// The header as bytes, with `lost` records before it.
    pub(crate) fn to_bytes(self, lost: u64) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let words = [self.first_word(), self.sequence, self.timestamp, lost];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The length, and the flags, of which there are none.
    #[inline]
    fn first_word(&self) -> u64 {
        let [a, b, c, d] = self.length.to_ne_bytes();
        u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0])
    }
}

/// The length in the first word of a header.
#[inline]
fn length_of(first_word: u64) -> u32 {
    let [a, b, c, d, ..] = first_word.to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
#[cfg_attr(CONFIG_RINGDEV_KUNIT_TEST, kernel::macros::kunit_tests(ringdev_record))]
mod tests {
    use super::*;
    use crate::ring::{
        testing::{
            shared,
            Ring, //
        },
        Framing,
        Full, //
    };

    const HEADER: Header = Header {
        length: 0x0102_0304,
        sequence: 0x1112_1314_1516_1718,
        timestamp: 0x2122_2324_2526_2728,
    };

    #[test]
    fn records_are_padded() {
        assert_eq!(Header::stored(0), 32);
        assert_eq!(Header::stored(1), 40);
        assert_eq!(Header::stored(8), 40);
        assert_eq!(Header::stored(9), 48);
        assert_eq!(Header::stored(u32::MAX), (1 << 32) + 32);
    }

    #[test]
    fn header_comes_back() -> Result<(), ()> {
        let ring = Ring::new(shared(Framing::Record, Full::Block), 0)?;
        // The last one begins at the end of the data and goes on at their start.
        for position in [0, 8, 2048, 4088] {
            HEADER.store(&ring, position);
            assert_eq!(Header::load(&ring, position), HEADER);
        }
        Ok(())
    }

    #[test]
    fn header_in_the_ring_is_what_a_batch_returns() -> Result<(), ()> {
        let ring = Ring::new(shared(Framing::Record, Full::Block), 0)?;
        HEADER.store(&ring, 64);
        let bytes = HEADER.to_bytes(0);
        for (position, word) in (64..).step_by(8).zip(bytes.chunks_exact(8)) {
            assert_eq!(&ring.load(position).to_ne_bytes()[..], word);
        }
        Ok(())
    }

    #[test]
    fn fields_have_their_places() {
        let bytes = HEADER.to_bytes(0x3132_3334_3536_3738);
        assert_eq!(bytes[..4], HEADER.length.to_ne_bytes());
        assert_eq!(bytes[4..8], [0; 4]);
        assert_eq!(bytes[8..16], HEADER.sequence.to_ne_bytes());
        assert_eq!(bytes[16..24], HEADER.timestamp.to_ne_bytes());
        assert_eq!(bytes[24..], 0x3132_3334_3536_3738u64.to_ne_bytes());
    }
}
