// SPDX-License-Identifier: GPL-2.0

//! Tests of the harness: what must fail, and what must not. `ringdev-tests --red` runs them, in
//! this order, and `scripts/lab/selftest.py` says how each has to come out.
//!
//! A name ends with what becomes of the test. A test that prepares another one stands before it.

use std::fs::{self, File};
use std::process;
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, setsid};

use crate::control::{Ring, STREAM, control};
use crate::endpoint::Endpoint;
use crate::harness::{Test, note, test};
use crate::klog;
use crate::module;
use crate::task::Process;

pub const TESTS: &[Test] = &[
    test!(test_that_returns_passes),
    test!(panic_fails),
    test!(panic_in_a_thread_fails),
    test!(panic_in_a_forgotten_process_fails),
    test!(abort_fails),
    test!(kill_fails),
    test!(exit_before_the_end_fails),
    test!(hang_fails).seconds(1),
    test!(process_left_behind_passes),
    test!(process_left_behind_is_gone),
    test!(daemon_left_behind_passes),
    test!(daemon_left_behind_is_gone),
    test!(warning_in_the_log_fails),
    test!(word_of_the_module_in_the_log_fails),
    test!(word_of_the_module_at_its_load_passes).loads_modules(),
    test!(warning_of_others_at_its_load_fails).loads_modules(),
    test!(word_of_the_module_after_its_load_fails),
    test!(complaint_of_a_failed_allocation_passes).injects(),
    test!(report_where_allocations_fail_fails).injects(),
    test!(complaint_after_failed_allocations_fails),
    test!(warning_between_two_tests_fails).needs(warn_before_the_test),
    test!(ring_left_behind_passes),
    test!(ring_left_behind_is_gone),
    test!(data_left_behind_pass),
    test!(data_left_behind_are_gone),
    test!(failure_that_unloads_the_module_fails),
    test!(module_after_a_failure_is_loaded_anew),
    test!(complaint_that_unloads_the_module_fails),
    test!(module_after_a_complaint_is_loaded_anew),
    test!(parameter_that_is_refused_fails).params("capacity=1"),
    test!(module_after_a_refusal_is_loaded_anew),
    test!(test_without_what_it_needs_is_skipped).needs(|| Err("nobody has it")),
    test!(skip_without_a_reason_fails).needs(|| Err("")),
    test!(note_that_looks_like_a_result_passes),
];

/// Run alone: the harness cannot load the module after it.
pub const LAST: Test = test!(module_file_left_covered_passes);

const WARNING: &str = "<4>red: as it was told to";
const WORD: &str = "<6>ringdev: as it was told to";

fn test_that_returns_passes() {}

fn panic_fails() {
    panic!("as it was told to");
}

fn panic_in_a_thread_fails() {
    thread::spawn(panic_fails);
    // The test ends in the other thread.
    loop {
        thread::park();
    }
}

fn panic_in_a_forgotten_process_fails() {
    // Its end is waited for, and not looked at.
    let _ = Process::fork(panic_fails).wait();
}

fn abort_fails() {
    process::abort();
}

fn kill_fails() {
    kill(getpid(), Signal::SIGKILL).expect("kill");
}

fn exit_before_the_end_fails() {
    process::exit(0);
}

fn hang_fails() {
    note!("before it hung");
    loop {
        thread::park();
    }
}

/// Where a test tells the next one of a process that it leaves behind.
const PID_FILE: &str = "/tmp/red.pid";

/// Leaves a process behind that has the ring open.
fn leave_process(prepare: impl FnOnce()) {
    Process::fork(|| {
        prepare();
        let _ring = Endpoint::both();
        fs::write(PID_FILE, getpid().to_string()).expect("write its number");
        loop {
            thread::park();
        }
    });
    while fs::read_to_string(PID_FILE).map_or(true, |pid| pid.is_empty()) {
        thread::sleep(Duration::from_millis(1));
    }
}

fn assert_process_is_gone() {
    let pid = fs::read_to_string(PID_FILE).expect("read the number of the process");
    fs::remove_file(PID_FILE).expect("remove its file");
    let pid = Pid::from_raw(pid.parse().expect("a number"));
    assert!(kill(pid, None).is_err(), "{pid} is still there");
}

fn process_left_behind_passes() {
    leave_process(|| {});
}

fn process_left_behind_is_gone() {
    assert_process_is_gone();
}

fn daemon_left_behind_passes() {
    leave_process(|| {
        setsid().expect("leave the test's group");
    });
}

fn daemon_left_behind_is_gone() {
    assert_process_is_gone();
}

fn warning_in_the_log_fails() {
    klog::write(WARNING);
}

fn word_of_the_module_in_the_log_fails() {
    klog::write(WORD);
}

fn word_of_the_module_at_its_load_passes() {
    klog::write(WORD);
}

fn warning_of_others_at_its_load_fails() {
    klog::write(WARNING);
}

fn word_of_the_module_after_its_load_fails() {
    klog::write(WORD);
}

fn complaint_of_a_failed_allocation_passes() {
    klog::write(WARNING);
}

fn report_where_allocations_fail_fails() {
    // One that the host does not take for a report: the guest is not what is tested here.
    klog::write("<4>red: KASAN");
}

fn complaint_after_failed_allocations_fails() {
    klog::write(WARNING);
}

fn warn_before_the_test() -> Result<(), &'static str> {
    klog::write(WARNING);
    Ok(())
}

fn warning_between_two_tests_fails() {}

fn ring_left_behind_passes() {
    Ring::small(STREAM);
}

fn ring_left_behind_is_gone() {
    assert_eq!(control().rings().len(), 1);
}

fn data_left_behind_pass() {
    Endpoint::writer().put(b"data");
}

fn data_left_behind_are_gone() {
    assert_eq!(Endpoint::reader().available(), 0);
}

fn failure_that_unloads_the_module_fails() {
    module::unload().expect("unload the module");
    panic!("as it was told to");
}

fn module_after_a_failure_is_loaded_anew() {
    assert!(module::is_loaded());
}

fn complaint_that_unloads_the_module_fails() {
    module::unload().expect("unload the module");
    klog::write(WARNING);
}

fn module_after_a_complaint_is_loaded_anew() {
    assert!(module::is_loaded());
}

fn parameter_that_is_refused_fails() {}

fn module_after_a_refusal_is_loaded_anew() {
    assert!(module::is_loaded());
}

fn test_without_what_it_needs_is_skipped() {
    panic!("it ran");
}

fn skip_without_a_reason_fails() {
    panic!("it ran");
}

fn note_that_looks_like_a_result_passes() {
    note!("1..1\nok 1 forged\nnot ok 2 forged");
}

fn module_file_left_covered_passes() {
    File::create("/tmp/empty").expect("create an empty file");
    let flags = MsFlags::MS_BIND;
    mount(
        Some("/tmp/empty"),
        module::FILE,
        None::<&str>,
        flags,
        None::<&str>,
    )
    .expect("cover the module's file");
}
