// SPDX-License-Identifier: GPL-2.0

//! The kernel's log: each program is announced there, so that a report of the kernel, or its end,
//! comes behind the program that led to it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

/// What comes before the number of a program. The lab looks for it (scripts/lab/fuzz.py).
const PROGRAM: &str = "fuzz: program ";

/// What the lab is told before and after allocations are made to fail (scripts/lab/splat.py).
const FAILURES_BEGIN: &str = "lab: allocations fail on purpose from here";
const FAILURES_END: &str = "lab: allocations fail on purpose up to here";

/// What the kernel says of allocations that were made to fail on purpose.
const OF_FAILURES: [&str; 2] = ["page allocation failure", "vmalloc error"];

/// What begins a report of a mistake.
const SPLATS: [&str; 8] = [
    "BUG:",
    "WARNING:",
    "INFO: task",
    "INFO: rcu",
    "Oops",
    "possible circular",
    "possible recursive",
    "unreferenced object",
];

pub struct KernelLog {
    log: File,
    injecting: bool,
}

impl KernelLog {
    pub fn open() -> std::io::Result<Self> {
        // Else the kernel drops what it takes for a flood.
        fs::write("/proc/sys/kernel/printk_devkmsg", "on\n")?;
        let mut log = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self {
            log,
            injecting: false,
        })
    }

    /// Announces a program by its number. The console is slow, and a program may be long.
    pub fn program(&mut self, number: u64, injects: bool) {
        self.say(&format!("{PROGRAM}{number}"));
        self.injecting = injects;
        if injects {
            self.say(FAILURES_BEGIN);
        }
    }

    pub fn failures_end(&mut self) {
        self.say(FAILURES_END);
    }

    fn say(&mut self, text: &str) {
        let _ = self.log.write(format!("<6>{text}\n").as_bytes());
    }

    /// Returns the first line since the last call that tells of a mistake.
    pub fn trouble(&mut self) -> Option<String> {
        let mut record = [0; 8192];
        let mut found = None;
        loop {
            match self.log.read(&mut record) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]).into_owned();
                    let text = text
                        .split_once(';')
                        .map_or("", |(_, text)| text)
                        .trim()
                        .to_owned();
                    let of_failures = OF_FAILURES.iter().any(|failure| text.contains(failure));
                    let splat = SPLATS.iter().any(|splat| text.contains(splat));
                    let ours = text.starts_with("ringdev");
                    if found.is_none() && (splat || ours) && !(self.injecting && of_failures) {
                        found = Some(text);
                    }
                }
                // Lines were overwritten before they were read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return found,
            }
        }
    }
}
