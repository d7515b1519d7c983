// SPDX-License-Identifier: GPL-2.0

//! The user space conformance tests of ringdev.
//!
//! One static program that runs as root in the guest. It expects the module at
//! `/lib/ringdev.ko`, loads it as the tests want it, and prints KTAP:
//!
//!     ringdev-tests [--lane plain|slow|debug] [--cpus-take-turns] [--only PATTERN]...
//!     ringdev-tests --list
//!     ringdev-tests --red
//!
//! The last form runs the tests of the harness itself, most of which have to fail.
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
mod namespaces;
mod node;
mod overwrite;
mod poll;
mod random;
mod read;
mod records;
mod red;
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

const SUBJECTS: [&[Test]; 32] = [
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
    namespaces::TESTS,
    chaos::TESTS,
    debugfs::TESTS,
    trace::TESTS,
    inject::TESTS,
];

const USAGE: &str = "usage: ringdev-tests [--lane plain|slow|debug] [--cpus-take-turns] \
                     [--red] [--only PATTERN]... [--list]";

struct Arguments {
    place: Place,
    only: Vec<String>,
    list: bool,
    red: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        place: Place::PLAIN,
        only: Vec::new(),
        list: false,
        red: false,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--list" => arguments.list = true,
            "--red" => arguments.red = true,
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

/// The tests that are asked for, in the order in which they run.
fn choose(arguments: &Arguments) -> Vec<Test> {
    let only = &arguments.only;
    let is_meant =
        |test: &Test| only.is_empty() || only.iter().any(|pattern| selects(pattern, test.name));
    if arguments.red {
        let mut tests = red::TESTS.to_vec();
        // Nothing can run after it.
        if !only.is_empty() {
            tests.push(red::LAST);
        }
        tests.retain(is_meant);
        return tests;
    }
    let mut chosen = Vec::new();
    let subjects = SUBJECTS.into_iter().map(<[Test]>::to_vec);
    for mut tests in subjects.chain([kinds::tests()]) {
        tests.retain(is_meant);
        tests.sort_by_key(Test::load_order);
        chosen.extend(tests);
    }
    chosen
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("ringdev-tests: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let chosen = choose(&arguments);
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
    use std::collections::HashSet;

    use super::{Arguments, Place, SUBJECTS, Test, choose, kinds, parse, red, selects};

    fn arguments(words: &[&str]) -> Arguments {
        match parse(words.iter().map(|word| (*word).to_owned())) {
            Ok(arguments) => arguments,
            Err(error) => panic!("{error}"),
        }
    }

    fn names(words: &[&str]) -> Vec<&'static str> {
        let tests = choose(&arguments(words));
        tests.iter().map(|test| test.name).collect()
    }

    #[test]
    fn every_test_is_chosen_once_if_nothing_is_asked_for() {
        let all = names(&[]);
        let count = SUBJECTS.iter().map(|tests| tests.len()).sum::<usize>();
        assert_eq!(all.len(), count + kinds::tests().len());
        let mut sorted = all.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), all.len(), "two tests have one name");
    }

    #[test]
    fn no_subject_is_empty() {
        for tests in SUBJECTS {
            assert!(!tests.is_empty());
        }
        assert!(!kinds::tests().is_empty());
    }

    #[test]
    fn tests_of_the_harness_run_only_if_they_are_asked_for() {
        let red: Vec<_> = red::TESTS.iter().map(|test| test.name).collect();
        assert_eq!(names(&["--red"]), red);
        assert!(names(&[]).iter().all(|name| !red.contains(name)));
        assert_eq!(
            names(&["--red", "--only", red::LAST.name]),
            [red::LAST.name]
        );
    }

    #[test]
    fn tests_of_a_subject_with_the_same_parameters_run_in_a_row() {
        let chosen = choose(&arguments(&[]));
        for tests in SUBJECTS {
            let is_of_it = |test: &&Test| tests.iter().any(|of_it| of_it.name == test.name);
            let mut loads: Vec<_> = chosen
                .iter()
                .filter(is_of_it)
                .map(Test::load_order)
                .collect();
            loads.dedup();
            let distinct: HashSet<_> = loads.iter().collect();
            assert_eq!(distinct.len(), loads.len(), "{loads:?}");
        }
    }

    #[test]
    fn an_argument_that_means_nothing_is_refused() {
        for words in [&["--lane"][..], &["--lane", "none"], &["--only"], &["read"]] {
            assert!(parse(words.iter().map(|word| (*word).to_owned())).is_err());
        }
        let place = arguments(&["--lane", "debug", "--cpus-take-turns"]).place;
        assert!(place.cpus_take_turns);
        assert_ne!(place.lane, Place::PLAIN.lane);
    }

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
