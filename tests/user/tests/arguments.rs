// SPDX-License-Identifier: GPL-2.0

//! What the program does with its arguments before it runs anything: it is called on the host,
//! where no test can run.

use std::process::{Command, Output};

fn call(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringdev-tests"))
        .args(words)
        .output()
        .expect("call the program")
}

#[test]
fn a_list_is_of_the_tests_that_are_meant_and_runs_none() {
    // A list without a name is none of this program's mistakes. A run without a test is one.
    let empty = call(&["--list", "--only", "no_such_test"]);
    assert!(empty.status.success());
    assert!(empty.stdout.is_empty());
    let one = call(&["--list", "--only", "evicted_reader_lets_writers_go_on"]);
    assert!(one.status.success());
    assert_eq!(one.stdout, b"evicted_reader_lets_writers_go_on\n");
}

#[test]
fn a_run_of_nothing_is_a_mistake() {
    let run = call(&["--only", "no_such_test"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(run.stdout.is_empty());
    assert!(String::from_utf8_lossy(&run.stderr).contains("no test is called that"));
}

#[test]
fn a_wrong_argument_shows_the_usage() {
    let run = call(&["--lane", "none"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("usage: ringdev-tests"));
}
