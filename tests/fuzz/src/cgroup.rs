// SPDX-License-Identifier: GPL-2.0

//! How much memory the kernel charges to the programs: the pages of rings are among it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const GROUP: &str = "/sys/fs/cgroup/fuzz";

/// The memory of a control group of our own.
pub struct Memory(bool);

impl Memory {
    /// Puts the calling process into a control group of its own.
    pub fn new() -> Self {
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
        let _ = fs::create_dir(GROUP);
        let joined = fs::write(format!("{GROUP}/cgroup.procs"), "0").is_ok();
        let known = fs::metadata(format!("{GROUP}/memory.current")).is_ok();
        if !joined || !known {
            eprintln!("ringdev-fuzz: without a control group, memory is not accounted for");
        }
        Self(joined && known)
    }

    /// Returns the bytes that are charged, or 0 if that is not known.
    pub fn charged(&self) -> u64 {
        if !self.0 {
            return 0;
        }
        let text = fs::read_to_string(format!("{GROUP}/memory.current")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Returns what is charged if that stays above a limit. Some of it may take a while to be given
    /// back.
    pub fn more_than(&self, limit: u64, patience: Duration) -> Option<u64> {
        let until = Instant::now() + patience;
        loop {
            let charged = self.charged();
            if charged <= limit {
                return None;
            }
            if Instant::now() > until {
                return Some(charged);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
