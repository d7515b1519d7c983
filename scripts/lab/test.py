# SPDX-License-Identifier: GPL-2.0
"""``make test``: all tests, on the host and in a guest of each lane.

LANE=plain|debug runs the guests of one lane alone, ONLY=PATTERN the tests with such a name. With
TWIN=1 the user tests run on the driver's twin in C (tests/peers/twin), and nothing else does.
Without ONLY= each test that the sources have must show a result (inventory.py). The last line is
always ``N passed, N failed, N skipped``.
"""

import argparse
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import (
    abi,
    cargo,
    compile_fail,
    compiled,
    errnos,
    fuzz,
    guide,
    inventory,
    kunit,
    lane,
    logs,
    module,
    new,
    pytools,
    samples,
    selftest,
    suite,
    toolchain,
    variables,
)
from lab.errors import Exit
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.report import say
from lab.results import Results, matches
from lab.suite import SuiteRun
from lab.task import Task
from lab.toolchain import Toolchain

PROGRAM = "ringdev-tests"


@dataclass(frozen=True)
class Width:
    """The user tests as a program of 64 or 32 bits."""

    suite: str
    # What its tools are wanted for.
    want: str
    build: Callable[[Toolchain, str], dict[str, Path]]
    # What a kernel needs to run it, that the lab's own kernels have.
    symbols: tuple[str, ...] = ()
    lanes: tuple[str, ...] = lane.ALL


NATIVE = Width("user", "guest", cargo.guest_programs)
NARROW = Width(
    "user, 32-bit",
    "guest-32",
    cargo.guest_programs_32,
    ("CONFIG_IA32_EMULATION", "CONFIG_COMPAT_32BIT_TIME"),
    # What is different for such a program ends where the module begins: how the kernel takes its
    # arguments. The debug kernel would look at the same code of the module for as long again.
    lanes=("plain",),
)
WIDTHS = (NATIVE, NARROW)

# What the twin in C does not have, by how the names of its tests begin.
TWIN_LACKS = {
    "trace_": "the twin has no tracepoints",
    "debugfs_": "the twin has no files in debugfs",
    "inject_": "the faults are injected into the functions of the driver in Rust",
}


