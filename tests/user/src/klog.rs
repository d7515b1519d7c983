// SPDX-License-Identifier: GPL-2.0

//! The kernel log, as /dev/kmsg has it.
//!
//! Nothing that user space does with a ring may print to the kernel log, so the harness
//! reads what was logged while a test ran, and complains.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::LazyLock;

/// A reading position in the kernel log.
pub struct KernelLog(File);

/// One line of the kernel log.
#[derive(Debug)]
pub struct Line {
    /// The log level: 0 is an emergency, 4 a warning, 7 for debugging.
    pub level: u32,
    pub text: String,
}

/// What may appear in the log while a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// No warning, and no word of the module.
    Nothing,
    /// What the module says of its own accord, when it is loaded.
    TheModule,
    /// What the kernel says of allocations that were made to fail. A splat is still one.
    Failures,
}

/// What the lab is told, by the kernel's log, before and after a test of the last kind. Whoever
/// reads that log (scripts/lab/splat.py) then knows these complaints for what they are.
const FAILURES_BEGIN: &str = "lab: allocations fail on purpose from here";
const FAILURES_END: &str = "lab: allocations fail on purpose up to here";

/// How the kernel begins to say that it has found a mistake.
const SPLATS: [&str; 6] = [
    "BUG:",
    "WARNING:",
    "INFO: task",
    "Oops",
    "KASAN",
    "kernel NULL",
];

/// What the kernel itself complains of with a splat when an allocation fails: a module whose events
/// it cannot describe. With it, the kernels that do: how their release begins.
const OF_FAILURES: [(&str, &str); 2] = [
    ("", "at event_define_fields+"),
    // 7.2 also drops a reference to such an event that it has not taken. scripts/lab/splat.py says
    // more.
    ("7.2.", "at event_file_put+"),
];

static RELEASE: LazyLock<String> = LazyLock::new(|| {
    fs::read_to_string("/proc/sys/kernel/osrelease").expect("read the kernel's release")
});

/// Warnings about the time that passes on the host, which no test has a say in: an emulated
/// machine is stopped and resumed as the host pleases.
const OF_THE_HOST: [&str; 6] = [
    "TSC found unstable after boot",
    "clocksource: ",
    "hrtimer: interrupt took",
    "perf: interrupt took too long",
    "sched: RT throttling activated",
    "workqueue: ",
];

impl KernelLog {
    /// A position at the end of the log.
    pub fn open() -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        let mut log = Self(file);
        log.skip_to_end();
        Ok(log)
    }

    fn skip_to_end(&mut self) {
        self.0
            .seek(SeekFrom::End(0))
            .expect("seek to the end of /dev/kmsg");
    }

    /// Everything logged since the last look.
    pub fn lines(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(count) => lines.push(parse(&String::from_utf8_lossy(&record[..count]))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return lines,
                // The log wrapped past us. What is gone can only have been a flood.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => lines.push(Line {
                    level: 0,
                    text: "(lines were overwritten before they could be read)".to_owned(),
                }),
                Err(error) => panic!("read /dev/kmsg: {error}"),
            }
        }
    }

    /// The lines since the last look that should not be there.
    pub fn complaints(&mut self, allowed: Allowed) -> Vec<String> {
        self.lines()
            .into_iter()
            .filter(|line| !line.is_allowed(allowed))
            .map(|line| format!("<{}> {}", line.level, line.text))
            .collect()
    }
}

/// Runs `test`, and marks what is logged meanwhile if that is of a kind that has to be marked.
pub fn marked<T>(allowed: Allowed, test: impl FnOnce() -> T) -> T {
    let mark = |line: &str| {
        if allowed == Allowed::Failures {
            write(line);
        }
    };
    mark(FAILURES_BEGIN);
    let result = test();
    mark(FAILURES_END);
    result
}

