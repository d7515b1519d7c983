# SPDX-License-Identifier: GPL-2.0
"""``make selftest``: what came of a guest is compared with what has to, in every respect."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lab import cargo, ktap, lane, module, paths, pytools, selftest, suite, toolchain
from lab.errors import Exit, UsageError
from lab.kernel import Kernel
from lab.ktap import Status
from lab.lane import Lane
from lab.selftest import Case
from lab.suite import SuiteRun
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import Verdict


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANE", "ONLY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(toolchain, "find", lambda **_: None)
    monkeypatch.setattr(pytools, "tests", lambda *_: ("lab", []))


def test_a_pattern_that_matches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY", "no-such-test")
    with pytest.raises(UsageError, match="no-such-test"):
        selftest.main([])


def test_a_lane_without_guests_that_come_out_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANE", "stock")
    with pytest.raises(UsageError, match="LANE=stock: there are plain, debug"):
        selftest.main([])


RED = Case(
    "a test that fails",
    Exit.TESTS_FAILED,
    ("because", "(console) booted", "passed a", "FAILED b", "(reason) none here"),
    fails=("b",),
    skips=("c",),
    expected=("a", "b", "c"),
)


@pytest.fixture
def came(tmp_path: Path) -> SuiteRun:
    """Returns what has to come of the case."""
    (tmp_path / "console.log").write_text("[    0.000000] booted\n")
    results = [
        ktap.Result("a", Status.PASSED),
        ktap.Result("b", Status.FAILED, diagnostics=("because",)),
        ktap.Result("c", Status.SKIPPED, reason="none here"),
    ]
    return SuiteRun(results, Verdict(Exit.PASSED), tmp_path)


def test_what_comes_out_as_it_has_to_passes(came: SuiteRun) -> None:
    assert selftest.check(RED, came) == ktap.Result(RED.name, Status.PASSED)


def refused(case: Case, came: SuiteRun) -> str:
    """Returns why a case has failed."""
    result = selftest.check(case, came)
    assert (result.name, result.status) == (case.name, Status.FAILED)
    return "\n".join(result.diagnostics)


def test_another_verdict_fails(came: SuiteRun) -> None:
    came.verdict = Verdict(Exit.HANG, "in phase 'load'")
    said = refused(RED, came)
    assert "it came out as HANG, not as TESTS_FAILED" in said
    # What the guest said is what one looks for the reason in.
    assert "in phase 'load'" in said


def test_a_case_that_comes_out_green_fails(came: SuiteRun) -> None:
    came.results = [ktap.Result(name, Status.PASSED) for name in "abc"]
    said = refused(RED, came)
    assert "it came out as PASSED, not as TESTS_FAILED" in said
    assert "b came out as passed, not as failed" in said
    assert "c came out as passed, not as skipped" in said


@pytest.mark.parametrize("text", RED.says)
def test_each_word_has_to_be_said(came: SuiteRun, text: str) -> None:
    came.results = [ktap.Result(name, Status.PASSED) for name in "de"]
    (came.log / "console.log").write_text("")
    assert f"nobody said '{text}'" in refused(RED, came)


def test_another_test_that_fails_is_noticed(came: SuiteRun) -> None:
    came.results[0] = ktap.Result("a", Status.FAILED, diagnostics=("passed a",))
    assert "a came out as failed, not as passed" in refused(RED, came)


@pytest.mark.parametrize("name", ["b", "c"])
def test_a_test_without_a_result_is_noticed(came: SuiteRun, name: str) -> None:
    came.results = [result for result in came.results if result.name != name]
    assert f"{name} has no result" in refused(RED, came)


def test_results_that_are_torn_are_noticed(came: SuiteRun) -> None:
    came.problems = ["a second plan"]
    assert "the results are torn" in refused(RED, came)


def test_results_that_should_be_torn_and_are_not_fail(came: SuiteRun) -> None:
    said = refused(replace(RED, torn=True), came)
    assert "nobody noticed that the results are torn" in said


def test_the_console_is_not_shown_again(came: SuiteRun) -> None:
    came.verdict = Verdict(Exit.HANG)
    assert "booted" not in refused(RED, came)


def test_each_case_has_a_guest_and_a_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, came: SuiteRun
) -> None:
    booted: list[Task] = []
    monkeypatch.setattr(module, "build_external", lambda *_, **__: tmp_path)
    monkeypatch.setattr(module, "build", lambda *_, **__: tmp_path / "own")
    monkeypatch.setattr(cargo, "guest_programs", lambda _, *names: dict.fromkeys(names, tmp_path))

    def boot(_: Lane, task: Task, *__: object) -> SuiteRun:
        booted.append(task)
        return came

    monkeypatch.setattr(suite, "run", boot)
    kernel = Kernel("plain", tmp_path, tmp_path, "7.3.4-lab", "key")
    where = Lane("plain", Toolchain(tools={"busybox": tmp_path}), kernel, {}, "tcg")
    results = list(selftest.run(where, selftest.CASES))
    assert [result.name for result in results] == [case.name for case in selftest.CASES]
    # This is what came of none of them.
    assert {result.status for result in results} == {Status.FAILED}
    for case, task in zip(selftest.CASES, booted, strict=True):
        assert task.kunit is bool(case.kunit)
        assert task.command == (None if case.kunit else case.command)
        assert (task.module == tmp_path / "own/ringdev.ko") is case.of_harness
        assert list(task.programs) == (["ringdev-tests"] if case.of_harness else [])


def test_cases_have_names_of_their_own_and_something_to_say() -> None:
    names = [case.name for case in selftest.CASES]
    assert len(set(names)) == len(names)
    assert all(case.says and case.code is not Exit.PASSED for case in selftest.CASES)


def test_each_verdict_on_a_guest_has_a_case() -> None:
    of_the_host = {Exit.PASSED, Exit.USAGE, Exit.HOST_NOT_FIT, Exit.BUILD_FAILED}
    assert {case.code for case in selftest.CASES} == set(Exit) - of_the_host


def test_each_deed_of_the_red_module_has_a_case() -> None:
    source = (selftest.RED / "red.c").read_text()
    deeds = set(re.findall(r'^\t\{ "([\w-]+)", \w+ \},$', source, re.MULTILINE))
    assert deeds == {case.deed for case in selftest.CASES} - {"nothing"}


def test_each_test_of_the_harness_is_expected() -> None:
    source = (paths.ROOT / "tests/user/src/red.rs").read_text()
    listed = re.findall(r"^    test!\((\w+)\)", source, re.MULTILINE)
    assert list(selftest.HARNESS_TESTS) == listed


def test_cases_are_chosen_by_lane_and_name() -> None:
    by_lane = [selftest.cases(name) for name in ("plain", "debug")]
    assert all(by_lane)
    assert sum(map(len, by_lane)) == len(selftest.CASES)
    (leak,) = selftest.cases("debug", "a leak")
    assert leak.deed == "leak"
    assert selftest.cases("plain", "a leak") == []


def test_make_test_leaves_out_some_cases_unless_it_is_asked_for_them() -> None:
    name = "aids of the kernel that are turned off"
    in_test = [case.name for case in selftest.cases("debug", all_of_them=False)]
    assert "a leak" in in_test
    assert name not in in_test
    assert [case.name for case in selftest.cases("debug", name, all_of_them=False)] == [name]
    assert name in [case.name for case in selftest.cases("debug")]


@pytest.mark.parametrize(("status", "code"), [(Status.PASSED, 0), (Status.FAILED, 1)])
def test_the_exit_code_says_whether_a_case_failed(
    monkeypatch: pytest.MonkeyPatch, status: Status, code: int
) -> None:
    monkeypatch.setenv("LANE", "plain")
    monkeypatch.setattr(lane, "prepare", lambda *_: None)
    monkeypatch.setattr(
        selftest, "run", lambda _, cases: [ktap.Result(case.name, status) for case in cases]
    )
    assert selftest.main([]) == code


def test_each_module_that_a_case_loads_is_built() -> None:
    built = re.findall(r"(\w+)\.o\b", (selftest.RED / "Kbuild").read_text())
    wanted = {case.kunit or "red.ko" for case in selftest.CASES if not case.of_harness}
    assert {f"{name}.ko" for name in built} == wanted
    assert all((selftest.RED / f"{name}.c").exists() for name in built)
