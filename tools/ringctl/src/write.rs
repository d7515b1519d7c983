// SPDX-License-Identifier: GPL-2.0

//! `ringctl write`: arguments or stdin, into a ring.

use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;

use ringdev::{Call, Framing, Ring, RingName};

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
    let info = ring
        .info()
        .map_err(Failure::ring(Call::Info, format!("look at ring {name}")))?;
    let mut target = Target::new(&ring, name, info.framing);
    write(args, io::stdin().lock(), &mut target)
}

/// Writes what `args` say, or `stdin`.
fn write(args: &Write, stdin: impl BufRead, target: &mut Target<'_>) -> Outcome {
    let newline = !args.no_newline;
    let is_stream = target.framing == Framing::Stream;
    let put = |bytes: &[u8]| target.put(bytes);
    if !args.records.is_empty() {
        let records = args.records.iter().map(|record| record.as_bytes());
        arguments(records, newline, put)
    } else if args.whole {
        whole(stdin, put)
    } else if is_stream && newline {
        copy(stdin, put)
    } else {
        lines(stdin, newline, put)
    }
}

/// A ring that is written to, and how far that has come.
struct Target<'a> {
    ring: &'a Ring,
    name: &'a RingName,
    framing: Framing,
    records: u64,
    /// Of a stream, which may take a part of what it is given.
    bytes: u64,
}

impl<'a> Target<'a> {
    fn new(ring: &'a Ring, name: &'a RingName, framing: Framing) -> Self {
        Self {
            ring,
            name,
            framing,
            records: 0,
            bytes: 0,
        }
    }

    /// Writes a record, or all these bytes.
    fn put(&mut self, bytes: &[u8]) -> Outcome {
        let answer = match self.framing {
            Framing::Stream => write_counting(self.ring, bytes, &mut self.bytes),
            _ => self.put_record(bytes),
        };
        answer.map_err(|error| Failure::ring(Call::Write, self.progress())(error))
    }

    fn put_record(&mut self, record: &[u8]) -> io::Result<()> {
        self.ring.send(record)?;
        self.records += 1;
        Ok(())
    }

    /// Says what it was doing, as the rest of "cannot ...".
    fn progress(&self) -> String {
        let name = self.name;
        match (self.records, self.bytes) {
            (0, 0) => format!("write to ring {name}"),
            (0, bytes) => format!("go on writing to ring {name} after {bytes} bytes"),
            (records, _) => format!("go on writing to ring {name} after {records} writes"),
        }
    }
}