/// Writes a line to the kernel log.
pub fn write(line: &str) {
    // Without an end, the kernel shows a line only once the next one begins.
    fs::write("/dev/kmsg", format!("{line}\n")).expect("write to /dev/kmsg");
}

impl Line {
    /// True if the line is the module's own, as its `pr_fmt` begins them.
    pub fn is_of_the_module(&self) -> bool {
        self.text.starts_with("ringdev: ")
    }

    fn is_allowed(&self, allowed: Allowed) -> bool {
        let of_the_host = OF_THE_HOST.iter().any(|of| self.text.starts_with(of));
        let warns = self.level <= 4 && !of_the_host;
        match allowed {
            Allowed::Nothing => !warns && !self.text.contains("ringdev"),
            Allowed::TheModule => !warns || self.is_of_the_module(),
            Allowed::Failures => {
                !SPLATS.iter().any(|splat| self.text.contains(splat))
                    || OF_FAILURES.iter().any(|(of, complaint)| {
                        RELEASE.starts_with(of) && self.text.contains(complaint)
                    })
            }
        }
    }
}

/// Parses "priority,sequence,timestamp,flags;text\n KEY=value\n".
fn parse(record: &str) -> Line {
    let (prefix, text) = record.split_once(';').unwrap_or(("0", record));
    let priority: u32 = prefix
        .split(',')
        .next()
        .and_then(|priority| priority.parse().ok())
        .unwrap_or(0);
    Line {
        // The upper bits are the facility, as in syslog(3).
        level: priority & 7,
        text: text.lines().next().unwrap_or("").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(record: &str, allowed: Allowed) -> bool {
        parse(record).is_allowed(allowed)
    }

    const WARNING: &str = "4,100,1000,-;something is wrong\n";
    const REMARK: &str = "6,100,1000,-;something is right\n";
    const WORD: &str = "6,100,1000,-;ringdev: loaded\n";

    #[test]
    fn a_record_has_a_level_and_a_text() {
        let line = parse("30,100,1000,c;ringdev: loaded; more\n SUBSYSTEM=misc\n");
        // The facility is above the level.
        assert_eq!(
            (line.level, line.text.as_str()),
            (6, "ringdev: loaded; more")
        );
        // What cannot be read is a complaint.
        assert_eq!(parse("nonsense").level, 0);
    }

    #[test]
    fn a_warning_is_a_complaint_and_a_remark_is_none() {
        for allowed in [Allowed::Nothing, Allowed::TheModule] {
            assert!(!is_allowed(WARNING, allowed));
            assert!(is_allowed(REMARK, allowed));
        }
    }

    #[test]
    fn a_word_of_the_module_is_a_complaint_unless_the_test_loads_it() {
        assert!(!is_allowed(WORD, Allowed::Nothing));
        assert!(is_allowed(WORD, Allowed::TheModule));
        let refusal = WORD.replace('6', "3");
        assert!(!is_allowed(&refusal, Allowed::Nothing));
        assert!(is_allowed(&refusal, Allowed::TheModule));
    }

    #[test]
    fn a_warning_about_the_hosts_time_is_no_complaint() {
        let line = WARNING.replace("something", "hrtimer: interrupt took 9 ns");
        assert!(is_allowed(&line, Allowed::Nothing));
    }

    #[test]
    fn a_splat_is_a_complaint_also_where_allocations_fail() {
        assert!(is_allowed(WARNING, Allowed::Failures));
        for splat in SPLATS {
            let line = WARNING.replace("something", splat);
            assert!(!is_allowed(&line, Allowed::Failures), "{splat}");
        }
    }

    #[test]
    fn what_a_failed_allocation_explains_is_no_complaint() {
        let line = "4,1,1,-;WARNING: kernel/trace/trace_events.c:1 at event_define_fields+0x1/0x2";
        assert!(is_allowed(line, Allowed::Failures));
        assert!(!is_allowed(line, Allowed::Nothing));
    }
}
