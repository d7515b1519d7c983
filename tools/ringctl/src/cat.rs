// SPDX-License-Identifier: GPL-2.0

//! `ringctl cat`: what is in a ring, on stdout.

use std::io;

use ringdev::{Call, Record, Ring, RingName};

use crate::args::Cat;
use crate::failure::{Failure, Outcome};
use crate::json::{self, JsonRecord};
use crate::output::Output;

/// How many bytes of a stream are read at once, and how long a record is read with one try.
const BUFFER: usize = 64 << 10;

pub(crate) fn run(args: &Cat) -> Outcome {
    let name = &args.ring;
    let ring = Ring::options()
        .read(true)
        .nonblocking(!args.follow)
        .open(name)
        .map_err(Failure::ring(Call::Open, format!("open ring {name}")))?;
    let mut output = Output::new();
    if args.json {
        records(ring, name, args.follow, &mut output, |record| {
            json::line(&JsonRecord::from(record)).into()
        })?;
    } else if args.headers {
        records(ring, name, args.follow, &mut output, with_header)?;
    } else {
        bytes(&ring, name, &mut output)?;
    }
    output.flush()
}

/// Writes what is there as it is. What has been taken from the ring is written before more is
/// taken, so that who stops reading misses little: of records, one.
fn bytes(ring: &Ring, name: &RingName, output: &mut Output) -> Outcome {
    let mut buffer = Vec::with_capacity(BUFFER);
    while until_empty(name, ring.receive(&mut buffer))? == Some(true) {
        output.write(&buffer)?;
        output.flush()?;
    }
    Ok(())
}

/// Writes each record as `text` makes it.
fn records(
    ring: Ring,
    name: &RingName,
    follow: bool,
    output: &mut Output,
    text: impl Fn(Record<'_>) -> Vec<u8>,
) -> Outcome {
    let what = format!("read headers from ring {name}");
    let mut records = ring.records().map_err(Failure::ring(Call::Records, what))?;
    while let Some(record) = until_empty(name, records.next_record())?.flatten() {
        output.write(&text(record))?;
        if follow {
            output.flush()?;
        }
    }
    Ok(())
}

/// None if the ring is empty, which only those meet who do not wait.
fn until_empty<T>(name: &RingName, answer: io::Result<T>) -> Outcome<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => {
            let what = format!("read from ring {name}");
            Err(Failure::ring(Call::Read, what)(error))
        }
    }
}

/// A record as a line that begins with its time, as dmesg shows it, and its number. What was lost
/// before it has a line of its own.
fn with_header(record: Record<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    if record.lost > 0 {
        text.extend(format!("--- {} lost ---\n", record.lost).bytes());
    }
    let (seconds, micros) = (record.timestamp.as_secs(), record.timestamp.subsec_micros());
    text.extend(format!("[{seconds:5}.{micros:06}] #{}: ", record.sequence).bytes());
    text.extend(record.payload);
    if !record.payload.ends_with(b"\n") {
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_record_is_a_line() {
        let mut record = Record {
            sequence: 7,
            timestamp: Duration::new(12, 345_678_999),
            lost: 0,
            payload: b"hello\n",
        };
        assert_eq!(with_header(record), b"[   12.345678] #7: hello\n");
        record.payload = b"bytes\xff";
        assert_eq!(with_header(record), b"[   12.345678] #7: bytes\xff\n");
    }

    #[test]
    fn what_was_lost_is_said_before_the_record() {
        let record = Record {
            sequence: 9,
            timestamp: Duration::ZERO,
            lost: 2,
            payload: b"hello",
        };
        assert_eq!(
            with_header(record),
            b"--- 2 lost ---\n[    0.000000] #9: hello\n"
        );
    }

    #[test]
    fn an_empty_ring_is_the_end_and_no_failure() {
        let name = "log".parse().expect("a name");
        let empty: io::Result<()> = Err(io::ErrorKind::WouldBlock.into());
        assert!(matches!(until_empty(&name, empty), Ok(None)));
        const ESHUTDOWN: i32 = 108;
        let evicted: io::Result<()> = Err(io::Error::from_raw_os_error(ESHUTDOWN));
        let failure = until_empty(&name, evicted).expect_err("a failure");
        assert_eq!(
            failure.to_string(),
            "cannot read from ring log: the reader was evicted because others waited for it; open \
             the ring again [Cannot send after transport endpoint shutdown (os error 108)]"
        );
    }
}
