# SPDX-License-Identifier: GPL-2.0
"""``make test-in-tree``: applies the series of scripts/in-tree to a kernel tree, and builds that.

The tree and the kernel are those of the plain lane, seen in copies in memory (for root alone), so
that little is built again. The driver is left out, a module, and built in; of the last kernel
kunit.py runs the suites, and a guest the selftest.
"""

import argparse
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lab import command, in_tree, kunit, lane, logs, paths, verdict
from lab.boot import boot
from lab.command import tail
from lab.errors import Exit, HostNotFit
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.qemu import Port
from lab.report import say
from lab.results import Results
from lab.task import Task

OVERLAY = Path(__file__).resolve().parent / "overlay"
BUILD = paths.ROOT / "tests/in-tree/build"
SUITE = "in-tree"
# What the driver is in the tree, by the file that says that the kernel was built so.
STEPS = {"n": "left out", "m": "as a module", "y": "built in"}
SELFTEST = "ringdev_test"
SECONDS = 120.0


def main(argv: list[str]) -> int:
    """The verb ``test-in-tree``."""
    argparse.ArgumentParser(prog="make test-in-tree", description=__doc__).parse_args(argv)
    if os.geteuid() != 0:
        raise HostNotFit("mounting copies of the kernel's folders is for root: run this by sudo")
    where = lane.prepare("plain")
    log = logs.new("in-tree")
    results = Results()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        patches = in_tree.write(where.kernel.src, out / "patches")
        wrong = in_tree.check(where.kernel.src, patches)
        results.add(SUITE, [result("checkpatch and get_maintainer", not wrong, wrong)])
        say(f"building {where.kernel.release} with the driver in its tree (log: {log}/build.log)")
        results.add(SUITE, build(where, out, log))
        if (out / SELFTEST).exists():
            results.add(SUITE, [selftest(where, out, log)])
    say(f"logs: {log}")
    results.close()
    return Exit.TESTS_FAILED if results.count(Status.FAILED) else Exit.PASSED


def result(name: str, passed: bool, said: Sequence[str]) -> Result:
    """Returns how a test has come out; what was said is shown if it has failed."""
    if passed:
        return Result(name, Status.PASSED)
    return Result(name, Status.FAILED, "", tuple(said))


def build(where: Lane, out: Path, log: Path) -> list[Result]:
    """Builds the kernels and runs the KUnit suites of the last one."""
    kernel, jobs = where.kernel, f"-j{len(os.sched_getaffinity(0))}"
    script = [str(BUILD), str(kernel.src), str(kernel.build), str(out / "patches"), str(out)]
    overlay = [str(OVERLAY), str(kernel.src), str(kernel.build), "--", *script]
    make = kernel.make(where.tools, jobs)
    with (log / "build.log").open("w") as output:
        command.run(
            ["unshare", "--mount", "--propagation=private", *overlay, *make],
            env=where.tools.env(),
            log=output,
            what="the kernel with the driver in its tree",
        )
    said = tail(log / "build.log", 40).splitlines()
    found = []
    for step, name in STEPS.items():
        built = (out / step).exists()
        found.append(result(name, built, said))
        if not built:
            return found
    warnings = re.findall(r"^.*\bwarning:.*$", read(log / "build.log"), re.MULTILINE)
    found.append(result("without a warning", not warnings, warnings))
    (log / "kunit.log").write_text(text := read(out / "kunit.log"))
    return [*found, suites(text, len(kunit.cases()))]


def suites(text: str, cases: int) -> Result:
    """Judges what kunit.py has said: each of so many cases has to have passed."""
    summary = re.search(r"Testing complete\. Ran (\d+) tests: passed: (\d+)$", text, re.MULTILINE)
    passed = summary is not None and summary[1] == summary[2] == str(cases)
    return result("kunit.py", passed, [f"not {cases} cases passed:", *text.splitlines()[-40:]])


def selftest(where: Lane, out: Path, log: Path) -> Result:
    """Runs the selftest in a guest of the kernel that has the driver built in."""
    task = Task(
        busybox=where.tools.tool("busybox"),
        command=f"/bin/{SELFTEST}",
        programs={SELFTEST: out / SELFTEST},
    )
    machine = replace(where.machine(task.append()), image=out / "bzImage")
    outcome = boot(machine, task, where.limits(SECONDS), log)
    said = outcome.outputs.get(Port.STDOUT, "")
    passed = re.search(r"^# Totals: pass:(\d+) fail:0 ", said, re.MULTILINE)
    judged = verdict.judge(where, task, outcome)
    good = outcome.facts.get("exit") == "0" and passed is not None and passed[1] != "0"
    lines = [judged.sentence, *said.splitlines()[-40:]]
    return result("selftest", good and judged.code is Exit.PASSED, lines)


def read(file: Path) -> str:
    """Returns what a file has, or nothing if it is not there."""
    return file.read_text(errors="replace") if file.exists() else ""
