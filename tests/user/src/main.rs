// SPDX-License-Identifier: GPL-2.0

//! The user space conformance tests of ringdev.
//!
//! One static program that runs as root in the guest. It expects the module at
//! `/lib/ringdev.ko`, loads it as the tests want it, and prints KTAP:
//!
//!     ringdev-tests [--lane plain|slow|debug] [--cpus-take-turns] [--only PATTERN]...
//!     ringdev-tests --list
//!
//! Where CPUs take turns, there may be several of them, and never do two run at once.
//!
//! A pattern selects the tests that it matches as a glob (`*` stands for anything) or is a
//! part of. Each file here holds the tests of one subject and begins with the list of their
//! names, which read as the rules of the device.

mod abi;
mod aio;
mod broadcast;
mod calls;
mod capacity;
mod cgroup;
mod changing;
mod chaos;
mod control;
mod create;
mod debugfs;
mod endpoint;
mod epoll;
mod fault;
mod hangup;
mod harness;
mod inject;
mod kinds;
mod klog;
mod leaks;
mod lifetime;
mod limits;
mod load;
mod memory;
mod module;
mod node;
mod overwrite;
mod poll;
mod random;
mod read;
mod records;
mod sigio;
mod signal;
mod splice;
mod statistics;
mod stream;
mod stress;
mod structs;
mod task;
mod trace;
mod uring;
mod userfault;
mod watermark;
mod words;
mod write;

use std::process::ExitCode;

use harness::{Lane, Place, Test};

const SUBJECTS: [&[Test]; 31] = [
    write::TESTS,
    read::TESTS,
    poll::TESTS,
    epoll::TESTS,
    signal::TESTS,
    sigio::TESTS,
    fault::TESTS,
    userfault::TESTS,
    changing::TESTS,
    calls::TESTS,
    splice::TESTS,
    aio::TESTS,
    uring::TESTS,
    lifetime::TESTS,
    node::TESTS,
    stress::TESTS,
    load::TESTS,
    create::TESTS,
    structs::TESTS,
    records::TESTS,
    overwrite::TESTS,
    broadcast::TESTS,
    hangup::TESTS,
    capacity::TESTS,
    watermark::TESTS,
    statistics::TESTS,
    limits::TESTS,
    chaos::TESTS,
    debugfs::TESTS,
    trace::TESTS,
    inject::TESTS,
];

const USAGE: &str = "usage: ringdev-tests [--lane plain|slow|debug] [--cpus-take-turns] \
                     [--only PATTERN]... [--list]";

struct Arguments {
    place: Place,
    only: Vec<String>,
    list: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        place: Place::PLAIN,
        only: Vec::new(),
        list: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--list" => arguments.list = true,
            "--only" => arguments
                .only
                .push(words.next().ok_or("--only needs a pattern")?),
            "--cpus-take-turns" => arguments.place.cpus_take_turns = true,
            "--lane" => {
                arguments.place.lane = match words.next().as_deref() {
                    Some("plain") => Lane::Plain,
                    Some("slow") => Lane::Slow,
                    Some("debug") => Lane::Debug,
                    _ => return Err("--lane is plain, slow or debug".to_owned()),
                }
            }
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(arguments)
}

/// True if the pattern is a part of the name, or matches it whole with `*` for anything.
fn selects(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return name.contains(pattern);
    };
    let Some(mut left) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("ringdev-tests: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut chosen: Vec<Test> = Vec::new();
    let subjects = SUBJECTS.into_iter().map(<[Test]>::to_vec);
    for mut tests in subjects.chain([kinds::tests()]) {
        tests.retain(|test| {
            let only = &arguments.only;
            only.is_empty() || only.iter().any(|pattern| selects(pattern, test.name))
        });
        tests.sort_by_key(Test::load_order);
        chosen.extend(tests);
    }
    if arguments.list {
        for test in chosen {
            println!("{}", test.name);
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        eprintln!("ringdev-tests: no test is called that");
        return ExitCode::from(2);
    }
    harness::run(&chosen, arguments.place)
}

#[cfg(test)]
mod tests {
    use super::selects;

    #[test]
    fn a_pattern_is_a_part_or_a_glob() {
        assert!(selects("read", "read_returns"));
        assert!(selects("turns", "read_returns"));
        assert!(!selects("write", "read_returns"));
        assert!(selects("read*", "read_returns"));
        assert!(selects("*returns", "read_returns"));
        assert!(selects("r*_*s", "read_returns"));
        assert!(!selects("returns*", "read_returns"));
        assert!(!selects("*read", "read_returns"));
        assert!(!selects("read_*_returns", "read_returns"));
    }
}
