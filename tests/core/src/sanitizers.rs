// SPDX-License-Identifier: GPL-2.0

//! Shows that the sanitizer this was built with finds what it is there to find.
//!
//! Each test runs one of the stress tests again, in a process of its own and with a fault.

use std::{
    env,
    process::{Command, Output},
};

/// A test that passes without a fault.
const VICTIM: &str = "stress::one_writer_one_reader_without_sleep";

fn run_victim(fault: &[(&str, &str)]) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", VICTIM, "--nocapture"])
        .envs(fault.iter().copied())
        .output()
        .unwrap()
}

fn expect_report(output: &Output, code: i32, report: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(report), "no report of a {report}: {stderr}");
    assert_eq!(output.status.code(), Some(code), "{stderr}");
}

#[test]
fn a_run_without_fault_is_clean() {
    let output = run_victim(&[]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("1 passed"),
        "{VICTIM} did not run: {stdout}"
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[cfg(sanitizer = "thread")]
mod thread {
    use super::{expect_report, run_victim};
    use crate::{platform::WEAKEN, ring::Site};

    fn expect_race(weakened: Site) {
        let output = run_victim(&[(WEAKEN, &format!("{weakened:?}"))]);
        expect_report(&output, 66, "data race");
    }

    #[test]
    fn head_release_is_needed() {
        expect_race(Site::HeadRelease);
    }

    #[test]
    fn head_acquire_is_needed() {
        expect_race(Site::HeadAcquire);
    }

    #[test]
    fn tail_release_is_needed() {
        expect_race(Site::TailRelease);
    }

    #[test]
    fn tail_acquire_is_needed() {
        expect_race(Site::TailAcquire);
    }
}

#[cfg(sanitizer = "address")]
mod address {
    use super::{expect_report, run_victim};
    use crate::data::OVERRUN;

    #[test]
    fn a_byte_beyond_the_data_is_found() {
        let output = run_victim(&[(OVERRUN, "1")]);
        expect_report(&output, 1, "heap-buffer-overflow");
    }
}