def main(argv: list[str]) -> int:
    """The verb ``test``."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument("--lane", default=os.environ.get("LANE", ""))
    parser.add_argument("--only", metavar="PATTERN", default=os.environ.get("ONLY", ""))
    parser.add_argument("--twin", action="store_true", default=variables.is_on("TWIN"))
    options = parser.parse_args(argv)
    lanes = lane.chosen(options.lane, lane.NAMES, lane.ALL)

    log = logs.new("test")
    run = TestRun(options.only, twin=options.twin)
    # LANE= asks for that lane's guests.
    on_host = not options.lane and not options.twin
    # What must come out red belongs to the debug lane's run, whichever kernel it boots.
    reds = options.lane in ("", "debug") and not options.twin
    try:
        if on_host:
            run.on_host()
        for name in lanes:
            run.in_lane(name, reds=reds)
        run.require(lanes, on_host=on_host, reds=reds)
    finally:
        run.results.write_junit(log / "junit.xml")
    run.results.refuse_none(options.only)
    say(f"results: {log}/junit.xml")
    run.results.close()
    return run.code()


class TestRun:
    """One call of ``make test``."""

    def __init__(self, only: str, *, twin: bool = False) -> None:
        self.results = Results()
        self._only = only
        self._twin = twin
        self._codes: list[Exit] = []

    def on_host(self) -> None:
        """Runs the tests that need no guest."""
        tools = toolchain.find(want={"host-tests", "lab-tests", "abi"})
        for name, found in cargo.host_tests(tools, self._only):
            if found:
                self.results.add(name, found)
        for name, found in (
            abi.tests(tools, self._only),
            (abi.SUITE, errnos.tests(self._only)),
            pytools.tests(tools, self._only),
        ):
            if found:
                self.results.add(name, found)

    def in_lane(self, name: str, *, reds: bool) -> Lane:
        """Runs the tests that need a guest of this lane, and returns the lane."""
        cases = [case for case in kunit.cases() if matches(case, self._only) and not self._twin]
        widths = [width for width in WIDTHS if name in width.lanes]
        of_samples = samples.names(self._only) if name == "plain" and not self._twin else []
        more = {"samples"} if of_samples else set()
        where = lane.prepare(name, {width.want for width in widths} | more)
        programs = {width: width.build(where.tools, PROGRAM) for width in widths}
        # Not every host runs the other.
        tests = self._list(programs[NATIVE][PROGRAM])
        if (
            name == "plain"
            and not self._twin
            and (refused := compile_fail.tests(where, self._only))
        ):
            self.results.add(inventory.full_name("compile_fail", name), refused)
        if not self._twin and (found := compiled.tests(where, self._only)):
            self.results.add(inventory.full_name(compiled.SUITE, name), found)
        red_guests = selftest.cases(name, self._only, all_of_them=False) if reds else []
        if cases and where.config.get("CONFIG_KUNIT") != "y":
            reason = f"this kernel has no KUnit built in ({len(cases)} cases)"
            skipped = Result("kunit", Status.SKIPPED, reason)
            self.results.add(inventory.full_name("kunit", name), [skipped])
        elif cases:
            say(f"{name}: KUnit")
            self._add(inventory.full_name("kunit", name), self._kunit(where, cases))
        if name == "plain" and not self._twin:
            self._guide(where)
        for width in widths if tests else ():
            self._user(where, width, programs[width], tests)
        if (
            name == fuzz.TEST_LANE
            and not self._twin
            and (replayed := fuzz.tests(where, self._only))
        ):
            self.results.add(*replayed)
        if of_samples:
            say(f"{name}: {len(of_samples)} tests of the samples")
            self._add(inventory.full_name("samples", name), samples.run(where, self._only))
        if name == "plain" and not self._twin and (made := new.tests(where, self._only)):
            self.results.add(inventory.full_name("new", name), made)
        if red_guests:
            say(f"{name}: {len(red_guests)} guests that have to come out red")
            came = selftest.run(where, red_guests)
            self.results.add(inventory.full_name("selftest", name), came)
        return where

    def require(self, lanes: Sequence[str], *, on_host: bool, reds: bool) -> None:
        """Adds a failure for each suite that was due and of which a test has no result."""
        if self._only:
            return
        due = inventory.due(lanes, on_host=on_host, reds=reds, twin=self._twin)
        if missing := inventory.missing(due, self.results.tests):
            self.results.add(inventory.SUITE, missing)

    def code(self) -> Exit:
        """Returns the exit code of the whole."""
        if self._codes:
            return self._codes[0]
        return Exit.TESTS_FAILED if self.results.count(Status.FAILED) else Exit.PASSED

    def _kunit(self, where: Lane, cases: list[str]) -> SuiteRun:
        # A module runs all of its suites. With ONLY=, those that are not meant are left out
        # afterwards; that they ran does no harm.
        task = Task(
            busybox=where.tools.tool("busybox"), module=where.module(kunit=True), kunit=True
        )
        run = suite.run(where, task, kunit.cases(), where.limits(None))
        run.results = [result for result in run.results if result.name in cases]
        return run

    def _guide(self, where: Lane) -> None:
        """Runs the examples of the user's guide."""
        if run := guide.run(where, self._only):
            self._add(inventory.full_name(guide.SUITE, where.name), run)

    def _user(
        self, where: Lane, width: Width, programs: Mapping[str, Path], tests: list[str]
    ) -> None:
        """Runs the user tests of a width; each has to show a result."""
        name = inventory.full_name(width.suite, where.name, twin=self._twin)
        if missing := [s for s in width.symbols if where.config.get(s) != "y"]:
            reason = f"this kernel is without {' and '.join(missing)}"
            self.results.add(name, [Result(PROGRAM, Status.SKIPPED, reason)])
            return
        say(f"{name}: {len(tests)} tests")
        words = ["--lane", where.traits.profile]
        if where.cpus_take_turns:
            words += ["--cpus-take-turns"]
        task = Task(
            busybox=where.tools.tool("busybox"),
            module=self._module(where),
            command=shlex.join([PROGRAM, *words, *self._pattern()]),
            programs=programs,
        )
        limits = where.limits(where.scaled(where.traits.tests))
        run = suite.run(where, task, tests, limits)
        if self._twin:
            run.results = [_of_twin(result) for result in run.results]
        self._add(name, run)

    def _module(self, where: Lane) -> Path:
        """Builds the module that the user tests are about."""
        if not self._twin:
            return where.module(kunit=False)
        return module.build_external(module.TWIN, where.kernel, where.tools) / "ringdev.ko"

    def _list(self, program: Path) -> list[str]:
        """Asks the test program for its tests. It is static, and asking needs no device."""
        command = [str(program), "--list", *self._pattern()]
        listing = subprocess.run(command, check=True, capture_output=True, text=True)
        return listing.stdout.split()

    def _pattern(self) -> list[str]:
        patterns = self._only.split("|") if self._only else []
        return [word for pattern in patterns for word in ("--only", pattern)]

    def _add(self, name: str, run: SuiteRun) -> None:
        self.results.add(name, run.all_results())
        if run.code is not Exit.PASSED:
            self._codes.append(run.code)


def _of_twin(result: Result) -> Result:
    """Skips what cannot pass on the twin: it did run, and does not count."""
    for prefix, reason in TWIN_LACKS.items():
        if result.name.startswith(prefix):
            return Result(result.name, Status.SKIPPED, reason)
    return result
