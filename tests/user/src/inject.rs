// SPDX-License-Identifier: GPL-2.0

//! Failures on demand: every allocation and every copy that a system call makes fails once.
//!
//! Writing N to a thread's `fail-nth` makes the N-th of its failure points fail. So N is
//! counted up from 1 until the call gets by without reaching its N-th point.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::kmod::init_module;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::stat::Mode;

use crate::abi;
use crate::control::{Kind, RECORD, Ring, STREAM, control};
use crate::endpoint::{Endpoint, open_ring};
use crate::harness::{Test, note, test};
use crate::leaks;
use crate::memory::{PAGE, Pages};
use crate::module::{self, NODE};
use crate::stream::{assert_pattern, pattern};

pub const TESTS: &[Test] = &[
    test!(inject_each_failure_of_a_load)
        .needs(can_inject)
        .injects()
        .seconds(120),
    test!(inject_each_failure_of_an_open)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_write)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_read)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_writev)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_readv)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_fionread)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_an_epoll_add)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_o_async)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_an_open_of_every_kind)
        .needs(can_inject)
        .injects()
        .seconds(60),
    test!(inject_each_failure_of_a_writer_that_ends_no_session)
        .needs(can_inject)
        .injects()
        .seconds(60),
    test!(inject_no_memory_for_an_endpoint_is_enomem)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_create)
        .needs(can_inject)
        .injects()
        .seconds(60),
    test!(inject_each_failure_of_a_destroy)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_resize)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_clear)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_an_evict)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_listing)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_question)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_setting)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_record)
        .needs(can_inject)
        .injects(),
    test!(inject_each_failure_of_a_batch)
        .needs(can_inject)
        .injects(),
    // Last: scanning takes as long as all the others.
    test!(inject_has_left_no_leak).needs(can_inject).seconds(60),
];

const FAIL_NTH: &str = "/proc/thread-self/fail-nth";
const DEBUGFS: &str = "/sys/kernel/debug";

fn can_inject() -> Result<(), &'static str> {
    if Path::new(FAIL_NTH).exists() && Path::new(DEBUGFS).join("failslab").exists() {
        leaks::can_be_found()
    } else {
        Err("the kernel has no fault injection")
    }
}

/// Lets allocations that may sleep fail too, of any size, and without a word in the log.
fn prepare() {
    let set = |file: &str, value: &str| {
        let path = Path::new(DEBUGFS).join(file);
        fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    };
    for kind in ["failslab", "fail_page_alloc", "fail_usercopy"] {
        set(&format!("{kind}/verbose"), "0");
    }
    set("failslab/ignore-gfp-wait", "N");
    set("fail_page_alloc/ignore-gfp-wait", "N");
    set("fail_page_alloc/ignore-gfp-highmem", "N");
    set("fail_page_alloc/min-order", "0");
}

/// The calling thread's `fail-nth`, kept open: opening it would meet failure points too.
struct FailNth(File);

impl FailNth {
    fn open() -> Self {
        let file = File::options().read(true).write(true).open(FAIL_NTH);
        Self(file.expect("open fail-nth"))
    }

    fn set(&self, nth: u32) {
        let text = nth.to_string();
        let written = self.0.write_at(text.as_bytes(), 0).expect("set fail-nth");
        assert_eq!(written, text.len());
    }

    /// Ends the injection. True if no failure had been injected.
    fn end(&self) -> bool {
        let mut text = [0; 16];
        // Reading is a system call with a failure point of its own. If that is the one that
        // fails, the call before it had none.
        let unused = match self.0.read_at(&mut text, 0) {
            Ok(_) => text[0] != b'0',
            Err(error) => error.raw_os_error() == Some(libc::EFAULT),
        };
        // So is writing, but a failure happens only once.
        if self.0.write_at(b"0", 0).is_err() {
            self.set(0);
        }
        unused
    }
}

