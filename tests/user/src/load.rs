// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading: parameters, refusals, and what is left behind, which is nothing.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::stat::Mode;

use crate::abi;
use crate::cgroup::Cgroup;
use crate::control::{self, STREAM};
use crate::endpoint::{Endpoint, open_ring};
use crate::harness::{Lane, Test, by_lane, lane, note, test};
use crate::klog::KernelLog;
use crate::leaks;
use crate::lifetime::{send, socket_pair};
use crate::memory::PAGE;
use crate::module::{self, NODE};
use crate::random::Random;
use crate::task::{Call, Process, Task};
use crate::userfault::SlowPages;

pub const TESTS: &[Test] = &[
    test!(load_makes_a_ring_of_256_kib).loads_modules(),
    test!(load_says_one_line).loads_modules(),
    test!(load_takes_every_power_of_two).loads_modules(),
    test!(load_beyond_the_memory_limit_is_enomem).loads_modules(),
    test!(load_refuses_other_capacities_with_one_line).loads_modules(),
    test!(load_refuses_what_is_not_a_number).loads_modules(),
    test!(load_without_the_default_ring_makes_no_node).loads_modules(),
    test!(load_twice_is_eexist).loads_modules(),
    test!(load_starts_with_an_empty_ring)
        .small()
        .loads_modules(),
    test!(unload_is_refused_while_an_endpoint_is_open).loads_modules(),
    test!(unload_is_refused_while_a_reader_sleeps).loads_modules(),
    test!(unload_is_refused_while_a_writer_sleeps)
        .small()
        .loads_modules(),
    test!(unload_works_when_the_last_user_is_killed).loads_modules(),
    test!(unload_and_open_race).loads_modules().seconds(60),
    test!(load_and_unload_leak_nothing)
        .loads_modules()
        .seconds(180),
    test!(unload_is_refused_while_any_file_of_the_module_is_open).loads_modules(),
    test!(unload_is_refused_while_a_file_is_in_flight).loads_modules(),
    test!(unload_is_refused_while_a_command_runs).loads_modules(),
    test!(unload_does_not_wait_for_files_that_only_name_a_node).loads_modules(),
    test!(unload_leaves_no_name_behind).loads_modules(),
];

const MODES: [OFlag; 3] = [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR];

fn load_makes_a_ring_of_256_kib() {
    assert_eq!(Endpoint::both().fill(), 256 << 10);
}

fn load_says_one_line() {
    module::unload().expect("unload");
    let mut log = KernelLog::open().expect("open /dev/kmsg");
    module::load("").expect("load");
    let lines = log.lines();
    assert!(lines.len() <= 1, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.is_of_the_module()),
        "{lines:?}"
    );
    assert!(lines.iter().all(|line| line.level > 4), "{lines:?}");
    module::unload().expect("unload");
    let lines = log.lines();
    assert!(lines.is_empty(), "{lines:?}");
}

/// Fills a freshly loaded ring, in a process of its own so that it can be unloaded again.
fn check_capacity(capacity: usize) {
    Process::fork(|| assert_eq!(Endpoint::both().fill(), capacity)).finish();
}

fn load_takes_every_power_of_two() {
    for shift in 12..=24 {
        module::unload().expect("unload");
        module::load(&format!("capacity={}", 1 << shift)).expect("load");
        check_capacity(1 << shift);
    }
}

/// A ring is charged to the memory cgroup of who loads the module. The largest capacity is
/// allowed, but under a limit it is refused: with ENOMEM, and without the OOM killer.
fn load_beyond_the_memory_limit_is_enomem() {
    let group = Cgroup::limited_to("16M");
    module::unload().expect("unload");
    Process::fork(|| {
        group.join();
        for capacity in [1 << 30, 32 << 20] {
            let loaded = module::load(&format!("capacity={capacity}"));
            assert_eq!(loaded, Err(Errno::ENOMEM), "{capacity}");
            assert_not_loaded();
        }
        // What fits can be had.
        module::load("capacity=1048576").expect("load");
    })
    .finish();
    check_capacity(1 << 20);

    module::unload().expect("unload");
    group.remove();
    module::load("").expect("load");
}

fn assert_not_loaded() {
    assert!(!module::is_loaded());
    assert!(!Path::new(NODE).exists());
}

/// Loads with parameters that must be refused with EINVAL, and returns what the module said.
fn refused(params: &str) -> Vec<String> {
    let mut log = KernelLog::open().expect("open /dev/kmsg");
    assert_eq!(module::load(params), Err(Errno::EINVAL), "{params}");
    assert_not_loaded();
    log.lines()
        .into_iter()
        .filter(|line| line.text.contains("ringdev"))
        .map(|line| line.text)
        .collect()
}

