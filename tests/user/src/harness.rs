// SPDX-License-Identifier: GPL-2.0

//! What a test is, and how it is run: one process a test, under a deadline, with the kernel
//! log watched, reported as KTAP.
//!
//! A test is a function that panics when it fails. It runs in a process of its own, so that
//! a crash, a kill or a hang costs one `not ok` and never a line of the report. What a test
//! opens, maps and spawns therefore lives until that process ends: tests clean up nothing.
//!
//! Every test starts with an empty default ring that nobody else has open, and no other ring. The
//! module is loaded anew where a test wants other parameters than the one before, or wants to be
//! alone with it, and after a failure. It is not loaded anew for each, as that would take most of
//! the time.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::panic;
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpgid, getpid, pipe2, setpgid};

use crate::control::Kind;
use crate::klog::{self, Allowed, KernelLog};
use crate::module;

/// The kernel that the program runs under, as the harness names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A fast kernel without debugging aids.
    Plain,
    /// One with what distributions have, or on a slow machine: it does less, and may lack what the
    /// plain one may lack.
    Slow,
    /// KASAN, lockdep and fault injection: an order of magnitude slower.
    Debug,
}

/// What the program is told of where it runs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub lane: Lane,
    /// The guest may have several CPUs, and never do two of them run at once.
    pub cpus_take_turns: bool,
}

impl Place {
    pub const PLAIN: Self = Self {
        lane: Lane::Plain,
        cpus_take_turns: false,
    };
}

static PLACE: OnceLock<Place> = OnceLock::new();

fn place() -> Place {
    *PLACE.get().unwrap_or(&Place::PLAIN)
}

/// The lane of this run.
pub fn lane() -> Lane {
    place().lane
}

/// How many CPUs the guest has.
pub fn cpus() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Whether what one thread does may fall into what another does.
fn threads_run_at_once() -> bool {
    cpus() > 1 && !place().cpus_take_turns
}

/// Picks a count by lane: those that are slow do less.
pub fn by_lane(plain: u64, slow: u64) -> u64 {
    match lane() {
        Lane::Plain => plain,
        Lane::Slow | Lane::Debug => slow,
    }
}

/// The function that checks a rule.
#[derive(Clone, Copy)]
enum Body {
    Plain(fn()),
    OfKind(fn(Kind), Kind),
}

/// One test: a name that reads as the rule it checks, and the function that checks it.
#[derive(Clone, Copy)]
pub struct Test {
    pub name: &'static str,
    body: Body,
    params: &'static str,
    needs: Option<fn() -> Result<(), &'static str>>,
    narrow: Result<(), &'static str>,
    at_once: bool,
    alone: bool,
    log: Allowed,
    seconds: u64,
}

impl Test {
    /// A test of the default ring with the ordinary deadline.
    pub const fn new(name: &'static str, body: fn()) -> Self {
        Self::with(name, Body::Plain(body))
    }

    /// A test of a rule for one kind of rings.
    pub fn of_kind(rule: &str, kind: Kind, body: fn(Kind)) -> Self {
        // There are so many tests, and no more.
        let name = format!("{rule}_{kind}").leak();
        Self::with(name, Body::OfKind(body, kind))
    }

    const fn with(name: &'static str, body: Body) -> Self {
        Self {
            name,
            body,
            params: "",
            needs: None,
            narrow: Ok(()),
            at_once: false,
            alone: false,
            log: Allowed::Nothing,
            seconds: 20,
        }
    }

    /// Wants the module loaded with these parameters.
    pub const fn params(self, params: &'static str) -> Self {
        Self { params, ..self }
    }

    /// Wants no ring there but those it makes itself.
    pub const fn no_ring(self) -> Self {
        self.params("default_ring=0")
    }

    /// Gives the test a ring of one page, which is quickly full and quickly wrapped.
    pub const fn small(self) -> Self {
        self.params("capacity=4096")
    }