/// Runs `call` with its first failure point failing, then its second, and so on, until it
/// does not get as far as that. `check` sees each answer.
fn each_failure<T>(
    mut call: impl FnMut() -> nix::Result<T>,
    mut check: impl FnMut(nix::Result<T>),
) {
    prepare();
    let fail = FailNth::open();
    // Once without: the code and the memory it uses are present after that, so that no page
    // fault of our own is among the failure points.
    check(call());
    let (mut refused, mut absorbed) = (0, 0);
    for nth in 1.. {
        fail.set(nth);
        let answer = call();
        let unused = fail.end();
        if unused {
            assert!(answer.is_ok(), "it failed without a failure injected");
            check(answer);
            break;
        }
        match answer {
            Ok(_) => absorbed += 1,
            Err(_) => refused += 1,
        }
        check(answer);
    }
    note!("{refused} failures refused the call, {absorbed} did not");
}

fn inject_each_failure_of_a_load() {
    // From memory, as reading a file has many failure points that are not the module's.
    let image = fs::read(module::FILE).expect("read the module's file");
    module::unload().expect("unload");
    each_failure(
        || init_module(&image, c""),
        |answer| match answer {
            Ok(()) => module::unload().expect("unload"),
            Err(error) => {
                // EFAULT is for the copy of the parameters.
                assert!(matches!(error, Errno::ENOMEM | Errno::EFAULT), "{error}");
                assert!(!module::is_loaded());
                assert!(!Path::new(NODE).exists());
            }
        },
    );
    module::load("").expect("load after all that");
    Endpoint::both().put(b"works");
}

fn inject_each_failure_of_an_open() {
    each_failure(
        || open_ring(OFlag::O_RDWR),
        |answer| {
            match answer {
                Ok(endpoint) => drop(endpoint),
                Err(error) => {
                    assert!(matches!(error, Errno::ENOMEM | Errno::EFAULT), "{error}");
                }
            }
            assert_eq!(module::references(), 0);
        },
    );
}

/// How much the failing transfers move: more than a page, and than a copy's inner loop.
const SIZE: usize = 2 * PAGE + 100;

fn check_write(call: impl Fn(Endpoint, Pages) -> nix::Result<usize>) {
    let ring = Endpoint::both();
    let pages = Pages::map(3);
    pages.put(0, &pattern(0, SIZE));
    each_failure(
        || call(ring, pages),
        |answer| {
            // No more and no less than the call says.
            let bytes = ring.drain();
            match answer {
                Ok(count) => assert_eq!(bytes.len(), count),
                Err(error) => {
                    assert!(matches!(error, Errno::EFAULT | Errno::ENOMEM), "{error}");
                    assert!(bytes.is_empty());
                }
            }
            assert_pattern(&bytes, 0);
        },
    );
}

fn inject_each_failure_of_a_write() {
    check_write(|ring, pages| ring.write_from(pages.span(0, SIZE)));
}

fn inject_each_failure_of_a_writev() {
    check_write(|ring, pages| ring.writev_from(&[pages.span(0, 50), pages.span(50, SIZE - 50)]));
}

fn check_read(call: impl Fn(Endpoint, Pages) -> nix::Result<usize>) {
    let ring = Endpoint::both();
    let pages = Pages::map(3);
    // More than is asked for, so that there is always a rest.
    ring.put(&pattern(0, 2 * SIZE));
    each_failure(
        || {
            let answer = call(ring, pages);
            answer.map(|count| pages.get(0, count))
        },
        |answer| {
            let taken = match answer {
                Ok(bytes) => bytes,
                Err(error) => {
                    assert!(matches!(error, Errno::EFAULT | Errno::ENOMEM), "{error}");
                    Vec::new()
                }
            };
            assert_pattern(&taken, 0);
            let rest = ring.drain();
            assert_eq!(taken.len() + rest.len(), 2 * SIZE);
            assert_pattern(&rest, taken.len() as u64);
            ring.put(&pattern(0, 2 * SIZE));
        },
    );
}

fn inject_each_failure_of_a_read() {
    check_read(|ring, pages| ring.read_to(pages.span(0, SIZE)));
}

fn inject_each_failure_of_a_readv() {
    check_read(|ring, pages| ring.readv_to(&[pages.span(0, 50), pages.span(50, SIZE - 50)]));
}