fn load_refuses_other_capacities_with_one_line() {
    module::unload().expect("unload");
    for capacity in [
        0,
        1,
        2048,
        4095,
        4097,
        6000,
        (256 << 10) + 1,
        3 << 20,
        1 << 31,
        1 << 32,
        (1 << 32) + 4096,
        1 << 63,
        u64::MAX,
    ] {
        let lines = refused(&format!("capacity={capacity}"));
        assert_eq!(lines.len(), 1, "{capacity}: {lines:?}");
        // A clear line names the parameter and the value.
        assert!(lines[0].contains("capacity"), "{lines:?}");
        assert!(lines[0].contains(&capacity.to_string()), "{lines:?}");
    }
    module::load("capacity=4096").expect("load after all that");
}

fn load_refuses_what_is_not_a_number() {
    module::unload().expect("unload");
    for params in [
        "capacity=",
        "capacity=many",
        "capacity=4096k",
        "capacity=-4096",
        "capacity=4096.0",
        "default_ring=maybe",
        "default_ring=2",
    ] {
        let lines = refused(params);
        assert_eq!(lines.len(), 1, "{params}: {lines:?}");
    }
}

fn load_without_the_default_ring_makes_no_node() {
    module::unload().expect("unload");
    for params in [
        "default_ring=0",
        "default_ring=0 capacity=8192",
        // What the default ring would have does not matter then.
        "default_ring=0 max_capacity=4096",
    ] {
        module::load(params).expect("load");
        assert!(module::is_loaded());
        assert!(!Path::new(NODE).exists(), "{params}");
        assert_eq!(module::references(), 0);
        module::unload().expect("unload");
    }
    module::load("default_ring=1").expect("load");
    assert!(Path::new(NODE).exists());
}

fn load_twice_is_eexist() {
    let ring = Endpoint::both();
    ring.put(b"stays");
    assert_eq!(module::load(""), Err(Errno::EEXIST));
    assert_eq!(module::load("capacity=4096"), Err(Errno::EEXIST));
    assert_eq!(ring.take(10), Ok(b"stays".to_vec()));
}

fn load_starts_with_an_empty_ring() {
    for _ in 0..10 {
        Process::fork(|| {
            let ring = Endpoint::both();
            assert_eq!(ring.available(), 0);
            ring.set_nonblocking(true);
            assert_eq!(ring.take(100), Err(Errno::EAGAIN));
            ring.fill();
        })
        .finish();
        module::unload().expect("unload");
        module::load("capacity=4096").expect("load");
    }
}

fn unload_is_refused_while_an_endpoint_is_open() {
    for mode in MODES {
        let fd = open_ring(mode).expect("open");
        // What rmmod prints as "in use".
        assert_eq!(module::unload(), Err(Errno::EWOULDBLOCK));
        assert!(Path::new(NODE).exists(), "and nothing was taken down");
        let ring = Endpoint::both();
        ring.put(b"works");
        assert_eq!(ring.take(10), Ok(b"works".to_vec()));
        drop(fd);
    }
}

fn unload_is_refused_while_a_reader_sleeps() {
    let number = open_ring(OFlag::O_RDWR).expect("open");
    let ring = Endpoint::keep(number);
    let reader = Task::asleep_in(Call::READ, move || ring.take(10));
    reader.sleeper.sleeps_through(Call::READ, || {
        assert_eq!(module::unload(), Err(Errno::EWOULDBLOCK));
    });
    ring.put(b"x");
    assert_eq!(reader.finish(), Ok(b"x".to_vec()));
}

fn unload_is_refused_while_a_writer_sleeps() {
    let ring = Endpoint::both();
    let filled = ring.fill();
    let writer = Task::asleep_in(Call::WRITE, move || ring.write(b"x"));
    writer.sleeper.sleeps_through(Call::WRITE, || {
        assert_eq!(module::unload(), Err(Errno::EWOULDBLOCK));
    });
    ring.take_exactly(filled);
    assert_eq!(writer.finish(), Ok(1));
}

fn unload_works_when_the_last_user_is_killed() {
    for _ in 0..by_lane(20, 5) {
        let process = Process::asleep_in(Call::READ, || {
            let _ = Endpoint::both().take(1);
        });
        assert_eq!(module::unload(), Err(Errno::EWOULDBLOCK));
        process.kill_for_good();
        // Reaped means closed: no waiting here.
        assert_eq!(module::unload(), Ok(()));
        module::load("").expect("load");
    }
}

