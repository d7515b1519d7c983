// SPDX-License-Identifier: GPL-2.0

//! The device node, who may open it, and what sysfs and procfs say about it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::endpoint::{Endpoint, open_ring};
use crate::harness::{Test, test};
use crate::module::{self, NODE};
use crate::task::Process;

pub const TESTS: &[Test] = &[
    test!(node_is_a_character_device_for_root_only),
    test!(node_goes_with_the_module).loads_modules(),
    test!(node_is_not_for_others),
    test!(node_opened_by_root_works_for_others),
    test!(sysfs_describes_the_node),
    test!(procfs_shows_the_endpoint),
    test!(sysfs_shows_no_power_to_manage),
];

fn node_is_a_character_device_for_root_only() {
    let node = fs::symlink_metadata(NODE).expect("stat the node");
    assert!(node.file_type().is_char_device());
    assert_eq!(node.mode() & 0o7777, 0o600);
    assert_eq!((node.uid(), node.gid()), (0, 0));
    let devices = fs::read_to_string("/proc/devices").expect("read /proc/devices");
    let ours = format!("{} ring", major(node.rdev()));
    assert!(
        devices.lines().any(|line| line.trim() == ours),
        "{ours}: {devices}"
    );
}

fn node_goes_with_the_module() {
    module::unload().expect("unload");
    assert!(!Path::new(NODE).exists());
    assert_eq!(open_ring(OFlag::O_RDWR).map(drop), Err(Errno::ENOENT));
    module::load("").expect("load");
    assert!(Path::new(NODE).exists());
}

/// Becomes a user without rights.
pub fn become_nobody() {
    setgroups(&[]).expect("setgroups");
    setgid(Gid::from_raw(65534)).expect("setgid");
    setuid(Uid::from_raw(65534)).expect("setuid");
}

fn node_is_not_for_others() {
    Process::fork(|| {
        become_nobody();
        for mode in [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR] {
            assert_eq!(open_ring(mode).map(drop), Err(Errno::EACCES));
        }
    })
    .finish();
}

fn node_opened_by_root_works_for_others() {
    // Permission is checked when it is opened. A privileged parent can hand it on.
    let ring = Endpoint::both();
    Process::fork(|| {
        become_nobody();
        ring.put(b"x");
        assert_eq!(ring.take(10), Ok(b"x".to_vec()));
    })
    .finish();
}

fn sysfs_describes_the_node() {
    let device = fs::metadata(NODE).expect("stat the node").rdev();
    let numbers = format!("{}:{}", major(device), minor(device));
    let described = fs::read_dir("/sys/class/ring")
        .expect("list the rings")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| fs::read_to_string(path.join("dev")).is_ok_and(|dev| dev.trim() == numbers))
        .expect("an entry with the node's numbers");
    assert_eq!(described.file_name().expect("a name"), "0");
    // What udev and devtmpfs make the node from.
    let uevent = fs::read_to_string(described.join("uevent")).expect("read uevent");
    assert!(
        uevent.lines().any(|line| line == "DEVNAME=ring/0"),
        "{uevent}"
    );
    assert!(
        uevent.lines().any(|line| line == "DEVMODE=0600"),
        "{uevent}"
    );
}

fn procfs_shows_the_endpoint() {
    use std::os::fd::AsRawFd;

    let ring = Endpoint::both();
    let number = ring.as_raw_fd();
    let link = fs::read_link(format!("/proc/self/fd/{number}")).expect("readlink");
    assert_eq!(link, Path::new(NODE));
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).expect("read fdinfo");
    assert!(info.contains("flags:\t"), "{info}");
}

fn sysfs_shows_no_power_to_manage() {
    let folder = Path::new("/sys/class/ring/0");
    assert!(folder.join("uevent").exists());
    assert!(!folder.join("power").exists());
}
