// SPDX-License-Identifier: GPL-2.0

//! A fuzzer of ringdev, guided by coverage. A static program that runs as root in the guest of the
//! lane `fuzz`, with the module loaded with `default_ring=0`:
//!
//!     ringdev-fuzz search --seconds N --seed N [--corpus DIR] [--first]
//!     ringdev-fuzz replay --times N FILE...
//!     ringdev-fuzz list FILE...
//!
//! With `--first` a search ends with the first failure.
//!
//! It tells the lab (scripts/lab/fuzz.py) on its output, a line for each fact:
//!
//!     at NUMBER HEX       a program that is about to run; the kernel's log has its number
//!     new HEX             a program that reached something new
//!     ran NAME            a file was replayed
//!     failure HEX RULE    a program broke a rule; lines that begin with "| " say how
//!     keep HEX            at the end, a program of the smallest corpus
//!     covered HEX...      at the end, where the code was reached, from the module's .text on
//!     count NAME NUMBER   at the end, and now and then
//!
//! What runs is a process of its own, which the first process watches: one that gets stuck, or
//! dies, is a failure, and is replaced.

mod abi;
mod actor;
mod cgroup;
mod history;
mod kcov;
mod klog;
mod log;
mod memory;
mod oracle;
mod program;
mod random;
mod ring;
mod search;
mod sequence;
mod sys;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use actor::Machine;
use cgroup::Memory;
use kcov::{Reached, Trace};
use klog::KernelLog;
use log::{Log, WRITERS};
use memory::Region;
use program::{Program, from_hex, to_hex};
use ring::Control;
use search::Search;
use sequence::Runner;

/// How long a program may take. The slowest take a few seconds.
const STUCK: Duration = Duration::from_secs(150);

/// Where a search keeps what it has found, for the process that replaces it.
const FOUND: &str = "/tmp/fuzz-found";

/// The exit code of the process that runs programs, if one of them broke a rule.
const BROKE: u8 = 1;

#[derive(Clone)]
enum Mode {
    Search {
        seconds: u64,
        seed: u64,
        corpus: Option<PathBuf>,
        first: bool,
    },
    Replay {
        times: u32,
        files: Vec<PathBuf>,
    },
    List {
        files: Vec<PathBuf>,
    },
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Mode, String> {
    let verb = words.next().unwrap_or_default();
    let (mut seconds, mut seed, mut corpus, mut times) = (60, 1, None, 1);
    let mut first = false;
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--seconds" => seconds = number(value()?)?,
            "--seed" => seed = number(value()?)?,
            "--times" => times = number(value()?)? as u32,
            "--first" => first = true,
            "--corpus" => corpus = Some(PathBuf::from(value()?)),
            _ if word.starts_with('-') => return Err(format!("unknown option {word}")),
            _ => files.push(PathBuf::from(word)),
        }
    }
    match verb.as_str() {
        "search" if files.is_empty() => Ok(Mode::Search {
            seconds,
            seed,
            corpus,
            first,
        }),
        "replay" if !files.is_empty() => Ok(Mode::Replay { times, files }),
        "list" if !files.is_empty() => Ok(Mode::List { files }),
        _ => Err("search, or replay or list with files".to_owned()),
    }
}

fn main() -> ExitCode {
    let mode = match parse(std::env::args().skip(1)) {
        Ok(mode) => mode,
        Err(error) => {
            eprintln!("ringdev-fuzz: {error}");
            return ExitCode::from(2);
        }
    };
    if let Mode::List { files } = &mode {
        for file in files {
            match read(file) {
                Ok(bytes) => say(&format!(
                    "{}:\n{}",
                    file.display(),
                    Program::decode(&bytes).listing()
                )),
                Err(error) => eprintln!("ringdev-fuzz: {error}"),
            }
        }
        return ExitCode::SUCCESS;
    }
    let log = match Log::new() {
        Ok(log) => log,
        Err(error) => {
            eprintln!("ringdev-fuzz: no shared memory: errno {}", -error);
            return ExitCode::FAILURE;
        }
    };
    log.clear();
    supervise(log, mode)
}

/// Writes a line to the lab, at once.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Tells of failures, and how long it took to find them.
#[derive(Clone, Copy)]
struct Teller {
    log: &'static Log,
    began: Instant,
}

impl Teller {
    fn fail(self, bytes: &[u8], rule: &str, text: &str) {
        let found = format!(
            "found after {} s, {} programs and {} calls",
            self.began.elapsed().as_secs(),
            self.log.programs.load(SeqCst),
            self.log.calls.load(SeqCst),
        );
        let mut lines = format!("failure {} {rule}\n", to_hex(bytes));
        let listing = Program::decode(bytes).listing();
        for line in listing.lines().chain(text.lines()).chain([&*found]) {
            lines += &format!("| {line}\n");
        }
        say(lines.trim_end());
    }

