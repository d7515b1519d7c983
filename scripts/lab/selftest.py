# SPDX-License-Identifier: GPL-2.0
"""``make selftest``: boots what must come out red, and checks that it does, in the right way.

A lab that says "passed" is worth what it says when something is wrong. Here something is: a
module that misbehaves on purpose (tests/lab/red), a test program that lies, dies or is silent, or
user tests that break the rules of their harness (tests/user/src/red.rs). A case passes if the lab
gives the verdict that it should, for the reason that it should, and about the tests that it should.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab import cargo, lane, logs, module, paths, pytools, suite, toolchain
from lab.errors import Exit
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.report import say
from lab.results import Results, matches
from lab.suite import SuiteRun
from lab.task import Task

RED = paths.ROOT / "tests/lab/red"
# The program of the user tests, and what its tools are wanted for.
PROGRAM = "ringdev-tests"
WANT = frozenset({"guest"})

# How long a command may take under TCG that comes to an end.
SECONDS = 120.0

# How long a guest that is to hang may take over what it never ends.
SECONDS_TO_HANG = 5.0

# The tests that the program is expected to have.
EXPECTED = ("a", "b")
GOOD = "printf 'KTAP version 1\\n1..2\\nok 1 a\\nok 2 b\\n'"


@dataclass(frozen=True)
class Case:
    """Something that must come out red."""

    name: str
    code: Exit
    # What the lab has to say of it, among its results or a decoded report of the kernel.
    says: Sequence[str]
    # The tests that have to fail, and those that have to be skipped. All others that have a result
    # have to pass.
    fails: Sequence[str] = ()
    skips: Sequence[str] = ()
    # Whether `make test` boots it as well, which has little time.
    in_make_test: bool = True
    # Whether the results must be seen not to fit together. None where the guest ends before it has
    # handed them over: how many the host gets is chance.
    torn: bool | None = False
    # What red.ko is to do when it is loaded.
    deed: str = "nothing"
    # What is run in place of the test program.
    command: str | None = GOOD
    # The debug lane, where it takes that lane's aids to see it.
    lane: str = "plain"
    # Where KUnit is what is tested: the module, and the cases that it is expected to have.
    kunit: str = ""
    expected: Sequence[str] = EXPECTED
    append: tuple[str, ...] = ()
    # The phase in which it is to hang.
    hangs: str = ""
    # Where the harness of the user tests is what is tested: the command runs these tests of it, on
    # the module itself.
    of_harness: bool = False


KUNIT_CASES = ("red.passes", "red.fails", "red.is_skipped")

# The tests of tests/user/src/red.rs, in their order. How a name ends says what becomes of the test.
HARNESS_TESTS = (
    "test_that_returns_passes",
    "panic_fails",
    "panic_in_a_thread_fails",
    "panic_in_a_forgotten_process_fails",
    "abort_fails",
    "kill_fails",
    "exit_before_the_end_fails",
    "hang_fails",
    "process_left_behind_passes",
    "process_left_behind_is_gone",
    "daemon_left_behind_passes",
    "daemon_left_behind_is_gone",
    "warning_in_the_log_fails",
    "word_of_the_module_in_the_log_fails",
    "word_of_the_module_at_its_load_passes",
    "warning_of_others_at_its_load_fails",
    "word_of_the_module_after_its_load_fails",
    "complaint_of_a_failed_allocation_passes",
    "report_where_allocations_fail_fails",
    "complaint_after_failed_allocations_fails",
    "warning_between_two_tests_fails",
    "ring_left_behind_passes",
    "ring_left_behind_is_gone",
    "data_left_behind_pass",
    "data_left_behind_are_gone",
    "failure_that_unloads_the_module_fails",
    "module_after_a_failure_is_loaded_anew",
    "complaint_that_unloads_the_module_fails",
    "module_after_a_complaint_is_loaded_anew",
    "parameter_that_is_refused_fails",
    "module_after_a_refusal_is_loaded_anew",
    "test_without_what_it_needs_is_skipped",
    "skip_without_a_reason_fails",
    "note_that_looks_like_a_result_passes",
)

CASES = (
    Case(
        "a KUnit case that fails",
        Exit.TESTS_FAILED,
        (
            "FAILED red.fails",
            "red_kunit.c:16",
            "passed red.passes",
            "skipped red.is_skipped",
            # None of the suites that the kernel has.
            "(console) 1..0",
        ),
        kunit="red_kunit.ko",
        expected=KUNIT_CASES,
        fails=("red.fails",),
        skips=("red.is_skipped",),
    ),
    Case(
        "KUnit that is off",
        Exit.TESTS_FAILED,
        ("red.passes did not run",),
        kunit="red_kunit.ko",
        expected=KUNIT_CASES,
        append=("kunit.enable=0",),
        torn=True,
    ),
    Case(
        "a module without its KUnit suites",
        Exit.TESTS_FAILED,
        ("no results at all", "red.passes did not run"),
        kunit="red.ko",
        expected=KUNIT_CASES,
        torn=True,
    ),
    Case(
        "a user test that fails",
        Exit.TESTS_FAILED,
        ("FAILED b", "because", "passed a"),
        command="printf 'KTAP version 1\\n1..2\\nok 1 a\\n# because\\nnot ok 2 b\\n'; exit 1",
        fails=("b",),
    ),
    Case(
        "a test program that is killed",
        Exit.TESTS_FAILED,
        ("1 results where 2 were planned", "exit code is 137", "b did not run"),
        command="printf 'KTAP version 1\\n1..2\\nok 1 a\\n'; kill -KILL $$",
        torn=True,
    ),
    Case(
        "a test program that says nothing",
        Exit.TESTS_FAILED,
        ("no results at all", "a did not run"),
        command="true",
        torn=True,
    ),
    Case(
        "a plan that is not what ran",
        Exit.TESTS_FAILED,
        ("2 results where 3 were planned",),
        command="printf 'KTAP version 1\\n1..3\\nok 1 a\\nok 2 b\\n'",
        torn=True,
    ),
    Case(
        "a test that was left out, and the plan made to fit",
        Exit.TESTS_FAILED,
        ("b did not run",),
        command="printf 'KTAP version 1\\n1..1\\nok 1 a\\n'",
        torn=True,
    ),
    Case(
        "an exit code that the results do not explain",
        Exit.TESTS_FAILED,
        ("exit code is 3, and no test failed",),
        command=f"{GOOD}; exit 3",
        torn=True,
    ),
    Case(
        "user tests that break the rules of their harness",
        Exit.TESTS_FAILED,
        (
            # Of the tests that fail by a panic, the report has where and why.
            "src/red.rs:",
            "as it was told to",
            "a check failed in another process",
            "Signaled(Pid(",
            "SIGABRT",
            "SIGKILL",
            "ended before its function returned: Exited(",
            "before it hung",
            "not done after 1 s; its threads were:",
            "state S in ",
            "in the kernel log: <4> red: as it was told to",
            "in the kernel log: <6> ringdev: as it was told to",
            "in the kernel log: <4> red: KASAN",
            "in the kernel log before the test: <4> red: as it was told to",
            'cannot load the module with "capacity=1": finit_module: EINVAL',
            "skipped without a reason",
        ),
        fails=tuple(name for name in HARNESS_TESTS if name.endswith("_fails")),
        skips=tuple(name for name in HARNESS_TESTS if name.endswith("_is_skipped")),
        command="ringdev-tests --red",
        of_harness=True,
        expected=HARNESS_TESTS,
    ),
    Case(
        "user tests after which the module cannot be loaded",
        Exit.TESTS_FAILED,
        ("its exit code is 1, and no test failed",),
        torn=True,
        command="ringdev-tests --red --only module_file_left_covered_passes",
        of_harness=True,
        expected=("module_file_left_covered_passes",),
        in_make_test=False,
    ),
    Case(
        "a warning of the kernel",
        Exit.SPLAT,
        ("splat:", "red: as it was told to", "warn (", "/red.c:"),
        deed="warn",
    ),
    Case(
        "an oops",
        Exit.PANIC,
        ("panic:", "NULL pointer dereference", "oops (", "/red.c:"),
        deed="oops",
        torn=None,
    ),
    Case("a panic", Exit.PANIC, ("panic:", "as it was told to"), deed="panic", torn=None),
    Case(
        "a module that refuses to be loaded",
        Exit.NOT_LOADED,
        ("not loaded",),
        deed="refuse",
        torn=True,
    ),
    Case("a module that cannot be unloaded", Exit.NOT_UNLOADED, ("be unloaded",), deed="stay"),
    Case(
        "a module whose loading never ends",
        Exit.HANG,
        ("hang:", "phase 'load'", "(console) hang+0x"),
        deed="hang",
        hangs="load",
        torn=None,
    ),
    Case(
        "a test program that never ends",
        Exit.HANG,
        ("hang:", "phase 'command'", "(console) task:sleep"),
        command="sleep 1000",
        hangs="command",
        torn=None,
    ),
    Case(
        "a guest that ends before its verdict",
        Exit.NO_VERDICT,
        ("no verdict:", "it never said 'exit'"),
        command=f"{GOOD}; echo b >/proc/sysrq-trigger; sleep 60",
        torn=None,
    ),
    Case(
        "output that is lost on its way",
        Exit.NO_VERDICT,
        ("no verdict:", "stdout is missing"),
        command=f"{GOOD}; killall -KILL cat",
    ),
    Case(
        "a taint that nobody explains",
        Exit.TAINT,
        ("taint:", "WO where O"),
        command=f"{GOOD}; echo 512 >/proc/sys/kernel/tainted",
    ),
    Case(
        "an order of locks that could deadlock",
        Exit.SPLAT,
        ("possible circular locking dependency", "lockdep (", "/red.c:"),
        deed="lockdep",
        lane="debug",
    ),
    Case(
        "a sleep where none is allowed",
        Exit.SPLAT,
        ("splat:", "sleep_in_atomic (", "/red.c:"),
        deed="sleep",
        lane="debug",
    ),
    Case(
        "a use after free",
        Exit.SPLAT,
        ("KASAN: slab-use-after-free", "use_after_free (", "/red.c:"),
        deed="use-after-free",
        lane="debug",
        append=(lane.NO_KFENCE,),
    ),
    Case(
        # A ring's data are mapped where vmalloc's are.
        "an access beyond vmalloc'ed memory",
        Exit.SPLAT,
        ("KASAN: vmalloc-out-of-bounds", "beyond_vmalloc (", "/red.c:"),
        deed="beyond-vmalloc",
        lane="debug",
    ),
    Case(
        "a read of what RCU protects without its lock",
        Exit.SPLAT,
        ("suspicious RCU usage", "rcu (", "/red.c:"),
        deed="rcu",
        lane="debug",
        in_make_test=False,
    ),
    Case(
        "aids of the kernel that are turned off",
        Exit.NO_VERDICT,
        ("no verdict:", "not at work at the end: kmemleak, lockdep"),
        command="echo off >/sys/kernel/debug/kmemleak;"
        f" echo 0 >/proc/sys/kernel/prove_locking; {GOOD}",
        lane="debug",
        in_make_test=False,
    ),
    Case(
        "a leak",
        Exit.LEAK,
        ("leak:", "unreferenced object", "leak (", "/red.c:"),
        deed="leak",
        lane="debug",
    ),
)


def main(argv: list[str]) -> int:
    """The verb ``selftest``."""
    parser = argparse.ArgumentParser(prog="make selftest", description=__doc__)
    parser.add_argument("--lane", default=os.environ.get("LANE", ""))
    parser.add_argument("--only", metavar="PATTERN", default=os.environ.get("ONLY", ""))
    options = parser.parse_args(argv)
    lanes = lane.chosen(options.lane, lane.NAMES, lane.NAMES)
    log = logs.new("selftest")
    results = Results()
    name, found = pytools.tests(toolchain.find(want={"lab-tests"}), options.only)
    if found:
        results.add(name, found)
    for lane_name in lanes:
        if chosen := cases(lane_name, options.only):
            where = lane.prepare(lane_name, WANT)
            results.add(f"selftest ({lane_name})", run(where, chosen))
    results.write_junit(log / "junit.xml")
    say(f"results: {log}/junit.xml")
    results.refuse_none(options.only)
    results.close()
    return Exit.TESTS_FAILED if results.count(Status.FAILED) else Exit.PASSED


def cases(lane_name: str, only: str = "", *, all_of_them: bool = True) -> list[Case]:
    """Returns the cases for a lane, or those of them whose name ``only`` matches.

    ``make test`` leaves out some, unless it is asked for them.
    """
    return [
        case
        for case in CASES
        if case.lane == lane_name
        and matches(case.name, only)
        and (all_of_them or only or case.in_make_test)
    ]


def run(where: Lane, chosen: Sequence[Case]) -> Iterator[Result]:
    """Boots a guest for each case, and says whether it came out as it has to."""
    modules = module.build_external(RED, where.kernel, where.tools)
    for case in chosen:
        yield check(case, _boot(where, modules, case))


def _boot(where: Lane, modules: Path, case: Case) -> SuiteRun:
    busybox = where.tools.tool("busybox")
    if case.of_harness:
        task = Task(
            busybox=busybox,
            module=where.module(kunit=False),
            command=case.command,
            programs=cargo.guest_programs(where.tools, PROGRAM),
        )
    else:
        task = Task(
            busybox=busybox,
            module=modules / (case.kunit or "red.ko"),
            module_args="" if case.kunit == "red_kunit.ko" else f"what={case.deed}",
            kunit=bool(case.kunit),
            command=None if case.kunit else case.command,
        )
    limits = where.limits(where.scaled(SECONDS))
    if case.hangs:
        limits = replace(limits, **{case.hangs: SECONDS_TO_HANG})
    return suite.run(where, task, case.expected, limits, case.append)


def check(case: Case, came: SuiteRun) -> Result:
    """Compares what came of a case with what has to."""
    said = [f"{_shown(result.status)} {result.name}" for result in came.results]
    said += [f"(reason) {result.reason}" for result in came.results if result.reason]
    for result in came.all_results():
        said += result.diagnostics
    console = (came.log / "console.log").read_text(errors="replace")
    said += [f"(console) {line.partition('] ')[2].strip()}" for line in console.splitlines()]
    wrong = [*_otherwise(case, came)]
    wrong += [f"nobody said '{text}'" for text in case.says if not any(text in s for s in said)]
    status = Status.FAILED if wrong else Status.PASSED
    not_console = [line for line in said if not line.startswith("(console)")]
    return Result(case.name, status, "", (*wrong, *not_console) if wrong else ())


def _otherwise(case: Case, came: SuiteRun) -> Iterator[str]:
    """Yields what came out otherwise than the case has it."""
    if came.code is not case.code:
        yield f"it came out as {came.code.name}, not as {case.code.name}"
    for result in came.results:
        due = Status.PASSED
        if result.name in case.fails:
            due = Status.FAILED
        elif result.name in case.skips:
            due = Status.SKIPPED
        if result.status is not due:
            yield f"{result.name} came out as {result.status}, not as {due}"
    have = {result.name for result in came.results}
    for name in (*case.fails, *case.skips):
        if name not in have:
            yield f"{name} has no result"
    if case.torn is not None and bool(came.problems) is not case.torn:
        yield "nobody noticed that the results are torn" if case.torn else "the results are torn"


def _shown(status: Status) -> str:
    return "FAILED" if status is Status.FAILED else str(status)