fn inject_each_failure_of_fionread() {
    let ring = Endpoint::both();
    ring.put(b"four");
    each_failure(
        || ring.try_available(),
        |answer| assert!(matches!(answer, Ok(4) | Err(Errno::EFAULT)), "{answer:?}"),
    );
}

fn inject_each_failure_of_an_epoll_add() {
    let ring = Endpoint::both();
    let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    let edge = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
    each_failure(
        || set.add(ring, edge),
        |answer| match answer {
            Ok(()) => set.delete(ring).expect("delete"),
            Err(error) => {
                assert!(matches!(error, Errno::ENOMEM | Errno::EFAULT), "{error}");
                // It is not half in.
                assert_eq!(set.delete(ring), Err(Errno::ENOENT));
            }
        },
    );
}

fn inject_each_failure_of_o_async() {
    let ring = Endpoint::both();
    let plain = ring.flags();
    each_failure(
        || fcntl(ring, FcntlArg::F_SETFL(plain | OFlag::O_ASYNC)),
        |answer| {
            let on = ring.flags().contains(OFlag::O_ASYNC);
            match answer {
                Ok(_) => assert!(on),
                Err(error) => {
                    assert_eq!(error, Errno::ENOMEM);
                    assert!(!on);
                }
            }
            fcntl(ring, FcntlArg::F_SETFL(plain)).expect("F_SETFL");
        },
    );
}

/// What a call may be refused with when something in it has failed.
fn assert_injected(error: Errno) {
    assert!(matches!(error, Errno::ENOMEM | Errno::EFAULT), "{error}");
}

fn inject_each_failure_of_an_open_of_every_kind() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        for flags in [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR] {
            each_failure(
                || ring.try_open(flags),
                |answer| {
                    answer.map(drop).unwrap_or_else(assert_injected);
                    let info = ring.info();
                    assert_eq!((info.readers, info.writers), (0, 0), "{kind}");
                    assert_eq!(ring.cursors().len(), usize::from(!kind.is_broadcast()));
                },
            );
        }
        assert_eq!(module::references(), 0);
        ring.destroy();
    }
}

/// Readers see no end because of a writer that could not be opened.
fn inject_each_failure_of_a_writer_that_ends_no_session() {
    for kind in Kind::all().filter(|kind| kind.hangup) {
        let ring = Ring::small(kind);
        let nonblocking = || {
            let reader = ring.reader();
            reader.set_nonblocking(true);
            reader
        };
        let mut reader = nonblocking();
        each_failure(
            || ring.try_open(OFlag::O_RDWR),
            |answer| match answer {
                Ok(writer) => {
                    drop(writer);
                    assert_eq!(reader.take(1), Ok(Vec::new()), "{kind}");
                    reader = nonblocking();
                }
                Err(error) => {
                    assert_injected(error);
                    assert_eq!(reader.take(1), Err(Errno::EAGAIN), "{kind}");
                }
            },
        );
    }
}

/// How many of the failures of a call refuse it with this.
fn times_refused<T>(with: Errno, call: impl FnMut() -> nix::Result<T>) -> u32 {
    let mut times = 0;
    each_failure(call, |answer| {
        times += u32::from(answer.is_err_and(|error| error == with));
    });
    times
}

// errno: open ENOMEM
fn inject_no_memory_for_an_endpoint_is_enomem() {
    let ring = Ring::small(RECORD.broadcast());
    // The name and the file are memory whatever is opened. Here the endpoint and its cursor are,
    // too.
    let null = || open("/dev/null", OFlag::O_RDONLY, Mode::empty());
    let others = times_refused(Errno::ENOMEM, null);
    let ours = times_refused(Errno::ENOMEM, || ring.try_open(OFlag::O_RDONLY));
    note!("without memory {ours} times, {others} times of another file");
    assert!(ours > others);
}