    /// Reports what is wrong with a run, once for each rule.
    fn report(self, complaints: &[oracle::Complaint], bytes: &[u8], told: &mut Vec<&'static str>) {
        for complaint in complaints {
            if !told.contains(&complaint.rule) {
                told.push(complaint.rule);
                self.fail(bytes, complaint.rule, &complaint.text);
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    from_hex(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Runs programs in a process of their own, and that process anew when it does not come to its end.
fn supervise(log: &'static Log, mode: Mode) -> ExitCode {
    let _ = fs::create_dir_all(FOUND);
    let teller = Teller {
        log,
        began: Instant::now(),
    };
    let mut failed = false;
    let mut mode = mode;
    for generation in 0.. {
        let worker = match sys::fork() {
            0 => {
                let code = work(teller, &mode);
                let _ = std::io::stdout().flush();
                sys::exit_now(code.into());
            }
            error if error < 0 => {
                eprintln!("ringdev-fuzz: fork: errno {}", -error);
                return ExitCode::FAILURE;
            }
            worker => worker as i32,
        };
        let (mut program, mut since) = (log.programs.load(SeqCst), Instant::now());
        let ended = loop {
            let (answer, status) = sys::wait(worker, false);
            if answer != 0 {
                break Some(status);
            }
            let now = log.programs.load(SeqCst);
            if now != program {
                (program, since) = (now, Instant::now());
            }
            if since.elapsed() > STUCK {
                break None;
            }
            thread::sleep(Duration::from_millis(100));
        };
        let bytes = log.program();
        match ended {
            Some(status) if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) <= 2 => {
                let code = libc::WEXITSTATUS(status) as u8;
                return ExitCode::from(if failed { BROKE } else { code });
            }
            Some(status) => {
                failed = true;
                teller.fail(
                    &bytes,
                    "the programs come to their end",
                    &format!("status {status:#x}"),
                );
            }
            None => {
                failed = true;
                teller.fail(&bytes, "a program comes to its end", &stacks(worker));
                sys::kill(worker, libc::SIGKILL);
                let until = Instant::now() + Duration::from_secs(10);
                while sys::wait(worker, false).0 == 0 {
                    if Instant::now() > until {
                        eprintln!("ringdev-fuzz: what is stuck cannot be killed");
                        return ExitCode::from(BROKE);
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
        // Go on with what is left of the time, or of the files.
        match &mut mode {
            Mode::Search {
                seconds,
                seed,
                corpus,
                first,
            } => {
                let left = seconds.saturating_sub(teller.began.elapsed().as_secs());
                if left == 0 || *first {
                    return ExitCode::from(BROKE);
                }
                *seconds = left;
                *seed = seed.wrapping_add(1 + generation);
                *corpus = Some(PathBuf::from(FOUND));
            }
            Mode::Replay { files, .. } => {
                let stuck = files
                    .iter()
                    .position(|file| read(file).is_ok_and(|b| b == bytes));
                *files = files.split_off((stuck.unwrap_or(0) + 1).min(files.len()));
                if files.is_empty() {
                    return ExitCode::from(BROKE);
                }
            }
            Mode::List { .. } => return ExitCode::SUCCESS,
        }
    }
    ExitCode::FAILURE
}

/// Returns where the threads of a process are.
fn stacks(process: i32) -> String {
    let mut text = String::new();
    for task in fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        for file in ["comm", "wchan", "syscall", "stack"] {
            if let Ok(content) = fs::read_to_string(task.path().join(file)) {
                text += &format!("{}: {file}: {content}\n", task.path().display());
            }
        }
    }
    text
}

/// Runs programs. Returns an exit code.
fn work(teller: Teller, mode: &Mode) -> u8 {
    // A thread that panics would leave the others waiting for it.
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::abort();
    }));
    let mut runner = match runner(teller.log) {
        Ok(runner) => runner,
        Err(error) => {
            eprintln!("ringdev-fuzz: {error}");
            return 2;
        }
    };
    let broke = match mode {
        Mode::Search {
            seconds,
            seed,
            corpus,
            first,
        } => {
            let end = Instant::now() + Duration::from_secs(*seconds);
            search(&mut runner, teller, end, *seed, corpus.as_deref(), *first)
        }
        Mode::Replay { times, files } => replay(&mut runner, teller, *times, files),
        Mode::List { .. } => false,
    };
    if broke { BROKE } else { 0 }
}

fn runner(log: &'static Log) -> Result<Runner, String> {
    let errno = |what: &'static str| move |error: i64| format!("{what}: errno {}", -error);
    let kernel_log = KernelLog::open().map_err(|error| format!("/dev/kmsg: {error}"))?;
    let memory = Memory::new();
    let control = Control::open().map_err(errno("open the control device"))?;
    let page = sys::page_size();
    let mut regions = Vec::new();
    for _ in 0..WRITERS {
        let region = || Region::new(page).map_err(errno("map buffers"));
        regions.push([region()?, region()?]);
    }
    let regions: [[Region; 2]; WRITERS] = regions
        .try_into()
        .map_err(|_| "as many regions as actors".to_owned())?;
    let traces: Vec<Trace> = (0..WRITERS).map_while(|_| Trace::new()).collect();
    if traces.len() < WRITERS {
        eprintln!("ringdev-fuzz: without KCOV, nothing guides the search");
    }
    let machine: &'static Machine = Box::leak(Box::new(Machine {
        log,
        control,
        page,
        regions,
        traces,
    }));
    let late: Vec<&Region> = machine.regions.iter().map(|[_, late]| late).collect();
    if let Err(error) = memory::serve_late(&late, page) {
        eprintln!(
            "ringdev-fuzz: without userfaultfd, no page is late: errno {}",
            -error
        );
    }
    for (signal, restart) in [
        (libc::SIGUSR1, true),
        (libc::SIGUSR2, false),
        (libc::SIGIO, false),
        (libc::SIGPIPE, true),
    ] {
        sys::on_signal(signal, restart);
    }
    // Allocations that may sleep can be made to fail as well, of any size, and in silence.
    for kind in ["failslab", "fail_page_alloc", "fail_usercopy"] {
        let set = |file: &str, value: &str| {
            let _ = fs::write(format!("/sys/kernel/debug/{kind}/{file}"), value);
        };
        set("verbose", "0");
        set("ignore-gfp-wait", "N");
        set("ignore-gfp-highmem", "N");
        set("min-order", "0");
    }
    Ok(Runner {
        machine,
        memory,
        log: kernel_log,
        text: kcov::module_text(),
    })
}

/// Searches until `end`, or with `first` until a rule is broken. Says whether one was.
fn search(
    runner: &mut Runner,
    teller: Teller,
    end: Instant,
    seed: u64,
    corpus: Option<&Path>,
    first: bool,
) -> bool {
    let log = teller.log;
    let mut search = Search::new(seed);
    let mut told = Vec::new();
    let mut seeds: Vec<PathBuf> = corpus
        .and_then(|folder| fs::read_dir(folder).ok())
        .map(|files| files.flatten().map(|file| file.path()).collect())
        .unwrap_or_default();
    seeds.sort();
    let mut seeds = seeds.into_iter();
    let mut shown = Instant::now();
    while Instant::now() < end && (told.is_empty() || !first) {
        let known = seeds.next();
        let bytes = match &known {
            Some(file) => match read(file) {
                Ok(bytes) => bytes,
                Err(error) => {
                    eprintln!("ringdev-fuzz: {error}");
                    continue;
                }
            },
            None => search.next(),
        };
        let outcome = runner.run(&bytes);
        teller.report(&outcome.complaints, &bytes, &mut told);
        if let Some(new) = search.consider(&outcome.reached) {
            let entry = search.keep(bytes, outcome.reached, &new, |shorter| {
                let outcome = runner.run(shorter);
                teller.report(&outcome.complaints, shorter, &mut told);
                outcome.reached
            });
            let hex = to_hex(&entry.bytes);
            if known.is_none() {
                say(&format!("new {hex}"));
            }
            let number = log.programs.load(SeqCst);
            let _ = fs::write(format!("{FOUND}/{number:08}"), hex);
        }
        if shown.elapsed() > Duration::from_secs(15) {
            shown = Instant::now();
            counts(log, &search);
        }
    }
    for entry in search.smallest() {
        say(&format!("keep {}", to_hex(&entry.bytes)));
    }
    covered(&search.reached);
    counts(log, &search);
    !told.is_empty()
}

fn counts(log: &Log, search: &Search) {
    say(&format!("count programs {}", log.programs.load(SeqCst)));
    say(&format!("count calls {}", log.calls.load(SeqCst)));
    say(&format!("count corpus {}", search.entries.len()));
    say(&format!("count edges {}", search.reached.edge_count()));
    say(&format!("count places {}", search.reached.counter_count()));
}

fn covered(reached: &Reached) {
    let places: Vec<usize> = reached.counters().collect();
    for some in places.chunks(64) {
        let text: Vec<String> = some.iter().map(|place| format!("{place:x}")).collect();
        say(&format!("covered {}", text.join(" ")));
    }
}

fn replay(runner: &mut Runner, teller: Teller, times: u32, files: &[PathBuf]) -> bool {
    let mut reached = Reached::default();
    let mut broke = false;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match read(file) {
            Ok(bytes) => {
                let mut told = Vec::new();
                for _ in 0..times {
                    let outcome = runner.run(&bytes);
                    teller.report(&outcome.complaints, &bytes, &mut told);
                    reached.add(&outcome.reached);
                }
                broke |= !told.is_empty();
                say(&format!("ran {name}"));
            }
            Err(error) => {
                eprintln!("ringdev-fuzz: {error}");
                broke = true;
            }
        }
    }
    covered(&reached);
    broke
}
