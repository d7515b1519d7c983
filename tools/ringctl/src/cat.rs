// SPDX-License-Identifier: GPL-2.0

//! `ringctl cat`: what is in a ring, on stdout.

use std::io::{self, Write};
use std::os::fd::AsFd;

use ringdev::{Call, Record, Records, Ring, RingName};
use rustix::event::PollFlags;

use crate::args::Cat;
use crate::failure::{Failure, Outcome};
use crate::json::{self, JsonRecord};
use crate::output::Output;
use crate::signals::Held;
use crate::wait;

/// How many bytes of a stream are read at once, and how long a record is read with one try.
const BUFFER: usize = 64 << 10;

pub(crate) fn run(args: &Cat) -> Outcome {
    let name = &args.ring;
    let ring = Ring::options()
        .read(true)
        // Also to follow it: it waits by poll(2), where a signal finds nothing half done.
        .nonblocking(true)
        .open(name)
        .map_err(Failure::ring(Call::Open, format!("open ring {name}")))?;
    let mut output = Output::new();
    if let Some(text) = text_of(args) {
        let what = format!("read headers from ring {name}");
        let records = ring.records().map_err(Failure::ring(Call::Records, what))?;
        let mut source = WithHeaders { records, text };
        drain(&mut source, name, args.follow, &mut output)
    } else {
        let buffer = Vec::with_capacity(BUFFER);
        drain(&mut AsItIs { ring, buffer }, name, args.follow, &mut output)
    }
}