    /// Says what the kernel must have for the test to mean anything. Where it is missing the
    /// test is skipped with the reason; in the debug lane, which has everything, it fails.
    pub const fn needs(self, probe: fn() -> Result<(), &'static str>) -> Self {
        Self {
            needs: Some(probe),
            ..self
        }
    }

    /// Says why a program of 32 bits cannot have the test.
    pub const fn not_of_32_bits(self, reason: &'static str) -> Self {
        Self {
            narrow: Err(reason),
            ..self
        }
    }

    /// Wants two threads that run at once. Where none do the test is skipped.
    pub const fn threads_at_once(self) -> Self {
        Self {
            at_once: true,
            ..self
        }
    }

    /// Wants the module loaded for this test alone. So must tests that ask for edges: from
    /// then on the ring wakes pollers more often, which could hide a mistake from others.
    pub const fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    /// Says that the test loads and unloads the module itself, for which the module speaks to
    /// the kernel log. Splats fail such a test too.
    pub const fn loads_modules(self) -> Self {
        Self {
            log: Allowed::TheModule,
            alone: true,
            ..self
        }
    }

    /// Says that the test makes allocations fail, of which the kernel may complain.
    pub const fn injects(self) -> Self {
        Self {
            log: Allowed::Failures,
            alone: true,
            ..self
        }
    }

    /// A longer deadline, in seconds of the plain lane.
    pub const fn seconds(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }

    /// What tests are sorted by, so that the module is loaded less often.
    pub fn load_order(&self) -> &'static str {
        self.params
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(self.seconds * by_lane(1, 6))
    }
}

/// Makes a [`Test`] of a function, named as the function is.
macro_rules! test {
    ($body:ident) => {
        $crate::harness::Test::new(stringify!($body), $body)
    };
}
pub(crate) use test;

/// Writes a line of diagnostics into the report of the running test.
macro_rules! note {
    ($($arg:tt)*) => {
        $crate::harness::report(&format!($($arg)*))
    };
}
pub(crate) use note;

/// The pipe from a test's process, and the processes it forks, to the runner.
static REPORT: OnceLock<Mutex<File>> = OnceLock::new();

pub fn report(text: &str) {
    if let Some(pipe) = REPORT.get() {
        let mut pipe = pipe.lock().unwrap_or_else(|poison| poison.into_inner());
        // The runner is the reader. If it is gone, so is everybody who could be told.
        let _ = pipe.write_all(format!("{text}\n").as_bytes());
    }
}

/// Begins the report of a failed check, so that the runner can tell it from a note.
const FAILURE: char = '\u{1}';

/// How a process ends in which a check failed.
const EXIT_FAILED: i32 = 101;

/// How the process of a test ends when the test's function has returned. No program ends like this
/// by accident: a test that calls `exit(0)` halfway has not passed.
const EXIT_FINISHED: i32 = 100;

/// Ends a forked process of a test, as the test itself ends: no destructors, no waiting for
/// threads that may be blocked for good.
pub fn exit() -> ! {
    end(0)
}

