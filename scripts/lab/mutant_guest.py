# SPDX-License-Identifier: GPL-2.0
"""Runs named tests on mutants of the module, several mutants in one guest.

A guest loads the module of one mutant after the other, and runs the tests that this one names. It
goes on to the next as long as the kernel has reported no trouble and the module can be unloaded;
what is left then gets another guest. So does a mutant that has ended a guest which others had used
before: it may not have been the one.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab import decode, ktap, logs, verdict
from lab.boot import Outcome, boot
from lab.errors import Exit
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.mutant_host import Came
from lab.qemu import Port
from lab.report import say
from lab.task import NO_SUITE, Task

PROGRAM = "ringdev-tests"

# The suites, as mutants name them, and the lanes that they run in. What is judged by a verdict is
# the guest: the mutant has it to itself.
USER = {"user": "plain", "user/debug": "debug"}
KUNIT = {"kunit": "plain", "kunit/debug": "debug"}
VERDICT = {"verdict": "plain", "verdict/debug": "debug"}
SUITES = {**USER, **KUNIT, **VERDICT}

# How many mutants share a guest at most. Each module takes some MiB of its memory.
TOGETHER = 12

# Seconds that a mutant may take under TCG in the plain lane: to load it, and for each test, which
# has a deadline of its own.
SECONDS = 30.0
SECONDS_OF_A_TEST = 45.0
DEBUG_FACTOR = 6

# Bits of /proc/sys/kernel/tainted after which a guest is not used any more: a warning, an oops.
_SPOILT = verdict.WARNED | 1 << 7

_JOB = re.compile(r"^== job (\d+)\n(.*?)(?=^== |\Z)", re.MULTILINE | re.DOTALL)
_DONE = re.compile(r"^== done (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """Tests of one suite, to be run on one module."""

    mutant: str
    suite: str
    module: Path
    tests: tuple[str, ...]

    @property
    def alone(self) -> bool:
        """Tells whether it must have a guest to itself."""
        return self.suite in VERDICT


def run(where: Lane, program: Path, jobs: Sequence[Job]) -> Iterator[tuple[Job, dict[str, Came]]]:
    """Runs jobs of a lane, and yields each with how its tests came out."""
    waiting = [(job, job.alone) for job in jobs]
    while waiting:
        alone = waiting[0][1]
        count = 1
        if not alone:
            together = [job for job, alone in waiting if not alone]
            count = min(len(together), TOGETHER)
        batch = [entry for entry in waiting if entry[1] == alone][:count]
        waiting = [entry for entry in waiting if entry not in batch]
        names = ", ".join(job.mutant for job, _ in batch)
        say(f"{where.name}: a guest for {names if count == 1 else f'{count} mutants'}")
        outcome, came = _boot(where, program, [job for job, _ in batch])
        left = []
        for number, (job, _) in enumerate(batch):
            found = came.get(number)
            if found is None:
                left.append((job, False))
            elif number and any(one.ended for one in found.values()):
                left.append((job, True))
            else:
                yield job, found
        if len(left) == len(batch):
            # It never came to the first, which is no mutant's doing. They have not run.
            say(f"a guest ended before its first mutant; logs: {outcome.log}")
            yield from ((job, {}) for job, _ in left)
            continue
        waiting = [*left, *waiting]


def _boot(
    where: Lane, program: Path, jobs: Sequence[Job]
) -> tuple[Outcome, dict[int, dict[str, Came]]]:
    """Boots a guest for some jobs, and returns how far it came, by their numbers."""
    task = Task(
        busybox=where.tools.tool("busybox"),
        module=jobs[0].module,
        load=False,
        command=script(jobs, where.traits.profile, take_turns=where.cpus_take_turns),
        programs={PROGRAM: program},
        files={f"/lib/mutants/{number}.ko": job.module for number, job in enumerate(jobs)},
    )
    # The module's own suites run when it is loaded.
    append = ("kunit.enable=1", "kunit.autorun=1", f"kunit.filter_glob={NO_SUITE}")
    factor = DEBUG_FACTOR if where.traits.profile == "debug" else 1
    seconds = sum(SECONDS + SECONDS_OF_A_TEST * len(job.tests) for job in jobs) * factor
    log = logs.new(f"{where.name}-mutants")
    machine = where.machine(append)
    outcome = boot(machine, task, where.limits(where.scaled(seconds)), log)
    judged = verdict.judge(where, task, outcome)
    splats = decode.reports(judged, where.kernel, where.tools, task, outcome.facts)
    # KUnit leaves a mark that is not expected here.
    code = Exit.PASSED if judged.code is Exit.TAINT else judged.code
    said = (f"{code.name.lower()}: {judged.sentence}", *"\n".join(splats).splitlines())
    if jobs[0].alone and judged.idle:
        # That nothing was found means nothing, and that the guest has no verdict is no find.
        say(f"{judged.sentence}; logs: {log}")
        return outcome, {0: {}}
    if jobs[0].alone:
        status = Status.PASSED if code is Exit.PASSED else Status.FAILED
        tests = {test: Came(Result(test, status, "", said)) for test in jobs[0].tests}
        return outcome, {0: tests}
    return outcome, read(outcome.outputs[Port.STDOUT], jobs, said)


def script(jobs: Sequence[Job], profile: str, *, take_turns: bool) -> str:
    """Returns what the guest runs."""
    lines = []
    for number, job in enumerate(jobs):
        lines += [f"echo '== job {number}'", f"cp /lib/mutants/{number}.ko /lib/ringdev.ko"]
        if job.suite in KUNIT:
            lines += [
                "printf '*' >/sys/module/kunit/parameters/filter_glob",
                "insmod /lib/ringdev.ko",
                "cat /sys/kernel/debug/kunit/*/results",
                f"printf {NO_SUITE} >/sys/module/kunit/parameters/filter_glob",
            ]
        else:
            words = [PROGRAM, "--lane", profile, *(["--cpus-take-turns"] if take_turns else [])]
            for test in job.tests:
                words += ["--only", exactly(test)]
            lines.append(shlex.join(words))
        if job.alone:
            continue
        lines += [
            f"echo '== done {number}'",
            "! grep -q '^ringdev ' /proc/modules || rmmod ringdev || exit 0",
            f"[ $(($(cat /proc/sys/kernel/tainted) & {_SPOILT})) = 0 ] || exit 0",
            # After a report of its own or of KASAN, lockdep finds nothing any more.
            "! grep -qs 'debug_locks: *0$' /proc/lockdep_stats || exit 0",
        ]
    return "\n".join(lines)


def exactly(test: str) -> str:
    """Returns a pattern that the test program takes for this name, and not for longer ones."""
    middle = len(test) // 2
    return f"{test[:middle]}*{test[middle:]}"


def read(output: str, jobs: Sequence[Job], said: Sequence[str]) -> dict[int, dict[str, Came]]:
    """Takes the guest's output apart. A job that was not begun is not in what is returned."""
    done = {int(number) for number in _DONE.findall(output)}
    came: dict[int, dict[str, Came]] = {}
    for number, text in _JOB.findall(output):
        job = jobs[int(number)]
        results: Mapping[str, Result] = {result.name: result for result in ktap.parse(text).results}
        tests = {test: Came(results[test]) for test in job.tests if test in results}
        if int(number) not in done:
            # The guest ended during this one.
            for test in job.tests:
                tests.setdefault(test, Came(Result(test, Status.FAILED, "", tuple(said)), True))
            tests = {test: replace(one, ended=True) for test, one in tests.items()}
        came[int(number)] = tests
    return came
