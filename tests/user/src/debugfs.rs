// SPDX-License-Identifier: GPL-2.0

//! /sys/kernel/debug/ringdev: a file for each ring, with what the ring tells of itself.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use crate::control::{Kind, Ring, STREAM};
use crate::harness::{Test, by_lane, test};
use crate::memory::PAGE;
use crate::module;
use crate::task::Task;
use crate::userfault::SlowPages;

pub const TESTS: &[Test] = &[
    test!(debugfs_and_ioctl_agree).needs(has_debugfs),
    test!(debugfs_file_is_for_root_to_read).needs(has_debugfs),
    test!(debugfs_file_comes_and_goes_with_the_ring).needs(has_debugfs),
    test!(debugfs_file_that_is_open_tells_nothing_once_the_ring_is_gone).needs(has_debugfs),
    test!(debugfs_file_that_is_open_holds_the_module_and_not_the_ring)
        .needs(has_debugfs)
        .loads_modules(),
    test!(debugfs_reader_that_is_stalled_stalls_nobody_else).needs(has_debugfs),
    test!(debugfs_can_be_read_while_rings_come_and_go)
        .needs(has_debugfs)
        .seconds(60),
    test!(debugfs_shows_more_cursors_than_fit_a_page).needs(has_debugfs),
];

const DEBUGFS: &str = "/sys/kernel/debug";

fn has_debugfs() -> Result<(), &'static str> {
    match fs::read_dir(DEBUGFS).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Ok(()),
        _ => Err("the kernel has no debugfs"),
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DEBUGFS).join("ringdev").join(name)
}

fn open(ring: &Ring) -> File {
    File::open(path(ring.name())).expect("open the ring's file in debugfs")
}

/// Sections of lines, each a name and a value: the ring, then its cursors.
fn parse(text: &str) -> Vec<HashMap<&str, u64>> {
    let number = |line: &'_ str| {
        let (_, value) = line.split_once(":\t").expect("a name and a value");
        value.parse().expect("a number")
    };
    text.split("\n\n")
        .map(|section| {
            let lines = section.lines();
            lines
                .map(|line| (line.split(':').next().expect("a name"), number(line)))
                .collect()
        })
        .collect()
}

fn debugfs_and_ioctl_agree() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (first, _second, writer) = (ring.reader(), ring.reader(), ring.writer());
        for _ in 0..3 {
            writer.put(&[b'x'; 900]);
        }
        first.take(900).expect("read");
        if !kind.blocks() {
            for _ in 0..5 {
                let _ = writer.write(&[b'x'; 900]);
            }
        }
        let text = fs::read_to_string(path(ring.name())).expect("read");
        let sections = parse(&text);
        let (info, cursors) = (ring.info(), ring.cursors());
        for (name, value) in [
            ("ring-id", info.id),
            ("ring-capacity", info.capacity),
            ("ring-framing", info.framing.into()),
            ("ring-full", info.full.into()),
            ("ring-delivery", info.delivery.into()),
            ("ring-flags", info.flags.into()),
            ("ring-unread", info.unread),
            ("ring-high-water", info.high_water),
            ("ring-readers", info.readers.into()),
            ("ring-writers", info.writers.into()),
            ("ring-records-in", info.records_in),
            ("ring-bytes-in", info.bytes_in),
            ("ring-records-dropped", info.records_dropped),
            ("ring-bytes-dropped", info.bytes_dropped),
            ("ring-records-lost", info.records_lost),
            ("ring-bytes-lost", info.bytes_lost),
            ("ring-records-out", info.records_out),
            ("ring-bytes-out", info.bytes_out),
            ("ring-writer-sleeps", info.writer_sleeps),
            ("ring-writer-wakes", info.writer_wakes),
            ("ring-reader-sleeps", info.reader_sleeps),
            ("ring-reader-wakes", info.reader_wakes),
        ] {
            assert_eq!(sections[0][name], value, "{name}, {kind}");
        }
        assert_eq!(sections.len(), 1 + cursors.len(), "{kind}");
        for (section, cursor) in sections[1..].iter().zip(cursors) {
            for (name, value) in [
                ("cursor-id", cursor.id),
                ("cursor-unread", cursor.unread),
                ("cursor-records-out", cursor.records_out),
                ("cursor-bytes-out", cursor.bytes_out),
                ("cursor-records-lost", cursor.records_lost),
                ("cursor-bytes-lost", cursor.bytes_lost),
                ("cursor-watermark", cursor.watermark),
                ("cursor-delay-ns", cursor.delay_ns),
            ] {
                assert_eq!(section[name], value, "{name}, {kind}");
            }
        }
    }
}

