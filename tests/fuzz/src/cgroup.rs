// SPDX-License-Identifier: GPL-2.0

//! How much memory the kernel charges to the programs: the pages of rings are among it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

const GROUP: &str = "/sys/fs/cgroup/fuzz";

/// The memory of a control group of our own: the file that tells of it, if there is one.
pub struct Memory(Option<File>);

impl Memory {
    /// Puts the calling process into a control group of its own.
    pub fn new() -> Self {
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
        let _ = fs::create_dir(GROUP);
        let joined = fs::write(format!("{GROUP}/cgroup.procs"), "0").is_ok();
        let file = File::open(format!("{GROUP}/memory.current")).ok();
        if !joined || file.is_none() {
            eprintln!("ringdev-fuzz: without a control group, memory is not accounted for");
        }
        Self(file.filter(|_| joined))
    }

    /// Returns the bytes that are charged, or 0 if that is not known.
    pub fn charged(&self) -> u64 {
        let mut text = [0; 32];
        let file = self.0.as_ref();
        let len = file.and_then(|file| file.read_at(&mut text, 0).ok());
        std::str::from_utf8(&text[..len.unwrap_or(0)])
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0)
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
