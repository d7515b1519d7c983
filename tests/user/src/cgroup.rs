// SPDX-License-Identifier: GPL-2.0

//! A control group whose memory is limited.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::harness::note;

const MOUNT: &str = "/tmp/cgroups";

/// A group of processes that may have so much memory and no more.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a group with this limit, as the file `memory.max` has it.
    pub fn limited_to(max: &str) -> Self {
        fs::create_dir_all(MOUNT).expect("make a mount point");
        let flags = MsFlags::empty();
        match mount(None::<&str>, MOUNT, Some("cgroup2"), flags, None::<&str>) {
            Ok(()) => {}
            // By a test that has failed.
            Err(Errno::EBUSY) => {}
            Err(error) => panic!("mount cgroup2: {error}"),
        }
        let control = format!("{MOUNT}/cgroup.subtree_control");
        fs::write(control, "+memory").expect("enable memory control");
        let path = PathBuf::from(MOUNT).join(format!("limited-{}", nix::unistd::getpid()));
        fs::create_dir(&path).expect("make a cgroup");
        fs::write(path.join("memory.max"), max).expect("limit its memory");
        Self(path)
    }

    /// Puts the calling process into the group.
    pub fn join(&self) {
        fs::write(self.0.join("cgroup.procs"), "0").expect("join the cgroup");
    }

    /// Bytes that are charged to the group.
    pub fn memory(&self) -> u64 {
        let text = fs::read_to_string(self.0.join("memory.current")).expect("read the usage");
        text.trim().parse().expect("a number")
    }

    /// The same when nothing is kept for later: what the processors have been charged in advance is
    /// given back, and so is all that the kernel can do without.
    pub fn memory_at_rest(&self) -> u64 {
        // To come down to a limit the kernel first does that.
        for limit in ["0", "max"] {
            fs::write(self.0.join("memory.high"), limit).expect("limit its memory softly");
        }
        self.memory()
    }

    /// Waits until no more than this is charged when nothing is kept for later, and returns what
    /// is. That it comes to that is what the test's deadline is for; it says now and then how far
    /// it is.
    pub fn await_memory_at_rest(&self, most: u64) -> u64 {
        loop {
            // Another processor's share is given back by a thread of its own.
            for _ in 0..200 {
                let memory = self.memory_at_rest();
                if memory <= most {
                    return memory;
                }
                thread::sleep(Duration::from_millis(10));
            }
            note!("{} bytes are still charged, {most} may be", self.memory());
        }
    }

    /// How often the kernel had to kill a process of the group.
    pub fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.0.join("memory.events")).expect("read the events");
        let line = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line.expect("a count").parse().expect("a number")
    }

    /// Removes the group, in which no process may be left.
    pub fn remove(self) {
        fs::remove_dir(&self.0).expect("remove the cgroup");
        umount2(MOUNT, MntFlags::MNT_DETACH).expect("unmount cgroup2");
    }
}