fn inject_each_failure_of_a_create() {
    let control = control();
    for kind in [STREAM, RECORD.overwriting(), RECORD.broadcast()] {
        let exists = || fs::exists("/dev/ring/made").expect("stat the node");
        each_failure(
            || control.create(kind.request("made", 1 << 16)),
            |answer| match answer {
                Ok(()) => {
                    assert!(exists());
                    control.destroy("made").expect("destroy");
                    assert!(!exists());
                }
                // Nothing is half made: neither the node, nor the name, nor what it would cost.
                Err(error) => {
                    assert_injected(error);
                    assert!(!exists());
                    assert!(!fs::exists("/sys/class/ring/made").expect("stat the device"));
                    assert_eq!(control.destroy("made"), Err(Errno::ENOENT));
                    assert_eq!(control.rings().len(), 1);
                }
            },
        );
    }
}

fn inject_each_failure_of_a_destroy() {
    let control = control();
    let make = || Ring::named("doomed", RECORD.broadcast(), 4096);
    let mut ring = make();
    each_failure(
        || control.destroy("doomed"),
        |answer| match answer {
            Ok(()) => {
                assert!(!fs::exists(ring.path()).expect("stat the node"));
                ring = make();
            }
            // It is all there, or all gone.
            Err(error) => {
                assert_injected(error);
                ring.both().put(b"works");
            }
        },
    );
}

fn inject_each_failure_of_a_resize() {
    let control = control();
    for kind in [STREAM, RECORD.broadcast(), RECORD.dropping()] {
        let ring = Ring::named("changed", kind, 1 << 14);
        let (reader, writer) = (ring.reader(), ring.writer());
        let mut message = 0;
        writer.put(&pattern(message, 3000));
        each_failure(
            || control.resize("changed", 1 << 15),
            |answer| {
                let capacity = if answer.is_ok() { 1 << 15 } else { 1 << 14 };
                answer.unwrap_or_else(assert_injected);
                assert_eq!(ring.info().capacity, capacity);
                // What is in it stays, and it works on.
                assert_eq!(reader.take(4000), Ok(pattern(message, 3000)), "{kind}");
                message += 1;
                writer.put(&pattern(message, 3000));
                ring.resize(1 << 14).expect("take it back");
            },
        );
        ring.destroy();
    }
}

fn inject_each_failure_of_a_clear() {
    let control = control();
    let ring = Ring::named("cleared", RECORD.broadcast(), 4096);
    let both = ring.both();
    both.put(b"there");
    each_failure(
        || control.clear("cleared"),
        |answer| match answer {
            Ok(()) => {
                assert_eq!(both.available(), 0);
                both.put(b"there");
            }
            Err(error) => {
                assert_injected(error);
                assert_eq!(both.available(), 5);
            }
        },
    );
}

fn inject_each_failure_of_an_evict() {
    let control = control();
    let ring = Ring::named("parted", RECORD.broadcast(), 4096);
    let reader = Cell::new(ring.reader());
    let id = Cell::new(reader.get().cursor().id);
    each_failure(
        || control.evict("parted", id.get()),
        |answer| match answer {
            Ok(()) => {
                assert_eq!(reader.get().take(10), Err(Errno::ESHUTDOWN));
                reader.set(ring.reader());
                id.set(reader.get().cursor().id);
            }
            Err(error) => {
                assert_injected(error);
                assert_eq!(reader.get().cursor().id, id.get());
                assert_eq!(
                    ring.cursors().last().map(|cursor| cursor.id),
                    Some(id.get())
                );
            }
        },
    );
}

fn inject_each_failure_of_a_listing() {
    let control = control();
    let ring = Ring::named("listed", RECORD.broadcast(), 4096);
    let _reader = ring.reader();
    let (info, cursor) = (ring.info(), ring.cursors()[0]);
    each_failure(
        || control.next(info.id),
        |answer| {
            assert_eq!(
                answer
                    .inspect_err(|error| assert_injected(*error))
                    .unwrap_or(info),
                info
            )
        },
    );
    each_failure(
        || control.next_cursor("listed", cursor.id),
        |answer| {
            let answer = answer.inspect_err(|error| assert_injected(*error));
            assert_eq!(answer.unwrap_or(cursor), cursor);
        },
    );
}