/// Makes the text of a record.
type Text = fn(Record<'_>) -> Vec<u8>;

/// Returns what makes the text of a record, if it is not shown as it is.
fn text_of(args: &Cat) -> Option<Text> {
    match (args.json, args.headers) {
        (true, _) => Some(as_json),
        (false, true) => Some(with_header),
        (false, false) => None,
    }
}

/// What `cat` reads from.
trait Source {
    /// Reads once, and calls `put` with all that it has taken from the ring. Says whether there was
    /// anything; there is nothing at the end of file.
    fn take(&mut self, put: impl FnMut(&[u8]) -> Outcome) -> io::Result<Outcome<bool>>;

    fn ring(&self) -> &Ring;
}

/// A ring whose bytes or records are written as they are, with one read at a time.
struct AsItIs {
    ring: Ring,
    buffer: Vec<u8>,
}

impl Source for AsItIs {
    fn take(&mut self, mut put: impl FnMut(&[u8]) -> Outcome) -> io::Result<Outcome<bool>> {
        if !self.ring.receive(&mut self.buffer)? {
            return Ok(Ok(false));
        }
        Ok(put(&self.buffer).map(|()| true))
    }

    fn ring(&self) -> &Ring {
        &self.ring
    }
}

/// A ring whose records are written as `text` makes them. One read takes many.
struct WithHeaders {
    records: Records,
    text: Text,
}

impl Source for WithHeaders {
    fn take(&mut self, mut put: impl FnMut(&[u8]) -> Outcome) -> io::Result<Outcome<bool>> {
        let mut next = self.records.next_record()?;
        let any = next.is_some();
        while let Some(record) = next {
            if let Err(failure) = put(&(self.text)(record)) {
                return Ok(Err(failure));
            }
            next = self.records.next_taken()?;
        }
        Ok(Ok(any))
    }

    fn ring(&self) -> &Ring {
        self.records.ring()
    }
}

/// Writes what is in the ring until it is empty, or with `follow` until its end.
///
/// What was taken from the ring is written before anything else happens: before more is taken,
/// before it waits, and before a signal ends it.
fn drain<W: Write + AsFd>(
    source: &mut impl Source,
    name: &RingName,
    follow: bool,
    output: &mut Output<W>,
) -> Outcome {
    let failure = || Failure::ring(Call::Read, format!("read from ring {name}"));
    loop {
        output.check_reader()?;
        let held = Held::new().map_err(Failure::other("hold signals back"))?;
        let answer = source.take(|bytes| output.write(bytes));
        output.flush()?;
        drop(held);
        match answer {
            Ok(taken) => {
                if !taken? {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !follow {
                    return Ok(());
                }
                let ring = (source.ring().as_fd(), PollFlags::IN);
                let reader = output.pipe().map(|pipe| (pipe, PollFlags::empty()));
                let files: Vec<_> = [Some(ring), reader].into_iter().flatten().collect();
                wait::until(&files).map_err(failure())?;
            }
            Err(error) => return Err(failure()(error)),
        }
    }
}

fn as_json(record: Record<'_>) -> Vec<u8> {
    json::line(&JsonRecord::from(record)).into()
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
    use std::fs::File;
    use std::io::{Read, Seek};
    use std::os::fd::{BorrowedFd, OwnedFd};
    use std::thread;
    use std::time::Duration;

    use clap::Parser;
    use nix::sys::signal::{SigSet, Signal};
    use rustix::event::{PollFd, Timespec, poll};
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::pipe::{fcntl_setpipe_size, pipe};

    use super::*;
    use crate::args::{Args, Command};

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
    fn a_record_as_json_is_a_line() {
        let record = Record {
            sequence: 9,
            timestamp: Duration::from_nanos(8),
            lost: 2,
            payload: b"hello\n",
        };
        let line = r#"{"sequence":9,"timestamp_ns":8,"lost":2,"payload":"hello\n"}"#;
        assert_eq!(as_json(record), format!("{line}\n").into_bytes());
    }

    #[test]
    fn records_are_shown_as_the_options_say() {
        let record = Record {
            sequence: 9,
            timestamp: Duration::from_nanos(8),
            lost: 0,
            payload: b"hello",
        };
        for (options, begins_with) in [
            ("", None),
            ("--follow", None),
            ("--headers", Some("[    0.000000] #9")),
            ("--json --follow", Some("{")),
        ] {
            let line = format!("ringctl cat {options}");
            let args = Args::try_parse_from(line.split_whitespace()).expect("a command line");
            let Command::Cat(args) = args.command else {
                panic!("it is another command");
            };
            let text = text_of(&args).map(|text| text(record));
            assert_eq!(text.is_some(), begins_with.is_some(), "{options}");
            let (text, begin) = (text.unwrap_or_default(), begins_with.unwrap_or_default());
            assert!(text.starts_with(begin.as_bytes()), "{options}");
        }
    }

    fn name() -> RingName {
        "log".parse().expect("a name")
    }

    /// A pipe, which is as good as a ring here: its end for writing, and `cat`'s source.
    fn made_up() -> (File, AsItIs) {
        let (reader, writer) = pipe().expect("a pipe");
        let ring = Ring::from(reader);
        ring.set_nonblocking(true).expect("a flag");
        let buffer = Vec::with_capacity(BUFFER);
        (File::from(writer), AsItIs { ring, buffer })
    }

    /// A pipe in place of stdout, and who reads it.
    fn stdout() -> (File, Output<File>) {
        let (reader, writer) = pipe().expect("a pipe");
        (File::from(reader), Output::to(File::from(writer)))
    }

    fn read(file: &mut File) -> Vec<u8> {
        let mut polled = [PollFd::new(file, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        assert_eq!(poll(&mut polled, Some(&patience)), Ok(1), "nothing comes");
        let mut there = vec![0; 2 * BUFFER];
        let count = file.read(&mut there).expect("a read");
        there.truncate(count);
        there
    }

    #[test]
    fn an_empty_ring_is_the_end_and_no_failure() {
        let ((mut ring, mut source), (mut shown, mut output)) = (made_up(), stdout());
        drain(&mut source, &name(), false, &mut output).expect("nothing fails here");
        ring.write_all(b"one").expect("there is room");
        drain(&mut source, &name(), false, &mut output).expect("nothing fails here");
        ring.write_all(&[7; BUFFER]).expect("there is room");
        // It was written before the buffer is dropped.
        assert_eq!(read(&mut shown), b"one");
    }

    #[test]
    fn all_that_is_there_is_written_however_much_it_is() {
        let (mut ring, mut source) = made_up();
        fcntl_setpipe_size(&ring, 4 * BUFFER).expect("a larger pipe");
        let bytes: Vec<u8> = (0..2 * BUFFER + 1).map(|n| (n % 251) as u8).collect();
        ring.write_all(&bytes).expect("there is room");
        let file = memfd_create("shown", MemfdFlags::CLOEXEC).expect("a file");
        let mut shown = File::from(file.try_clone().expect("a duplicate"));
        let mut output = Output::to(File::from(file));
        drain(&mut source, &name(), false, &mut output).expect("nothing fails here");
        shown.rewind().expect("a file");
        let mut there = Vec::new();
        shown.read_to_end(&mut there).expect("a read");
        assert!(there == bytes);
    }

    #[test]
    fn what_follows_is_shown_when_it_comes() {
        let ((mut ring, mut source), (mut shown, mut output)) = (made_up(), stdout());
        thread::scope(move |threads| {
            let following = threads.spawn(move || drain(&mut source, &name(), true, &mut output));
            for line in [&b"one\n"[..], b"two\n", b"three\n"] {
                ring.write_all(line).expect("there is room");
                assert_eq!(read(&mut shown), line);
            }
            // The end of file.
            drop(ring);
            following.join().expect("no panic").expect("it ends well");
            assert_eq!(read(&mut shown), b"");
        });
    }

    #[test]
    fn what_nobody_would_see_stays_in_the_ring() {
        for follow in [false, true] {
            let ((mut ring, mut source), (shown, mut output)) = (made_up(), stdout());
            ring.write_all(b"kept").expect("there is room");
            drop(shown);
            match drain(&mut source, &name(), follow, &mut output) {
                Err(Failure::Output(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                }
                other => panic!("{other:?}"),
            }
            let mut there = Vec::new();
            assert!(source.ring.receive(&mut there).expect("a read"));
            assert_eq!(there, b"kept");
        }
    }

    #[test]
    fn who_follows_an_idle_ring_learns_that_nobody_reads_any_more() {
        let ((ring, mut source), (shown, mut output)) = (made_up(), stdout());
        thread::scope(move |threads| {
            let following = threads.spawn(move || drain(&mut source, &name(), true, &mut output));
            thread::sleep(Duration::from_millis(20));
            drop(shown);
            let outcome = following.join().expect("no panic");
            assert!(matches!(outcome, Err(Failure::Output(_))), "{outcome:?}");
            drop(ring);
        });
    }

    #[test]
    fn what_was_taken_and_cannot_be_written_is_a_failure() {
        let (mut ring, mut source) = made_up();
        ring.write_all(b"x").expect("there is room");
        let full = File::options().write(true).open("/dev/full");
        let mut output = Output::to(full.expect("a device that is full"));
        let failure = drain(&mut source, &name(), false, &mut output).expect_err("it is full");
        assert!(
            failure
                .to_string()
                .starts_with("cannot write to stdout: No space"),
            "{failure}"
        );
    }

    fn held_back() -> bool {
        let mask = SigSet::thread_get_mask().expect("the thread has one");
        mask.contains(Signal::SIGTERM)
    }

    /// An output that is written only while signals are held back.
    struct HeldBack(File);

    impl Write for HeldBack {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(held_back(), "a signal would lose data");
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    impl AsFd for HeldBack {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    /// A source whose reads are made up, and are made only while signals are held back.
    struct Script {
        ring: Ring,
        reads: Vec<io::Result<&'static [&'static [u8]]>>,
    }

    impl Source for Script {
        fn take(&mut self, mut put: impl FnMut(&[u8]) -> Outcome) -> io::Result<Outcome<bool>> {
            assert!(held_back(), "a signal would lose data");
            let taken = self.reads.remove(0)?;
            for piece in taken {
                if let Err(failure) = put(piece) {
                    return Ok(Err(failure));
                }
            }
            Ok(Ok(!taken.is_empty()))
        }

        fn ring(&self) -> &Ring {
            assert!(!held_back(), "a signal could not end it");
            &self.ring
        }
    }

    fn script(reads: Vec<io::Result<&'static [&'static [u8]]>>) -> Script {
        // It is always readable.
        let null = File::open("/dev/null").expect("a device");
        let ring = Ring::from(OwnedFd::from(null));
        Script { ring, reads }
    }

    #[test]
    fn signals_and_empty_rings_interrupt_nothing() {
        let (reader, writer) = pipe().expect("a pipe");
        let mut output = Output::to(HeldBack(File::from(writer)));
        let mut source = script(vec![
            Ok(&[b"one ", b"two "]),
            Err(io::ErrorKind::Interrupted.into()),
            Err(io::ErrorKind::WouldBlock.into()),
            Ok(&[b"three"]),
            Ok(&[]),
        ]);
        drain(&mut source, &name(), true, &mut output).expect("nothing fails here");
        assert!(source.reads.is_empty());
        assert!(!held_back());
        assert_eq!(read(&mut File::from(reader)), b"one two three");
    }

    #[test]
    fn an_evicted_reader_is_told_so_behind_what_it_has_read() {
        const ESHUTDOWN: i32 = 108;
        let (mut shown, mut output) = stdout();
        let evicted = io::Error::from_raw_os_error(ESHUTDOWN);
        let mut source = script(vec![Ok(&[b"before"]), Err(evicted)]);
        let failure = drain(&mut source, &name(), true, &mut output).expect_err("a failure");
        assert_eq!(
            failure.to_string(),
            "cannot read from ring log: the reader was evicted because others waited for it; open \
             the ring again [Cannot send after transport endpoint shutdown (os error 108)]"
        );
        assert_eq!(read(&mut shown), b"before");
    }
}
