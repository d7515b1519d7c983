// SPDX-License-Identifier: GPL-2.0

//! Reading what is of a length that only the kernel knows.

use std::io;

use rustix::io::Errno;

/// How much room there is at least, so that few records need a second try.
const LEAST: usize = 4096;

/// Reads into `buffer`, in place of what was there, and says whether there was anything.
///
/// `read` appends to the vector without making it longer than its capacity. If it says `EMSGSIZE`,
/// the kernel has kept a record that is longer, and there is another try with more room.
pub(crate) fn receive(
    buffer: &mut Vec<u8>,
    mut read: impl FnMut(&mut Vec<u8>) -> Result<usize, Errno>,
) -> io::Result<bool> {
    buffer.clear();
    buffer.try_reserve(LEAST)?;
    loop {
        match read(buffer) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::MSGSIZE) => buffer.try_reserve(buffer.capacity().saturating_mul(2))?,
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_grows_until_the_record_fits() {
        let record = vec![7; 100_000];
        let mut tries = 0;
        let mut buffer = b"what was there".to_vec();
        let received = receive(&mut buffer, |buffer| {
            tries += 1;
            if buffer.capacity() < record.len() {
                return Err(Errno::MSGSIZE);
            }
            buffer.extend(&record);
            Ok(record.len())
        });
        assert!(received.expect("it fits in the end"));
        assert_eq!(buffer, record);
        assert_eq!(tries, 6, "4, 8, 16, 32, 64, 128 KiB");
    }

    #[test]
    fn an_error_of_another_kind_ends_it() {
        let mut tries = 0;
        let mut buffer = b"what was there".to_vec();
        let error = receive(&mut buffer, |buffer| {
            assert!(buffer.is_empty());
            tries += 1;
            Err(Errno::INTR)
        });
        let error = error.expect_err("the error");
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert_eq!(tries, 1);
    }

    #[test]
    fn the_end_is_nothing() {
        let mut buffer = b"what was there".to_vec();
        assert!(!receive(&mut buffer, |_| Ok(0)).expect("the end"));
        assert!(buffer.is_empty());
    }
}
