// SPDX-License-Identifier: GPL-2.0

//! Threads and processes that sleep in a system call, and how a test knows that they do.
//!
//! A test never sleeps and hopes. That a thread has fallen asleep is an event: /proc shows
//! its state and the system call it is in. That it is not woken is shown by its count of
//! context switches: a thread that is woken and goes back to sleep has counted one.

use std::fs;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, gettid};

use crate::harness;

/// A system call to be found asleep in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call(c_long);

impl Call {
    pub const OPEN: Self = Self(libc::SYS_openat);
    pub const READ: Self = Self(libc::SYS_read);
    pub const READV: Self = Self(libc::SYS_readv);
    pub const WRITE: Self = Self(libc::SYS_write);
    pub const WRITEV: Self = Self(libc::SYS_writev);
    pub const PWRITEV2: Self = Self(libc::SYS_pwritev2);
    pub const POLL: Self = Self(libc::SYS_poll);
    pub const EPOLL_WAIT: Self = Self(libc::SYS_epoll_wait);
    pub const SPLICE: Self = Self(libc::SYS_splice);
    pub const SENDFILE: Self = Self(libc::SYS_sendfile);
    pub const IO_GETEVENTS: Self = Self(libc::SYS_io_getevents);
    pub const IO_URING_ENTER: Self = Self(libc::SYS_io_uring_enter);
    pub const PAUSE: Self = Self(libc::SYS_pause);
}

/// How long a test looks on before it says that something does not happen.
const LOOK_ON: Duration = Duration::from_millis(60);

/// Longer than the slowest machine takes for a few system calls, and shorter than any deadline.
const SOON: Duration = Duration::from_secs(10);

/// A thread, of this process or another, that can be watched and signalled.
#[derive(Clone, Copy, Debug)]
pub struct Sleeper {
    pid: Pid,
    tid: Pid,
}

impl Sleeper {
    /// The calling thread, for others to watch.
    pub fn this() -> Self {
        Self {
            pid: getpid(),
            tid: gettid(),
        }
    }

    pub fn tid(self) -> Pid {
        self.tid
    }

    fn read(self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/task/{}/{file}", self.pid, self.tid)).ok()
    }

    /// The thread's state as ps shows it, if there is such a thread.
    fn state(self) -> Option<char> {
        let stat = self.read("stat")?;
        // The command's name stands in parentheses and may hold any character.
        stat.rsplit(") ").next()?.chars().next()
    }

    /// True if the thread sleeps in this system call right now.
    pub fn is_asleep_in(self, call: Call) -> bool {
        // The file reads "running" while the thread is on a CPU or about to be.
        let number = self
            .read("syscall")
            .and_then(|line| line.split(' ').next()?.parse::<c_long>().ok());
        number == Some(call.0) && self.state() == Some('S')
    }

    /// Waits until the thread sleeps in this system call.
    pub fn await_sleep_in(self, call: Call) {
        while !self.is_asleep_in(call) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the thread sleeps in this call, runs `events`, and fails if they wake it.
    pub fn sleeps_through(self, call: Call, events: impl FnOnce()) {
        self.await_sleep_in(call);
        let before = self.times_slept();
        events();
        thread::sleep(LOOK_ON);
        assert!(
            self.is_asleep_in(call) && self.times_slept() == before,
            "a sleeper in {call:?} was woken for nothing"
        );
    }

    /// How often the thread has given up the CPU to wait.
    fn times_slept(self) -> u64 {
        self.read("status")
            .and_then(|status| {
                let line = status
                    .lines()
                    .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
                line.trim().parse().ok()
            })
            .expect("the thread's count of context switches")
    }

    /// Sends a signal to this very thread, which has to be there.
    pub fn signal(self, signal: Signal) {
        self.try_signal(signal).expect("tgkill");
    }

    /// Sends a signal to this very thread, if it is still there.
    pub fn try_signal(self, signal: Signal) -> nix::Result<()> {
        // SAFETY: tgkill takes three integers and touches no memory.
        let sent = unsafe { libc::tgkill(self.pid.as_raw(), self.tid.as_raw(), signal as i32) };
        Errno::result(sent).map(drop)
    }
}

/// A thread of the test.
pub struct Task<T> {
    pub sleeper: Sleeper,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Task<T> {
    pub fn spawn(body: impl FnOnce() -> T + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            sender.send(Sleeper::this()).expect("the test waits for it");
            body()
        });
        Self {
            sleeper: receiver.recv().expect("the thread begins by telling"),
            thread,
        }
    }

