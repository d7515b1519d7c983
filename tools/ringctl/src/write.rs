// SPDX-License-Identifier: GPL-2.0

//! `ringctl write`: arguments or stdin, into a ring.

use std::io::{self, BufRead, Read, Write as _};
use std::os::unix::ffi::OsStrExt;

use ringdev::{Call, Framing, Ring};

use crate::args::Write;
use crate::failure::{Failure, Outcome};

/// How many bytes of stdin are copied to a stream at once.
const BUFFER: usize = 64 << 10;

pub(crate) fn run(args: &Write) -> Outcome {
    let name = &args.ring;
    let ring = Ring::options()
        .write(true)
        .nonblocking(args.no_wait)
        .open(name)
        .map_err(Failure::ring(Call::Open, format!("open ring {name}")))?;
    let framing = ring
        .info()
        .map_err(Failure::ring(Call::Info, format!("look at ring {name}")))?
        .framing;
    let mut written = 0_u64;
    let put = |bytes: &[u8]| {
        let answer = match framing {
            Framing::Stream => (&ring).write_all(bytes),
            _ => ring.send(bytes),
        };
        answer.map_err(|error| {
            let what = match written {
                0 => format!("write to ring {name}"),
                _ => format!("go on writing to ring {name} after {written} writes"),
            };
            Failure::ring(Call::Write, what)(error)
        })?;
        written += 1;
        Ok(())
    };
    if !args.records.is_empty() {
        let records = args.records.iter().map(|record| record.as_bytes());
        arguments(records, !args.no_newline, put)
    } else if args.whole {
        whole(io::stdin().lock(), put)
    } else if framing == Framing::Stream && !args.no_newline {
        copy(io::stdin().lock(), put)
    } else {
        lines(io::stdin().lock(), !args.no_newline, put)
    }
}

/// Writes each argument, as `echo` does.
fn arguments<'a>(
    records: impl Iterator<Item = &'a [u8]>,
    newline: bool,
    mut put: impl FnMut(&[u8]) -> Outcome,
) -> Outcome {
    for record in records {
        let mut bytes = record.to_vec();
        if newline {
            bytes.push(b'\n');
        }
        if !bytes.is_empty() {
            put(&bytes)?;
        }
    }
    Ok(())
}

/// Writes each line.
fn lines(mut input: impl BufRead, newline: bool, mut put: impl FnMut(&[u8]) -> Outcome) -> Outcome {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).map_err(unreadable())? > 0 {
        let bytes = match line.strip_suffix(b"\n") {
            Some(bytes) if !newline => bytes,
            _ => &line,
        };
        if !bytes.is_empty() {
            put(bytes)?;
        }
        line.clear();
    }
    Ok(())
}

/// Writes all of it at once.
fn whole(mut input: impl Read, mut put: impl FnMut(&[u8]) -> Outcome) -> Outcome {
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(unreadable())?;
    if bytes.is_empty() {
        return Ok(());
    }
    put(&bytes)
}

/// Writes what comes when it comes.
fn copy(mut input: impl Read, mut put: impl FnMut(&[u8]) -> Outcome) -> Outcome {
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => put(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable()(error)),
        }
    }
}

fn unreadable() -> impl FnOnce(io::Error) -> Failure {
    Failure::other("read from stdin")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written when `write` is given something to write with.
    fn written(write: impl FnOnce(&mut dyn FnMut(&[u8]) -> Outcome) -> Outcome) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        write(&mut |record| {
            records.push(record.to_vec());
            Ok(())
        })
        .expect("nothing fails here");
        records
    }

    #[test]
    fn arguments_are_lines_unless_told_otherwise() {
        let records = [&b"a"[..], b"", b"c d"];
        let with = written(|put| arguments(records.into_iter(), true, put));
        assert_eq!(with, [&b"a\n"[..], b"\n", b"c d\n"]);
        let without = written(|put| arguments(records.into_iter(), false, put));
        assert_eq!(without, [&b"a"[..], b"c d"]);
    }

    #[test]
    fn each_line_is_a_record() {
        let input = &b"a\n\nlast"[..];
        let with = written(|put| lines(input, true, put));
        assert_eq!(with, [&b"a\n"[..], b"\n", b"last"]);
        let without = written(|put| lines(input, false, put));
        assert_eq!(without, [&b"a"[..], b"last"]);
    }

    #[test]
    fn the_whole_is_one_record() {
        assert_eq!(written(|put| whole(&b"a\nb"[..], put)), [b"a\nb"]);
        assert!(written(|put| whole(&b""[..], put)).is_empty());
    }

    #[test]
    fn a_stream_gets_the_bytes_as_they_are() {
        let input = vec![7; BUFFER + 1];
        let chunks = written(|put| copy(&input[..], put));
        assert_eq!(chunks.concat(), input);
    }

    #[test]
    fn the_first_failure_ends_it() {
        let mut tries = 0;
        let outcome = lines(&b"a\nb\nc\n"[..], true, |_| {
            tries += 1;
            Err(unreadable()(io::ErrorKind::Other.into()))
        });
        assert!(outcome.is_err());
        assert_eq!(tries, 1);
    }
}
