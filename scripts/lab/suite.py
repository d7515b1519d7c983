# SPDX-License-Identifier: GPL-2.0
"""Runs one suite of tests in a guest: the module's KUnit cases, or a program that speaks KTAP."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import decode, ktap, logs, verdict
from lab.boot import Limits, Outcome, boot
from lab.errors import Exit
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.qemu import Port
from lab.task import Task
from lab.verdict import Verdict


@dataclass
class SuiteRun:
    """How a suite came out: its tests, the guest's verdict, and what does not fit together."""

    results: list[Result]
    verdict: Verdict
    log: Path
    # What is wrong with the results as a whole.
    problems: list[str] = field(default_factory=list)
    # Reports of the kernel, with files and lines put to their addresses.
    splats: list[str] = field(default_factory=list)

    @property
    def code(self) -> Exit:
        """The exit code that says it best: the guest's trouble before that of the tests."""
        if self.verdict.code not in (Exit.PASSED, Exit.TAINT):
            return self.verdict.code
        failed = any(result.status is Status.FAILED for result in self.results)
        # KUnit that was off leaves a taint that is not as expected, too.
        return Exit.TESTS_FAILED if failed or self.problems else self.verdict.code

    def all_results(self) -> list[Result]:
        """Returns the tests, and what is wrong with the guest or the whole as failed tests."""
        logs_are = f"logs: {self.log}"
        extra = []
        if self.problems:
            said = (*self.problems, logs_are)
            extra.append(Result("(the results as a whole)", Status.FAILED, "", said))
        if self.verdict.code is not Exit.PASSED:
            lines = [line for splat in self.splats for line in splat.splitlines()]
            said = (self.verdict.sentence, logs_are, *lines)
            extra.append(Result("(the guest)", Status.FAILED, "", said))
        return [*self.results, *extra]


def run(
    where: Lane,
    task: Task,
    expected: Sequence[str],
    limits: Limits,
    append: tuple[str, ...] = (),
) -> SuiteRun:
    """Boots a guest for a task with tests, of which all ``expected`` have to show a result.

    The tests are the module's KUnit suites if the task has it run these, else its command. A task
    with neither has none: what counts is that the module can be loaded and unloaded.
    """
    log = logs.new(f"{where.name}-{'kunit' if task.kunit else 'tests'}")
    outcome = boot(where.machine((*task.append(), *append)), task, limits, log)
    judged = verdict.judge(where, task, outcome)
    splats = decode.reports(judged, where.kernel, where.tools, task, outcome.facts)
    report = ktap.Report()
    if task.kunit or task.command is not None:
        report = ktap.parse(outcome.outputs[Port.RESULTS if task.kunit else Port.STDOUT])
    ran = {result.name for result in report.results}
    problems = [
        *report.problems,
        *(f"{name} did not run" for name in expected if name not in ran),
        *(f"{name} ran and is not known" for name in sorted(ran - set(expected))),
    ]
    if task.command is not None and not task.kunit:
        problems += _exit_code(outcome, report)
    return SuiteRun(report.results, judged, log, problems, splats)


def _exit_code(outcome: Outcome, report: ktap.Report) -> list[str]:
    """Says where a program's exit code is not what its results say."""
    status = outcome.facts.get("exit", "")
    failed = any(result.status is Status.FAILED for result in report.results)
    if status not in ("", "0") and not failed:
        said = outcome.outputs[Port.STDERR].splitlines()[-20:]
        return [f"its exit code is {status}, and no test failed", *said]
    if status == "0" and failed:
        return ["its exit code is 0, and tests failed"]
    return []