fn end(status: i32) -> ! {
    // SAFETY: `_exit` takes any status and does not return.
    unsafe { libc::_exit(status) }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Skipped(&'static str),
    Failed(String),
}

/// Runs the tests and prints the report. Succeeds when none failed.
pub fn run(tests: &[Test], place: Place) -> ExitCode {
    PLACE.set(place).expect("the place is set once");

    // Orphans of a test come to us, so that we know when the last of them is gone.
    // SAFETY: PR_SET_CHILD_SUBREAPER takes one integer and touches no memory.
    let adopted = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    Errno::result(adopted).expect("become the reaper of the tests' processes");

    let mut runner = Runner {
        log: KernelLog::open().expect("open /dev/kmsg"),
        loaded: None,
    };
    let mut failed = 0;

    println!("KTAP version 1");
    println!("1..{}", tests.len());
    for (index, test) in tests.iter().enumerate() {
        let number = index + 1;
        let started = Instant::now();
        let (verdict, notes) = runner.run(test);
        for line in notes.lines() {
            println!("# {line}");
        }
        let took = started.elapsed();
        if took > Duration::from_secs(1) {
            println!("# {}: {:.1} s", test.name, took.as_secs_f64());
        }
        match verdict {
            Verdict::Passed => println!("ok {number} {}", test.name),
            Verdict::Skipped(reason) => println!("ok {number} {} # SKIP {reason}", test.name),
            Verdict::Failed(reason) => {
                failed += 1;
                for line in reason.lines() {
                    println!("# {line}");
                }
                println!("not ok {number} {}", test.name);
            }
        }
    }

    if let Err(error) = module::reload("") {
        println!("# the module could not be loaded after the last test: {error}");
        failed += 1;
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Runner {
    log: KernelLog,
    /// The parameters that the module is loaded with, if that can be relied on.
    loaded: Option<&'static str>,
}

impl Runner {
    fn run(&mut self, test: &Test) -> (Verdict, String) {
        if let Some(verdict) = excuse(test, lane(), threads_run_at_once()) {
            return (verdict, String::new());
        }
        if let Err(reason) = self.prepare(test) {
            return (Verdict::Failed(reason), String::new());
        }

        let (outcome, notes) = klog::marked(test.log, || run_process(test));

        let mut reasons = Vec::new();
        if let Err(reason) = outcome {
            reasons.push(reason);
        }
        for line in self.log.complaints(test.log) {
            reasons.push(format!("in the kernel log: {line}"));
        }
        if test.alone || !reasons.is_empty() {
            self.loaded = None;
        }
        if reasons.is_empty() {
            (Verdict::Passed, notes)
        } else {
            (Verdict::Failed(reasons.join("\n")), notes)
        }
    }

    /// Loads the module as the test wants it, and empties the ring. Fails if the kernel complains
    /// meanwhile, or has complained since the last test was judged.
    fn prepare(&mut self, test: &Test) -> Result<(), String> {
        let allowed = if self.loaded == Some(test.params) && !test.alone {
            module::await_unused()?;
            module::tidy_up()?;
            Allowed::Nothing
        } else {
            self.loaded = None;
            module::reload(test.params).map_err(|error| {
                format!("cannot load the module with \"{}\": {error}", test.params)
            })?;
            self.loaded = Some(test.params);
            Allowed::TheModule
        };
        match self.log.complaints(allowed) {
            complaints if complaints.is_empty() => Ok(()),
            complaints => {
                self.loaded = None;
                let lines = complaints.join("\n");
                Err(format!("in the kernel log before the test: {lines}"))
            }
        }
    }
}

/// Returns the verdict on a test that cannot run here, if it cannot.
fn excuse(test: &Test, lane: Lane, threads_run_at_once: bool) -> Option<Verdict> {
    let reason = match test.narrow {
        Err(reason) if cfg!(target_pointer_width = "32") => reason,
        _ if test.at_once && !threads_run_at_once => "no two threads run at once here",
        _ => match (test.needs?(), lane) {
            (Ok(()), _) => return None,
            (Err(missing), Lane::Plain | Lane::Slow) => missing,
            (Err(missing), Lane::Debug) => {
                let reason = format!("the debug kernel must have it: {missing}");
                return Some(Verdict::Failed(reason));
            }
        },
    };
    Some(if reason.is_empty() {
        Verdict::Failed("skipped without a reason".to_owned())
    } else {
        Verdict::Skipped(reason)
    })
}

/// Runs the body of a test in a process group of its own, until it ends or its time is up.
/// Returns with every process of the group gone.
fn run_process(test: &Test) -> (Result<(), String>, String) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).expect("make a pipe for the report");

    // SAFETY: this process has one thread, so the child may do whatever it could do.
    let child = match unsafe { fork() }.expect("fork a test") {
        ForkResult::Child => {
            drop(reader);
            become_test(writer);
            match test.body {
                Body::Plain(check) => check(),
                Body::OfKind(check, kind) => check(kind),
            }
            end(EXIT_FINISHED);
        }
        ForkResult::Parent { child } => child,
    };
    // The child does the same; whoever comes first, the group exists from here on.
    let _ = setpgid(child, child);
    drop(writer);

    let mut report = File::from(reader);
    let mut notes = Vec::new();
    let outcome = match watch(child, &mut report, test.deadline(), &mut notes) {
        Ended::ByItself => Ok(()),
        Ended::Overdue => Err(format!(
            "not done after {} s; its threads were:\n{}",
            test.deadline().as_secs(),
            Group(child)
        )),
    };
    let status = reap(child);
    if status.is_ok() {
        // Nobody is left who could write, so this reads to the end and does not wait.
        let _ = report.read_to_end(&mut notes);
    }
    let notes = String::from_utf8_lossy(&notes).into_owned();
    let outcome = outcome.and_then(|()| judge(status?, &notes));
    (outcome, notes.replace(FAILURE, ""))
}

/// Judges a test by how its process ended, and by what all of its processes have reported.
fn judge(status: WaitStatus, report: &str) -> Result<(), String> {
    match status {
        // Nobody need have waited for the process in which the check failed.
        WaitStatus::Exited(_, EXIT_FINISHED) if report.contains(FAILURE) => {
            Err("a check failed in another process".to_owned())
        }
        WaitStatus::Exited(_, EXIT_FINISHED) => Ok(()),
        // Its last words, a panic message, are in the report.
        WaitStatus::Exited(_, EXIT_FAILED) => Err("failed".to_owned()),
        status => Err(format!("ended before its function returned: {status:?}")),
    }
}

/// Sets up the process of a test: its group, its report, and how it ends when it panics.
fn become_test(report: OwnedFd) {
    let this = Pid::from_raw(0);
    setpgid(this, this).expect("lead a process group");
    // SAFETY: PR_SET_PDEATHSIG takes one integer and touches no memory.
    let bound = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    Errno::result(bound).expect("end when the runner ends");
    REPORT
        .set(Mutex::new(File::from(report)))
        .expect("a test's process is set up once");
    // In whichever thread or forked process a check fails, there the test ends.
    panic::set_hook(Box::new(|info| {
        report_failure(info);
        end(EXIT_FAILED);
    }));
}

fn report_failure(info: &panic::PanicHookInfo<'_>) {
    report(&format!("{FAILURE}{info}"));
}

enum Ended {
    ByItself,
    Overdue,
}

/// Collects the report until the test's process has ended, or `limit` has passed.
fn watch(child: Pid, report: &mut File, limit: Duration, notes: &mut Vec<u8>) -> Ended {
    let process = pidfd_open(child).expect("open a pidfd of the test");
    let end = Instant::now() + limit;
    let mut report_open = true;

    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        if report_open {
            fds.push(PollFd::new(report.as_fd(), PollFlags::POLLIN));
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) => return Ended::Overdue,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => panic!("poll the test's process: {error}"),
        }
        let exited = fds[0].any() == Some(true);
        let spoke = fds.get(1).and_then(PollFd::any) == Some(true);
        if exited {
            return Ended::ByItself;
        }
        if spoke {
            let mut chunk = [0; 4096];
            match report.read(&mut chunk) {
                Ok(0) | Err(_) => report_open = false,
                Ok(count) => notes.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// Kills what is left of the test and waits until all of it is gone, also what has left the test's
/// group: this process adopts the orphans. Returns the status of the test's first process.
fn reap(leader: Pid) -> Result<WaitStatus, String> {
    let patience = Instant::now() + Duration::from_secs(10);
    let mut status = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => {
                // Sent again each time: an orphan may have forked since.
                let _ = killpg(leader, Signal::SIGKILL);
                for orphan in children() {
                    let _ = kill(orphan, Signal::SIGKILL);
                }
                if Instant::now() > patience {
                    return Err(format!("cannot be killed:\n{}", Group(leader)));
                }
                thread::sleep(Duration::from_millis(1));
            }
            Ok(ended) if ended.pid() == Some(leader) => status = Some(ended),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => break,
            Err(error) => return Err(format!("waitpid: {error}")),
        }
    }
    status.ok_or_else(|| "its process vanished without a status".to_owned())
}

/// The children of this process.
fn children() -> Vec<Pid> {
    let this = getpid().to_string();
    processes()
        .filter(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The command's name stands in parentheses and may hold any character.
            let parent = stat.rsplit(") ").next().and_then(|s| s.split(' ').nth(1));
            parent == Some(&this)
        })
        .collect()
}