/// Some open and use the ring as fast as they can, while it comes and goes.
fn unload_and_open_race() {
    let stop = Arc::new(AtomicBool::new(false));
    let openers: Vec<_> = (0..2)
        .map(|number| {
            let stop = Arc::clone(&stop);
            Task::spawn(move || {
                let mut random = Random::new(u64::from(number));
                let (mut opened, mut absent) = (0_u64, 0_u64);
                while !stop.load(Ordering::Relaxed) {
                    match open_ring(OFlag::O_RDWR | OFlag::O_NONBLOCK) {
                        Ok(fd) => {
                            opened += 1;
                            let mut buffer = [0; 100];
                            // Any of the openers may read what any has written.
                            assert_eq!(nix::unistd::write(&fd, &[number; 50]), Ok(50));
                            let read = nix::unistd::read(&fd, &mut buffer);
                            assert!(matches!(read, Ok(1..) | Err(Errno::EAGAIN)), "{read:?}");
                        }
                        // No node, or a node whose driver is just going.
                        Err(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => absent += 1,
                        Err(error) => panic!("open: {error}"),
                    }
                    // A moment in which the module can go, of no fixed length.
                    thread::sleep(Duration::from_micros(random.up_to(2000)));
                }
                (opened, absent)
            })
        })
        .collect();
    let (mut unloaded, mut refused) = (0, 0);
    while unloaded < by_lane(100, 20) {
        match module::unload() {
            Ok(()) => {
                unloaded += 1;
                module::load("").expect("load");
            }
            Err(Errno::EWOULDBLOCK) => refused += 1,
            Err(error) => panic!("unload: {error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut opened, mut absent) = (0, 0);
    for opener in openers {
        let counts = opener.finish();
        opened += counts.0;
        absent += counts.1;
    }
    note!("unloaded {unloaded} times, refused {refused} times");
    note!("opened {opened} times, not there {absent} times");
    assert!(opened > 0, "nobody came in between");
}

/// A kernel for one CPU has nothing to hasten.
fn hasten_grace_periods(hasten: bool) {
    let file = "/sys/kernel/rcu_expedited";
    if fs::exists(file).expect("stat") {
        fs::write(file, if hasten { "1" } else { "0" }).expect("say how to wait");
    }
}

fn load_and_unload_leak_nothing() {
    let rounds = match lane() {
        Lane::Plain => 1000,
        // Enough to tell a page a round from what comes and goes by itself.
        Lane::Slow => 300,
        Lane::Debug => 100,
    };
    // Most of a round is waiting for grace periods, whose length is not what is tested.
    hasten_grace_periods(true);
    let file = File::open(module::FILE).expect("open the module's file");
    let round = || {
        module::unload().expect("unload");
        module::load_file(&file, "").expect("load");
        // Also what a user leaves behind.
        drop(open_ring(OFlag::O_RDWR).expect("open"));
    };
    // The first rounds fill caches that stay full.
    for _ in 0..rounds / 10 {
        round();
    }
    let before = leaks::kernel_memory();
    for _ in 0..rounds {
        round();
    }
    let after = leaks::kernel_memory();
    hasten_grace_periods(false);
    note!("{rounds} rounds: {before} KiB of kernel memory before, {after} KiB after");
    assert!(fs::exists(NODE).expect("stat the node"));
    match lane() {
        Lane::Plain | Lane::Slow => {
            // One page a round would be missed by no margin below this one.
            let margin = rounds * 2;
            assert!(after < before + margin, "more than {margin} KiB were lost");
        }
        // The aids of this kernel keep a record of what is long gone; the lab looks for leaks.
        Lane::Debug => {}
    }
}

/// Opens a node, or whatever else is there.
fn open_at(path: &str, flags: OFlag) -> OwnedFd {
    open(path, flags, Mode::empty()).unwrap_or_else(|error| panic!("open {path}: {error}"))
}

/// Fails unless so many references hold the module, and the module therefore stays.
fn assert_held(references: u32, by: &str) {
    // First: with none of them the module would go, and the next call into it would be the last.
    assert_eq!(module::references(), references, "{by}");
    assert_eq!(module::unload(), Err(Errno::EWOULDBLOCK), "{by}");
    assert!(Path::new(control::NODE).exists(), "nothing was taken down");
}

/// What only /dev/ring/control holds it by is the owner of the operations: a misc device has no
/// module of its own.
fn unload_is_refused_while_any_file_of_the_module_is_open() {
    for (path, references) in [(control::NODE, 1), (NODE, 2)] {
        for mode in MODES {
            let file = open_at(path, mode);
            assert_held(references, path);
            // Another descriptor, and the first one closed.
            let other = file.try_clone().expect("dup");
            drop(file);
            assert_held(references, path);
            // It works on.
            let mut info = abi::Info::default();
            let command = if path == NODE { abi::INFO } else { abi::NEXT };
            assert_eq!(abi::call(other.as_raw_fd(), command, &mut info), Ok(()));
            drop(other);
            assert_eq!(module::references(), 0, "{path}");
        }
    }
}

fn unload_is_refused_while_a_file_is_in_flight() {
    for (path, references) in [(control::NODE, 1), (NODE, 2)] {
        let (here, there) = socket_pair();
        send(&here, &open_at(path, OFlag::O_RDWR));
        assert_held(references, path);
        drop((here, there));
        module::await_unused().expect("it was closed with the socket");
    }
}

/// A command that waits for the memory of its argument, while its descriptor is closed.
fn unload_is_refused_while_a_command_runs() {
    for (path, references, command) in [
        (control::NODE, 1, abi::NEXT),
        (control::NODE, 1, abi::CREATE),
        (NODE, 2, abi::INFO),
    ] {
        let file = open_at(path, OFlag::O_RDWR);
        let number = file.as_raw_fd();
        let slow = SlowPages::map(1);
        let argument = slow.pages.span(0, 8);
        let task = Task::spawn(move || abi::call_at(number, command, argument));
        assert_eq!(slow.await_fault(), 0);
        drop(file);
        assert_held(references, path);
        // No structure has a size of 0.
        slow.provide(0, &[0; PAGE]);
        assert_eq!(task.finish(), Err(Errno::EINVAL));
        assert_eq!(module::references(), 0, "{path}");
    }
}

/// Of these none has opened anything: the module may go, and what they name is gone then.
fn unload_does_not_wait_for_files_that_only_name_a_node() {
    let paths = [control::NODE, NODE].map(|path| open_at(path, OFlag::O_PATH));
    let nodes = [control::NODE, NODE].map(|path| File::open(path).expect("open"));
    let set = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    let level = EpollEvent::new(EpollFlags::EPOLLIN, 0);
    set.add(nodes[1].as_fd(), level).expect("add");
    let shown = nodes.each_ref().map(|node| {
        File::open(format!("/proc/self/fdinfo/{}", node.as_raw_fd())).expect("open fdinfo")
    });
    assert_eq!(module::references(), 3);
    drop(nodes);
    assert_eq!(module::references(), 0);
    module::unload().expect("unload");
    for path in &paths {
        let again = open(
            format!("/proc/self/fd/{}", path.as_raw_fd()).as_str(),
            OFlag::O_RDWR,
            Mode::empty(),
        );
        let gone = matches!(again, Err(Errno::ENXIO | Errno::ENODEV));
        assert!(gone, "{again:?}");
    }
    for mut file in shown {
        // The descriptor that it was about is closed.
        let read = std::io::Read::read_to_string(&mut file, &mut String::new());
        assert!(read.is_err());
    }
    drop(set);
    module::load("").expect("load");
}

/// Every place in which a name of the module's could stay. The device numbers are in
/// /proc/devices, which nothing else looks at.
fn unload_leaves_no_name_behind() {
    let mentions = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        text.lines()
            .filter(|line| line.split_whitespace().any(|word| word.starts_with("ring")))
            .count()
    };
    let lists = ["/proc/devices", "/proc/misc", "/proc/modules"];
    assert_eq!(lists.map(mentions), [1, 1, 1]);
    let paths = [
        "/dev/ring",
        "/sys/class/ring",
        "/sys/class/misc/ring-control",
        "/sys/devices/virtual/ring",
        "/sys/kernel/debug/ringdev",
        "/sys/kernel/tracing/events/ringdev",
        "/sys/module/ringdev",
    ];
    let there = || paths.map(|path| Path::new(path).exists());
    let before = there();
    // Where there is neither debugfs nor tracing there are two fewer.
    assert!(
        before.into_iter().filter(|there| *there).count() >= 5,
        "{before:?}"
    );
    for _ in 0..3 {
        control::control()
            .create(STREAM.request("goes", 1 << 16))
            .expect("create");
        module::unload().expect("unload");
        assert_eq!(lists.map(mentions), [0, 0, 0]);
        assert_eq!(there(), [false; 7]);
        module::load("").expect("load");
        assert_eq!(lists.map(mentions), [1, 1, 1]);
        assert_eq!(there(), before);
    }
}
