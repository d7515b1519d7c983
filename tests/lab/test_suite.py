# SPDX-License-Identifier: GPL-2.0
"""A guest with tests: what is missing of its results, and what does not fit, is a problem."""

from pathlib import Path

import pytest

from lab import decode, paths, suite, verdict
from lab.boot import Limits, Outcome
from lab.errors import Exit
from lab.kernel import Kernel
from lab.ktap import Status
from lab.lane import Lane
from lab.qemu import Machine, Port
from lab.suite import SuiteRun
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import Verdict

PASSED = "KTAP version 1\n1..2\nok 1 a\nok 2 b\n"
FAILED = "KTAP version 1\n1..2\nok 1 a\nnot ok 2 b\n"
LIMITS = Limits(None, None, None, None)

# What it says, its exit code, and the tests that are expected of it.
Guest = tuple[str, str, tuple[str, ...]]


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lane:
    """Returns a lane with an aid that has to be at work."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths.cache()
    monkeypatch.setattr(decode, "reports", lambda *_: [])
    tree = Kernel("plain", tmp_path, tmp_path, "7.3.4", "key")
    tools = Toolchain({"qemu": tmp_path, "busybox": tmp_path})
    return Lane("plain", tools, tree, {"CONFIG_DETECT_HUNG_TASK": "y"}, "tcg")


def run(
    where: Lane,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    code: str = "0",
    *,
    judged: Exit = Exit.PASSED,
    expected: tuple[str, ...] = ("a", "b"),
) -> SuiteRun:
    """Runs two tests in a guest that says this, and whose program ends with this code."""
    ports = {Port.STDOUT: said, Port.STDERR: "its last words\n", Port.RESULTS: ""}
    outcome = Outcome(Path("/log"), facts={"exit": code}, outputs=ports)

    def judge(of: Lane, *_: object) -> Verdict:
        assert of is where
        return Verdict(judged)

    def boot(machine: Machine, *_: object) -> Outcome:
        assert {"kunit.enable=0", "more=1"} <= set(machine.append)
        return outcome

    monkeypatch.setattr(suite, "boot", boot)
    monkeypatch.setattr(verdict, "judge", judge)
    task = Task(busybox=Path("/busybox"), command="tests")
    return suite.run(where, task, expected, LIMITS, ("more=1",))


@pytest.mark.parametrize(
    ("said", "code", "outcome"),
    [(PASSED, "0", Exit.PASSED), (FAILED, "1", Exit.TESTS_FAILED)],
)
def test_results_that_fit_are_no_problem(
    where: Lane, monkeypatch: pytest.MonkeyPatch, said: str, code: str, outcome: Exit
) -> None:
    came = run(where, monkeypatch, said, code)
    assert came.problems == []
    assert came.code is outcome
    assert len(came.all_results()) == 2


@pytest.mark.parametrize(
    ("guest", "problem"),
    [
        ((PASSED, "0", ("a", "b", "c")), "c did not run"),
        ((PASSED, "0", ("a",)), "b ran and is not known"),
        (("", "0", ("a",)), "a did not run"),
        ((PASSED, "3", ("a", "b")), "its exit code is 3, and no test failed"),
        ((PASSED, "137", ("a", "b")), "its last words"),
        ((FAILED, "0", ("a", "b")), "its exit code is 0, and tests failed"),
        ((PASSED.replace("1..2", "1..3"), "0", ("a", "b")), "2 results where 3 were planned"),
    ],
)
def test_what_does_not_fit_is_a_failure(
    where: Lane, monkeypatch: pytest.MonkeyPatch, guest: Guest, problem: str
) -> None:
    said, code, expected = guest
    came = run(where, monkeypatch, said, code, expected=expected)
    assert any(problem in line for line in came.problems)
    assert came.code is Exit.TESTS_FAILED
    [whole] = [result for result in came.all_results() if "as a whole" in result.name]
    assert whole.status is Status.FAILED


def test_trouble_of_the_guest_is_a_failure_of_its_own(
    where: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    came = run(where, monkeypatch, FAILED, "1", judged=Exit.LEAK)
    assert came.code is Exit.LEAK
    assert [result.name for result in came.all_results()] == ["a", "b", "(the guest)"]