/// All processes that are there.
fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)))
}

fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Shows where each thread of a process group is, for the report of a test that hangs.
struct Group(Pid);

impl Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |path: String| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        for pid in processes().filter(|pid| getpgid(Some(*pid)) == Ok(self.0)) {
            let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
                continue;
            };
            for thread in threads.flatten() {
                let dir = thread.path();
                let stat = read(format!("{}/stat", dir.display()));
                let state = stat.rsplit(')').next().unwrap_or("").trim();
                writeln!(
                    f,
                    "  thread {} state {} in {} (system call {})",
                    thread.file_name().to_string_lossy(),
                    state.chars().next().unwrap_or('?'),
                    read(format!("{}/wchan", dir.display())),
                    read(format!("{}/syscall", dir.display())),
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() {}

    const TEST: Test = Test::new("test", nothing);
    const PID: Pid = Pid::from_raw(1);

    #[test]
    fn a_test_that_needs_nothing_runs() {
        for lane in [Lane::Plain, Lane::Slow, Lane::Debug] {
            assert_eq!(excuse(&TEST, lane, false), None);
            assert_eq!(excuse(&TEST.needs(|| Ok(())), lane, false), None);
        }
    }

    #[test]
    fn a_test_without_what_it_needs_is_skipped_with_the_reason() {
        let test = TEST.needs(|| Err("no such thing"));
        for lane in [Lane::Plain, Lane::Slow] {
            let skipped = Verdict::Skipped("no such thing");
            assert_eq!(excuse(&test, lane, true), Some(skipped));
        }
    }

    #[test]
    fn a_test_without_what_it_needs_fails_in_the_debug_lane() {
        let test = TEST.needs(|| Err("no such thing"));
        let verdict = excuse(&test, Lane::Debug, true);
        assert!(matches!(verdict, Some(Verdict::Failed(reason)) if reason.contains("such thing")));
    }

    #[test]
    fn a_race_is_skipped_where_no_two_threads_run_at_once() {
        let test = TEST.threads_at_once();
        assert_eq!(excuse(&test, Lane::Debug, true), None);
        let verdict = excuse(&test, Lane::Debug, false);
        assert!(matches!(verdict, Some(Verdict::Skipped(_))));
    }

    #[test]
    fn a_test_for_64_bits_runs_where_they_are() {
        let verdict = excuse(&TEST.not_of_32_bits("too wide"), Lane::Plain, true);
        let narrow = cfg!(target_pointer_width = "32");
        assert_eq!(verdict, narrow.then_some(Verdict::Skipped("too wide")));
    }

    #[test]
    fn a_skip_without_a_reason_fails() {
        let verdict = excuse(&TEST.needs(|| Err("")), Lane::Plain, true);
        assert!(matches!(verdict, Some(Verdict::Failed(_))));
    }

    #[test]
    fn only_a_function_that_returns_passes() {
        assert_eq!(
            judge(WaitStatus::Exited(PID, EXIT_FINISHED), "a note\n"),
            Ok(())
        );
        for status in [
            WaitStatus::Exited(PID, 0),
            WaitStatus::Exited(PID, 1),
            WaitStatus::Exited(PID, EXIT_FAILED),
            WaitStatus::Signaled(PID, Signal::SIGKILL, false),
            WaitStatus::Signaled(PID, Signal::SIGABRT, true),
        ] {
            assert!(judge(status, "").is_err(), "{status:?}");
        }
    }

    #[test]
    fn a_check_that_fails_in_any_process_fails_the_test() {
        let report = format!("a note\n{FAILURE}panicked at\n");
        assert!(judge(WaitStatus::Exited(PID, EXIT_FINISHED), &report).is_err());
    }
}