/// Writes all these bytes, and adds to `written` how many were taken, also if not all are.
fn write_counting(mut ring: impl io::Write, mut bytes: &[u8], written: &mut u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match ring.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                *written += count as u64;
                bytes = &bytes[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    use std::io::BufReader;

    use clap::Parser;
    use rustix::pipe::{fcntl_getpipe_size, pipe};

    use super::*;
    use crate::args::{Args, Command};

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
    fn a_signal_does_not_end_stdin() {
        let input = || Interrupted::new(&["on", "e\ntw", "o\n"]);
        let copied = written(|put| copy(input(), put));
        assert_eq!(copied, [&b"on"[..], b"e\ntw", b"o\n"]);
        let lines = written(|put| lines(BufReader::new(input()), true, put));
        assert_eq!(lines, [b"one\n", b"two\n"]);
        assert_eq!(written(|put| whole(input(), put)), [b"one\ntwo\n"]);
    }

    /// An input whose every second read is interrupted, as by a signal.
    struct Interrupted {
        pieces: Vec<&'static str>,
        interrupted: bool,
    }

    impl Interrupted {
        fn new(pieces: &[&'static str]) -> Self {
            Self {
                pieces: pieces.to_vec(),
                interrupted: false,
            }
        }
    }

    impl Read for Interrupted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.pieces.is_empty() {
                return Ok(0);
            }
            let piece = self.pieces.remove(0).as_bytes();
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn stdin_that_cannot_be_read_is_a_failure() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                const EIO: i32 = 5;
                Err(io::Error::from_raw_os_error(EIO))
            }
        }
        let said = "cannot read from stdin: Input/output error (os error 5)";
        let nothing = |_: &[u8]| panic!("there is nothing to write");
        for outcome in [
            copy(Broken, nothing),
            lines(BufReader::new(Broken), true, nothing),
            whole(Broken, nothing),
        ] {
            assert_eq!(outcome.expect_err("a failure").to_string(), said);
        }
    }

    fn name() -> RingName {
        "log".parse().expect("a name")
    }

    /// The two ends of a pipe, which is as good as a ring here.
    fn ends() -> (Ring, Ring) {
        let (reader, writer) = pipe().expect("a pipe");
        (Ring::from(reader), Ring::from(writer))
    }

    fn read(mut reader: &Ring) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        let count = reader.read(&mut bytes).expect("a read");
        bytes.truncate(count);
        bytes
    }

    /// What `ringctl write` with these options puts into a ring, where the writes are not told
    /// apart.
    fn put(options: &str, stdin: &str, framing: Framing) -> Vec<u8> {
        let line = format!("ringctl write log {options}");
        let args = Args::try_parse_from(line.split_whitespace()).expect("a command line");
        let Command::Write(args) = args.command else {
            panic!("it is another command");
        };
        let (reader, writer) = ends();
        let name = name();
        let mut target = Target::new(&writer, &name, framing);
        write(&args, stdin.as_bytes(), &mut target).expect("there is room");
        drop(writer);
        read(&reader)
    }

    #[test]
    fn what_is_written_is_as_the_options_say() {
        for framing in [Framing::Stream, Framing::Record] {
            assert_eq!(put("a b", "stdin", framing), b"a\nb\n");
            assert_eq!(put("-n a b", "stdin", framing), b"ab");
            assert_eq!(put("--whole", "a\nb", framing), b"a\nb");
            assert_eq!(put("-n", "a\n\nb\n", framing), b"ab");
            assert_eq!(put("", "a\n\nb", framing), b"a\n\nb");
        }
    }

    #[test]
    fn only_a_stream_is_written_as_stdin_comes() {
        let name = name();
        let (_reader, writer) = ends();
        let args = Args::try_parse_from(["ringctl", "write", "log"]).expect("a command line");
        let Command::Write(args) = args.command else {
            panic!("it is another command");
        };
        for (framing, records, bytes) in [(Framing::Stream, 0, 8), (Framing::Record, 3, 0)] {
            let mut target = Target::new(&writer, &name, framing);
            write(&args, &b"a\nbb\nccc"[..], &mut target).expect("there is room");
            assert_eq!((target.records, target.bytes), (records, bytes));
        }
    }

    /// A stream that takes what these answers say.
    struct Slow {
        answers: Vec<io::Result<usize>>,
        there: Vec<u8>,
    }

    impl io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.answers.remove(0)?;
            self.there.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_takes_a_part_is_given_the_rest() {
        let interrupted = || Err(io::ErrorKind::Interrupted.into());
        let answers = vec![Ok(2), interrupted(), Ok(3), Ok(1)];
        let there = Vec::new();
        let mut stream = Slow { answers, there };
        let mut written = 10;
        write_counting(&mut stream, b"abcdef", &mut written).expect("all of it");
        assert_eq!((stream.there, written), (b"abcdef".to_vec(), 16));

        // It stands still, and then would wait.
        for (last, kind) in [
            (Ok(0), io::ErrorKind::WriteZero),
            (
                Err(io::ErrorKind::WouldBlock.into()),
                io::ErrorKind::WouldBlock,
            ),
        ] {
            let (answers, there) = (vec![Ok(4), last], Vec::new());
            let mut stream = Slow { answers, there };
            let mut written = 10;
            let answer = write_counting(&mut stream, b"abcdef", &mut written);
            assert_eq!(answer.expect_err("a part").kind(), kind);
            assert_eq!((stream.there, written), (b"abcd".to_vec(), 14));
        }
    }

    #[test]
    fn what_a_full_stream_has_taken_is_told() {
        let (reader, writer) = ends();
        let size = fcntl_getpipe_size(&writer).expect("a pipe");
        writer.set_nonblocking(true).expect("a flag");
        let name = name();
        let mut target = Target::new(&writer, &name, Framing::Stream);
        target.put(b"12345").expect("there is room");
        let failure = target.put(&vec![0; size]).expect_err("it does not fit");
        let taken = read(&reader).len();
        assert!(taken > 5, "{taken}");
        let said = failure.to_string();
        let expected = format!("cannot go on writing to ring log after {taken} bytes: the ring is");
        assert!(said.starts_with(&expected), "{said}");
        // Of another target nothing was taken.
        while target.put(&[0; 1]).is_ok() {}
        let mut target = Target::new(&writer, &name, Framing::Stream);
        let said = target.put(b"x").expect_err("it is full").to_string();
        let expected = "cannot write to ring log: the ring is full; read from it, or let";
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn how_many_records_were_taken_is_told() {
        let (reader, writer) = ends();
        let name = name();
        let mut target = Target::new(&writer, &name, Framing::Record);
        target.put(b"1").expect("there is room");
        target.put(b"22").expect("there is room");
        drop(reader);
        let said = target.put(b"333").expect_err("nobody reads").to_string();
        let expected = "cannot go on writing to ring log after 2 writes: nobody has the ring open";
        assert!(said.starts_with(expected), "{said}");
        let mut target = Target::new(&writer, &name, Framing::Record);
        let said = target.put(b"1").expect_err("nobody reads").to_string();
        assert!(
            said.starts_with("cannot write to ring log: nobody"),
            "{said}"
        );
    }

    #[test]
    fn a_record_that_is_taken_in_part_is_a_failure() {
        let (_reader, writer) = ends();
        writer.set_nonblocking(true).expect("a flag");
        let name = name();
        let mut target = Target::new(&writer, &name, Framing::Record);
        let failure = target.put(&[0; 1 << 20]).expect_err("a part");
        assert!(failure.to_string().contains("took a part"), "{failure}");
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