fn debugfs_file_is_for_root_to_read() {
    let ring = Ring::small(STREAM);
    let file = fs::metadata(path(ring.name())).expect("stat");
    assert_eq!(file.permissions().mode() & 0o7777, 0o400);
}

fn debugfs_file_comes_and_goes_with_the_ring() {
    for _ in 0..3 {
        let ring = Ring::named("comes-and-goes", STREAM, 4096);
        let id = ring.info().id;
        let text = fs::read_to_string(path(ring.name())).expect("read");
        assert_eq!(parse(&text)[0]["ring-id"], id);
        // It goes when the name does, whoever still has the ring open.
        let _reader = ring.reader();
        ring.destroy();
        assert!(!path(ring.name()).exists());
    }
}

fn debugfs_file_that_is_open_tells_nothing_once_the_ring_is_gone() {
    let ring = Ring::small(STREAM);
    let mut file = open(&ring);
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    assert!(text.starts_with("ring-id:\t"));
    ring.destroy();
    file.seek(SeekFrom::Start(0)).expect("seek");
    let error = file.read(&mut [0; 100]).expect_err("the ring is gone");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
}

fn debugfs_file_that_is_open_holds_the_module_and_not_the_ring() {
    let before = module::references();
    let ring = Ring::small(STREAM);
    let mut file = open(&ring);
    assert_eq!(module::references(), before + 1);
    ring.destroy();
    assert_eq!(module::unload(), Err(Errno::EWOULDBLOCK));
    assert!(file.read(&mut [0; 100]).is_err());
    drop(file);
    assert_eq!(module::references(), before);
    module::unload().expect("unload");
    assert!(!path("").exists());
    module::load("").expect("load again");
    assert!(path("0").exists());
}

fn debugfs_reader_that_is_stalled_stalls_nobody_else() {
    let ring = Ring::named("stalled", STREAM, 4096);
    let file = open(&ring);
    let slow = SlowPages::map(1);
    let page = slow.pages.span(0, PAGE);
    let reader = Task::spawn(move || {
        // SAFETY: a span holds no Rust object, so the kernel may write to what it can reach.
        let count = unsafe { libc::read(file.as_raw_fd(), page.ptr(), page.len) };
        Errno::result(count)
    });
    assert_eq!(slow.await_fault(), 0);
    ring.destroy();
    assert!(!path(ring.name()).exists());
    let again = Ring::named("stalled", STREAM, 4096);
    again.both().put(b"goes on");
    assert!(!reader.is_finished());
    slow.provide(0, &[0; PAGE]);
    assert!(reader.finish().expect("read") > 0);
}

fn debugfs_can_be_read_while_rings_come_and_go() {
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let stop = stop.clone();
            Task::spawn(move || {
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) {
                    match fs::read_to_string(path("restless")) {
                        Ok(text) => {
                            assert!(text.is_empty() || text.starts_with("ring-id:\t"), "{text}");
                            seen += 1;
                        }
                        Err(error) => assert!(
                            matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EIO)),
                            "{error}"
                        ),
                    }
                }
                seen
            })
        })
        .collect();
    let kinds: Vec<_> = Kind::all().collect();
    for kind in kinds.into_iter().cycle().take(by_lane(400, 48) as usize) {
        let ring = Ring::named("restless", kind, 4096);
        let both = ring.open(nix::fcntl::OFlag::O_RDWR);
        nix::unistd::write(&both, b"restless").expect("write");
        std::thread::yield_now();
        ring.destroy();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.finish();
    }
}

fn debugfs_shows_more_cursors_than_fit_a_page() {
    let ring = Ring::small(STREAM.broadcast());
    let readers: Vec<_> = (0..60).map(|_| ring.reader()).collect();
    let text = fs::read_to_string(path(ring.name())).expect("read");
    assert!(text.len() > PAGE);
    assert_eq!(parse(&text).len(), 1 + readers.len());
}
