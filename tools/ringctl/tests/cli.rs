// SPDX-License-Identifier: GPL-2.0

//! ringctl as a shell sees it: exit codes, and what is on which output. No ring is needed.

use std::io::Read;
use std::process::{Command, Output, Stdio};

fn ringctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringctl"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    ringctl(arguments).output().expect("it runs")
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&["frobnicate"][..], &["cat", "a/b"], &["destroy"], &[]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn help_is_no_failure() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_failure_is_one_line_and_exit_code_1() {
    for command in ["cat", "write", "watermark"] {
        let output = run(&[command, "ring-that-nobody-has-made"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(
            error.starts_with("ringctl: cannot open ring ring-that"),
            "{error}"
        );
        assert!(
            error.contains("there is no such ring; look in /dev/ring"),
            "{error}"
        );
        assert!(
            error.ends_with("]\n") && error.lines().count() == 1,
            "{error}"
        );
    }
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let mut child = ringctl(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let mut error = String::new();
    let mut stderr = child.stderr.take().expect("a pipe");
    stderr.read_to_string(&mut error).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(error, "");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("a device that is full");
    let output = ringctl(&["completions", "bash"])
        .stdout(full)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).expect("text");
    assert!(
        error.starts_with("ringctl: cannot write to stdout: No space"),
        "{error}"
    );
}
