# SPDX-License-Identifier: GPL-2.0
"""``make selftest``: boots what must come out red, and checks that it does, in the right way.

A lab that says "passed" is worth what it says when something is wrong. Here something is: a
module that misbehaves on purpose (tests/lab/red), or a test program that lies, dies or is
silent. A case passes if the lab gives the verdict that it should, for the reason that it should.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab import lane, module, paths, pytools, suite, toolchain
from lab.errors import Exit
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.results import Results, matches
from lab.suite import SuiteRun
from lab.task import Task

RED = paths.ROOT / "tests/lab/red"

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


KUNIT_CASES = ("red.passes", "red.fails", "red.is_skipped")

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
    ),
    Case(
        "KUnit that is off",
        Exit.TESTS_FAILED,
        ("red.passes did not run",),
        kunit="red_kunit.ko",
        expected=KUNIT_CASES,
        append=("kunit.enable=0",),
    ),
    Case(
        "a module without its KUnit suites",
        Exit.TESTS_FAILED,
        ("no results at all", "red.passes did not run"),
        kunit="red.ko",
        expected=KUNIT_CASES,
    ),
    Case(
        "a user test that fails",
        Exit.TESTS_FAILED,
        ("FAILED b", "because", "passed a"),
        command="printf 'KTAP version 1\\n1..2\\nok 1 a\\n# because\\nnot ok 2 b\\n'; exit 1",
    ),
    Case(
        "a test program that is killed",
        Exit.TESTS_FAILED,
        ("1 results where 2 were planned", "exit code is 137", "b did not run"),
        command="printf 'KTAP version 1\\n1..2\\nok 1 a\\n'; kill -KILL $$",
    ),
    Case(
        "a test program that says nothing",
        Exit.TESTS_FAILED,
        ("no results at all", "a did not run"),
        command="true",
    ),
    Case(
        "a plan that is not what ran",
        Exit.TESTS_FAILED,
        ("2 results where 3 were planned",),
        command="printf 'KTAP version 1\\n1..3\\nok 1 a\\nok 2 b\\n'",
    ),
    Case(
        "a test that was left out, and the plan made to fit",
        Exit.TESTS_FAILED,
        ("b did not run",),
        command="printf 'KTAP version 1\\n1..1\\nok 1 a\\n'",
    ),
    Case(
        "an exit code that the results do not explain",
        Exit.TESTS_FAILED,
        ("exit code is 3, and no test failed",),
        command=f"{GOOD}; exit 3",
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
    ),
    Case("a panic", Exit.PANIC, ("panic:", "as it was told to"), deed="panic"),
    Case("a module that refuses to be loaded", Exit.NOT_LOADED, ("not loaded",), deed="refuse"),
    Case("a module that cannot be unloaded", Exit.NOT_UNLOADED, ("be unloaded",), deed="stay"),
    Case(
        "a module whose loading never ends",
        Exit.HANG,
        ("hang:", "phase 'load'", "(console) hang+0x"),
        deed="hang",
        hangs="load",
    ),
    Case(
        "a test program that never ends",
        Exit.HANG,
        ("hang:", "phase 'command'", "(console) task:sleep"),
        command="sleep 1000",
        hangs="command",
    ),
    Case(
        "a guest that ends before its verdict",
        Exit.NO_VERDICT,
        ("no verdict:", "it never said 'exit'"),
        command=f"{GOOD}; echo b >/proc/sysrq-trigger; sleep 60",
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
    results = Results()
    name, found = pytools.tests(toolchain.find(want={"lab-tests"}), options.only)
    if found:
        results.add(name, found)
    for lane_name in lanes:
        if chosen := cases(lane_name, options.only):
            results.add(f"selftest ({lane_name})", run(lane.prepare(lane_name), chosen))
    results.refuse_none(options.only)
    results.close()
    return Exit.TESTS_FAILED if results.count(Status.FAILED) else Exit.PASSED


def cases(lane_name: str, only: str = "") -> list[Case]:
    """Returns the cases for a lane, or those of them whose name ``only`` matches."""
    return [case for case in CASES if case.lane == lane_name and matches(case.name, only)]


def run(where: Lane, chosen: Sequence[Case]) -> Iterator[Result]:
    """Boots a guest for each case, and says whether it came out as it has to."""
    modules = module.build_external(RED, where.kernel, where.tools)
    for case in chosen:
        yield check(case, _boot(where, modules, case))


def _boot(where: Lane, modules: Path, case: Case) -> SuiteRun:
    task = Task(
        busybox=where.tools.tool("busybox"),
        module=modules / (case.kunit or "red.ko"),
        module_args="" if case.kunit == "red_kunit.ko" else f"what={case.deed}",
        kunit=bool(case.kunit),
        command=None if case.kunit else case.command,
    )
    limits = where.limits(60.0)
    if case.hangs:
        limits = replace(limits, **{case.hangs: SECONDS_TO_HANG})
    return suite.run(where, task, case.expected, limits, case.append)


def check(case: Case, came: SuiteRun) -> Result:
    """Compares what came of a case with what has to."""
    said = [f"{result.status} {result.name}" for result in came.results]
    said = [line.replace("failed ", "FAILED ", 1) for line in said]
    for result in came.all_results():
        said += result.diagnostics
    console = (came.log / "console.log").read_text(errors="replace")
    said += [f"(console) {line.partition('] ')[2].strip()}" for line in console.splitlines()]
    wrong = [f"it came out as {came.code.name}, not as {case.code.name}"]
    if came.code is case.code:
        wrong = []
    wrong += [f"nobody said '{text}'" for text in case.says if not any(text in s for s in said)]
    status = Status.FAILED if wrong else Status.PASSED
    not_console = [line for line in said if not line.startswith("(console)")]
    return Result(case.name, status, "", (*wrong, *not_console) if wrong else ())