    /// Spawns a thread and waits until it sleeps in a system call.
    pub fn asleep_in(call: Call, body: impl FnOnce() -> T + Send + 'static) -> Self {
        let task = Self::spawn(body);
        task.sleeper.await_sleep_in(call);
        task
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the thread has ended or sleeps in this system call. Returns whether it has
    /// ended.
    pub fn ends_before_it_sleeps_in(&self, call: Call) -> bool {
        loop {
            if self.is_finished() {
                return true;
            }
            if self.sleeper.is_asleep_in(call) {
                return false;
            }
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Returns whether the thread ends soon, as one does that must not have to wait for anything,
    /// not even for a lock.
    pub fn ends_soon(&self) -> bool {
        let end = Instant::now() + SOON;
        while !self.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        self.is_finished()
    }

    /// Waits for the thread to end. That it does is what the test's deadline is for.
    pub fn finish(self) -> T {
        self.thread.join().expect("a panic ends the whole process")
    }
}

/// A forked process of the test.
pub struct Process {
    pub sleeper: Sleeper,
}

impl Process {
    /// Forks. The child runs `body` and ends.
    pub fn fork(body: impl FnOnce()) -> Self {
        // SAFETY: glibc leaves its locks usable after a fork, and the bodies take no lock of
        // ours that another thread of the test could hold.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Child => {
                body();
                harness::exit();
            }
            ForkResult::Parent { child } => Self {
                sleeper: Sleeper {
                    pid: child,
                    tid: child,
                },
            },
        }
    }

    /// Forks, and waits until the child sleeps in a system call.
    pub fn asleep_in(call: Call, body: impl FnOnce()) -> Self {
        let process = Self::fork(body);
        process.sleeper.await_sleep_in(call);
        process
    }

    /// Waits until the process sleeps in one of these system calls. Fails if it ends before.
    pub fn await_sleep_in_any(&self, calls: &[Call]) {
        while !calls.iter().any(|call| self.sleeper.is_asleep_in(*call)) {
            assert_ne!(
                self.sleeper.state(),
                Some('Z'),
                "it ended, and did not sleep"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn kill(&self, signal: Signal) {
        kill(self.sleeper.pid, signal).expect("kill");
    }

    /// Waits until the process has stopped, as SIGSTOP does.
    pub fn await_stop(&self) {
        let status = waitpid(self.sleeper.pid, Some(WaitPidFlag::WUNTRACED)).expect("waitpid");
        assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
    }

    pub fn wait(self) -> WaitStatus {
        waitpid(self.sleeper.pid, None).expect("waitpid")
    }

    /// Waits for the end of the process and fails unless its body ran to the end.
    pub fn finish(self) {
        let status = self.wait();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    }

    /// The same for a process that must not have to wait for anything, not even for a lock: fails
    /// while it is still there.
    pub fn finish_soon(self) {
        let end = Instant::now() + SOON;
        loop {
            match waitpid(self.sleeper.pid, Some(WaitPidFlag::WNOHANG)).expect("waitpid") {
                WaitStatus::StillAlive => {}
                status => {
                    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
                    return;
                }
            }
            let state = self.sleeper.state().unwrap_or('?');
            assert!(Instant::now() < end, "it hangs, in state {state}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the process with SIGKILL and waits for its end, which nothing may delay.
    pub fn kill_for_good(self) {
        self.kill(Signal::SIGKILL);
        let status = self.wait();
        assert!(
            matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _)),
            "{status:?}"
        );
    }
}

extern "C" fn take_note(_: i32) {}

/// Installs a handler that does nothing, so that the signal interrupts a system call.
pub fn on_signal(signal: Signal, flags: SaFlags) {
    let action = SigAction::new(SigHandler::Handler(take_note), flags, SigSet::empty());
    // SAFETY: a handler that does nothing is safe at any point.
    unsafe { sigaction(signal, &action) }.expect("sigaction");
}

/// Binds the calling thread to one processor, so that what it wakes there cannot run before
/// it gives way.
pub fn stay_on_cpu(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu).expect("a processor's number");
    sched_setaffinity(Pid::from_raw(0), &cpus).expect("sched_setaffinity");
}

/// Makes the calling thread more urgent than all ordinary ones on its processor, and than those
/// that are less urgent.
pub fn be_urgent(priority: i32) {
    let urgent = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the structure is borrowed for the call.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &urgent) };
    Errno::result(done).expect("sched_setscheduler");
}