fn inject_each_failure_of_a_question() {
    let ring = Ring::small(RECORD.broadcast());
    let both = ring.both();
    both.put(b"there");
    let (info, cursor) = (both.info(), both.cursor());
    each_failure(
        || {
            let mut asked = abi::Info::default();
            abi::call(both, abi::INFO, &mut asked).map(|()| asked)
        },
        |answer| {
            let answer = answer.inspect_err(|error| assert_injected(*error));
            assert_eq!(answer.unwrap_or(info), info);
        },
    );
    each_failure(
        || both.try_cursor(),
        |answer| {
            let answer = answer.inspect_err(|error| assert_injected(*error));
            assert_eq!(answer.unwrap_or(cursor), cursor);
        },
    );
}

fn inject_each_failure_of_a_setting() {
    let ring = Ring::small(RECORD);
    let both = ring.both();
    each_failure(
        || both.set_watermark(1000, Duration::from_secs(1)),
        |answer| {
            let bytes = if answer.is_ok() { 1000 } else { 0 };
            answer.unwrap_or_else(assert_injected);
            assert_eq!(both.cursor().watermark, bytes);
            both.set_watermark(0, Duration::ZERO).expect("take it back");
        },
    );
    each_failure(
        || both.try_set_headers(true),
        |answer| {
            let length = if answer.is_ok() {
                abi::Header::SIZE + 1
            } else {
                1
            };
            answer.unwrap_or_else(assert_injected);
            both.put(b"x");
            assert_eq!(both.take(100).map(|bytes| bytes.len()), Ok(length));
            both.set_headers(false);
        },
    );
}

/// Of a record that fails nothing goes in, nothing comes out, and nothing is given up for it.
fn inject_each_failure_of_a_record() {
    for kind in Kind::all().filter(|kind| !kind.is_stream() && !kind.hangup) {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let pages = Pages::map(2);
        // Across two pages, so that it is copied in two pieces.
        pages.put(PAGE - 500, &pattern(0, 1000));
        let mut before = writer.info();
        each_failure(
            || writer.write_from(pages.span(PAGE - 500, 1000)),
            |answer| {
                match answer {
                    Ok(count) => {
                        assert_eq!(count, 1000);
                        assert_eq!(reader.take(1000), Ok(pattern(0, 1000)), "{kind}");
                    }
                    Err(error) => {
                        assert_injected(error);
                        assert_eq!(writer.info(), before, "{kind}");
                    }
                }
                before = writer.info();
            },
        );
        writer.put(&pattern(0, 1000));
        each_failure(
            || reader.read_to(pages.span(PAGE - 500, 1000)),
            |answer| match answer {
                Ok(count) => {
                    assert_eq!(count, 1000);
                    assert_eq!(pages.get(PAGE - 500, 1000), pattern(0, 1000), "{kind}");
                    assert_eq!(reader.available(), 0);
                    writer.put(&pattern(0, 1000));
                }
                Err(error) => {
                    assert_injected(error);
                    assert_eq!(reader.available(), 1000, "{kind}");
                }
            },
        );
    }
}

fn inject_each_failure_of_a_batch() {
    for kind in [RECORD, RECORD.overwriting(), RECORD.broadcast()] {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        reader.set_headers(true);
        let pages = Pages::map(2);
        let send = || {
            // More than fit where they are overwritten: the first header then tells of a loss.
            for number in 0..if kind.overwrites() { 100 } else { 10 } {
                writer.put(&[number; 100]);
            }
        };
        send();
        let mut cursor = reader.cursor();
        each_failure(
            || reader.read_to(pages.span(PAGE - 500, PAGE)),
            |answer| {
                match answer {
                    Ok(count) => {
                        let records = abi::records(&pages.get(PAGE - 500, count));
                        assert!(records.len() >= 10, "{kind}");
                        assert_eq!(reader.available(), 0);
                        send();
                        cursor = reader.cursor();
                    }
                    Err(error) => {
                        assert_injected(error);
                        assert_eq!(reader.cursor(), cursor, "{kind}");
                    }
                };
            },
        );
    }
}

/// The lab looks for leaks at the end of a run. Here they are still those of few tests.
fn inject_has_left_no_leak() {
    leaks::assert_none();
}
