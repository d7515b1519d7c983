# SPDX-License-Identifier: GPL-2.0
"""``make mistakes``: what finds in C the mistakes that the compiler refuses in Rust.

Each mistake of tests/compile_fail is made in the driver's twin as well (``mistake()`` in its
sources). A twin with that mistake alone is run in a guest of the debug lane, by the user test that
meets it. What finds it there has to be what the mistake's file says: a report of the kernel, the
test, or nothing. Without a mistake the same tests find nothing.

ONLY=PATTERN runs those with such a name. RECORD=1 writes the table of Documentation/mistakes.
"""

import argparse
import itertools
import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import cargo, compile_fail, lane, module, paths, performance, suite, variables
from lab.compile_fail import Mistake
from lab.errors import Exit, LabError, UsageError
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.report import say
from lab.results import Results, matches
from lab.splat import Splat
from lab.suite import SuiteRun
from lab.task import Task
from lab.test import PROGRAM

TABLE = paths.ROOT / "Documentation/mistakes/table.rst"
HEAD = ".. SPDX-License-Identifier: GPL-2.0\n.. Written by `make mistakes RECORD=1`.\n\n"
# A column may be so wide, unless a word is wider.
_WRAPPER = textwrap.TextWrapper(36, break_long_words=False, break_on_hyphens=False)

LANE = "debug"
CONTROL = "twin_without_a_mistake"

# What may find a mistake, besides a report of the kernel.
TEST = "the test"
NOTHING = "nothing"

# What is found has to be the same each time. The detector of hung tasks looks after 120 seconds,
# which is when a test's time is up here.
APPEND = ("sysctl.kernel.hung_task_timeout_secs=20", lane.NO_KFENCE)
# Seconds that the tests of a guest may take under TCG. Each has a deadline of its own.
PATIENCE = 900.0

# What in the first line of a report may be different each time: the function that it happened in,
# which depends on what the compiler has inlined, and on who comes first; a process; an address; how
# long somebody has waited.
_VARIES = re.compile(
    r" in (\w+\+0x|range ).*|(?<=\w):\d+\b|:? (0x)?[0-9a-f]{16}\b.*| for more than \d+ seconds\."
)


def main(argv: list[str]) -> int:
    """The verb ``mistakes``."""
    parser = argparse.ArgumentParser(prog="make mistakes", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default=os.environ.get("ONLY", ""))
    parser.add_argument("--record", action="store_true", default=variables.is_on("RECORD"))
    options = parser.parse_args(argv)
    if options.record and options.only:
        raise UsageError("RECORD=1 writes a table of all mistakes: without ONLY=")
    everything = compile_fail.read(compile_fail.FOLDER)
    chosen = [mistake for mistake in everything if matches(mistake.name, options.only)]
    if not chosen:
        raise UsageError(f"there is no mistake whose name has '{options.only}' in it")

    where = lane.prepare(LANE, {"guest"})
    program = cargo.guest_programs(where.tools, PROGRAM)[PROGRAM]
    results = Results()
    results.add(f"mistakes ({LANE})", _run(where, program, chosen))
    failed = results.count(Status.FAILED)
    if options.record and not failed:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(HEAD + _setting(where) + table(everything))
        say(f"written: {TABLE.relative_to(paths.ROOT)}")
    results.close()
    return Exit.TESTS_FAILED if failed else Exit.PASSED


def _run(where: Lane, program: Path, mistakes: Sequence[Mistake]) -> Iterator[Result]:
    """Boots a guest without a mistake, and one for each, and says how they came out."""
    say(f"{CONTROL}, then {len(mistakes)} mistakes")
    tests = sorted({mistake.test for mistake in mistakes})
    yield judge(CONTROL, NOTHING, *_boot(where, program, [], tests))
    for mistake in mistakes:
        say(f"{mistake.name}: {mistake.test}")
        came = _boot(where, program, [mistake.name], [mistake.test])
        yield judge(mistake.name, mistake.found, *came)


def _boot(
    where: Lane, program: Path, mistakes: Sequence[str], tests: Sequence[str]
) -> tuple[SuiteRun, list[str]]:
    """Runs tests on a twin with mistakes. Returns how they came out, and compilers' warnings."""
    twin, warnings = module.build_mistaken(mistakes, where.kernel, where.tools)
    only = [word for test in tests for word in ("--only", test)]
    listing = subprocess.run(
        [str(program), "--list", *only], check=True, capture_output=True, text=True
    )
    if missing := set(tests) - set(listing.stdout.split()):
        raise LabError(f"there is no user test {' or '.join(sorted(missing))}")
    task = Task(
        busybox=where.tools.tool("busybox"),
        module=twin,
        command=shlex.join([PROGRAM, "--lane", where.name, *only]),
        programs={PROGRAM: program},
    )
    limits = where.limits(where.scaled(PATIENCE))
    return suite.run(where, task, tests, limits, APPEND), warnings


def judge(name: str, declared: str, came: SuiteRun, warnings: Sequence[str]) -> Result:
    """Compares what has found a mistake with what has to."""
    found = finding(came)
    wrong = [f"the compiler finds it: {warning}" for warning in warnings]
    if found != declared:
        said = [line for result in came.all_results() for line in result.diagnostics]
        wrong += [f"found by: {found}", f"and not by: {declared}", f"logs: {came.log}", *said]
    return Result(name, Status.FAILED if wrong else Status.PASSED, "", tuple(wrong))


def finding(came: SuiteRun) -> str:
    """Says what has found a mistake: the kernel before the test, which may have told it so."""
    if came.verdict.splats:
        return stable(_first_line(came.verdict.splats[0]))
    if came.verdict.code is not Exit.PASSED:
        return came.verdict.sentence
    if any(result.status is Status.FAILED for result in came.results):
        return TEST
    return "; ".join(came.problems) or NOTHING


def _first_line(report: Splat) -> str:
    # What KASAN knows of an access that the CPU has refused comes below what the CPU says of it.
    return next((line for line in report.lines if line.startswith("KASAN: ")), report.headline)


def stable(headline: str) -> str:
    """Returns the first line of a report without what is different each time."""
    return _VARIES.sub("", headline)


def _setting(where: Lane) -> str:
    versions = where.tools.versions
    return (
        f"Linux {where.kernel.version}, debug lane; {versions['rustc']}; {versions['clang']}.\n\n"
    )


def table(mistakes: Sequence[Mistake]) -> str:
    """Returns what refuses or finds each mistake, as reStructuredText."""
    rows: list[tuple[str, ...]] = [("mistake", "rustc", "found in C by")]
    for mistake in mistakes:
        cells = (mistake.name.replace("_", " "), _refused(mistake), _found(mistake))
        # A line whose first column is empty goes on with the row above it.
        rows += itertools.zip_longest(*map(_WRAPPER.wrap, cells), fillvalue="")
    return performance.table(rows)


def _refused(mistake: Mistake) -> str:
    return ", ".join(f"``{error.replace('*', '')}``" for error in mistake.errors) or NOTHING


def _found(mistake: Mistake) -> str:
    if mistake.found == TEST:
        return f"the test ``{mistake.test}``"
    return mistake.found if mistake.found == NOTHING else f"``{mistake.found}``"
