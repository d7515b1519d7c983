// SPDX-License-Identifier: GPL-2.0

//! Failures on demand: every allocation and every copy that a system call makes fails once.
//!
//! Writing N to a thread's `fail-nth` makes the N-th of its failure points fail. So N is
//! counted up from 1 until the call gets by without reaching its N-th point.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::kmod::init_module;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

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
    leaks::forget();
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
    leaks::assert_none();
    module::load("").expect("load after all that");
    Endpoint::both().put(b"works");
}

fn inject_each_failure_of_an_open() {
    leaks::forget();
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
    leaks::assert_none();
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
    leaks::forget();
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
    leaks::assert_none();
}

fn inject_each_failure_of_o_async() {
    let ring = Endpoint::both();
    let plain = ring.flags();
    leaks::forget();
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
    leaks::assert_none();
}
