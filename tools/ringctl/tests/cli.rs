// SPDX-License-Identifier: GPL-2.0

//! ringctl as a shell sees it: exit codes, and what is on which output. No ring is needed.

use std::fs::File;
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
fn wrong_usage_is_told_in_a_sentence() {
    for (arguments, sentence) in [
        (
            &["frobnicate"][..],
            "error: unrecognized subcommand 'frobnicate'",
        ),
        (
            &["cat", "a/b"],
            "the name of a ring is 1 to 31 of A-Z a-z 0-9 . _ -",
        ),
        (
            &["create", "x", "-c", "lots"],
            "a size is a number of bytes, or one with K, M, G or T",
        ),
        (
            &["create", "x", "-m", "rw"],
            "a mode is an octal number up to 0777, such as 0644",
        ),
        (
            &["watermark", "x", "1", "--delay", "1h"],
            "a time is a number with ns, us, ms or s",
        ),
        (
            &["stat", "-w", "0"],
            "an interval is a number of seconds, at least 0.01",
        ),
        (
            &["evict", "x", "y"],
            "error: invalid value 'y' for '<CURSOR>'",
        ),
        (
            &["create", "x", "--full", "wait"],
            "[possible values: block, drop, overwrite]",
        ),
        (
            &["cat", "--json", "--headers"],
            "cannot be used with '--headers'",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains(sentence), "{arguments:?}: {error}");
    }
}

#[test]
fn help_is_no_failure() {
    for arguments in [
        &["--help"][..],
        &["cat", "-h"],
        &["help", "write"],
        &["--version"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains("ringctl"), "{text}");
    }
}

#[test]
fn what_needs_the_module_says_so() {
    // Where the module is loaded, and may be used, these cannot be done for another reason.
    for arguments in [
        &["create", "odd", "-c", "3"][..],
        &["destroy", "ring-that-nobody-has-made"],
        &["resize", "ring-that-nobody-has-made", "64K"],
        &["clear", "ring-that-nobody-has-made"],
        &["evict", "ring-that-nobody-has-made", "1"],
        &["stat", "ring-that-nobody-has-made"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.starts_with("ringctl: cannot "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let output = run(&["list"]);
    let (said, listed) = (output.stderr, output.stdout);
    assert!(
        said.starts_with(b"ringctl: cannot open /dev/ring/control: ")
            != listed.starts_with(b"NAME"),
        "{said:?}"
    );
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
    for arguments in [&["completions", "bash"][..], &["--help"]] {
        let mut child = ringctl(arguments)
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
}

/// A device that is full.
fn full() -> File {
    let full = File::options().write(true).open("/dev/full");
    full.expect("a device that is full")
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    for arguments in [&["completions", "bash"][..], &["--help"], &["--version"]] {
        let output = ringctl(arguments).stdout(full()).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(
            error.starts_with("ringctl: cannot write to stdout: No space"),
            "{error}"
        );
    }
}

#[test]
fn an_error_that_cannot_be_told_has_its_exit_code() {
    let failed = ringctl(&["cat", "ring-that-nobody-has-made"])
        .stderr(full())
        .status();
    assert_eq!(failed.expect("it runs").code(), Some(1));
    let wrong = ringctl(&["frobnicate"]).stderr(full()).status();
    assert_eq!(wrong.expect("it runs").code(), Some(2));
}
