# SPDX-License-Identifier: GPL-2.0
"""``make test TWIN=1``: the user tests on the driver's twin in C, without what that lacks."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import module, paths, suite, test
from lab.boot import Limits
from lab.errors import Exit
from lab.ktap import Result, Status
from lab.lane import TRAITS, Lane
from lab.suite import SuiteRun
from lab.task import Task
from lab.test import NATIVE, PROGRAM
from lab.verdict import Verdict


def test_the_twin_is_tested_and_what_it_lacks_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []
    modules: list[Path | None] = []

    def build(folder: Path, *_: object) -> Path:
        folders.append(folder)
        return Path("/twin")

    def run(_: Lane, task: Task, __: Sequence[str], ___: Limits) -> SuiteRun:
        modules.append(task.module)
        results = [Result("write_a", Status.PASSED), Result("trace_b", Status.FAILED)]
        return SuiteRun(results, Verdict(Exit.PASSED, ""), Path("/log"))

    monkeypatch.setattr(module, "build_external", build)
    monkeypatch.setattr(suite, "run", run)
    where = SimpleNamespace(
        name="plain",
        traits=TRAITS["plain"],
        tools=SimpleNamespace(tool=Path),
        cpus_take_turns=False,
        kernel=None,
        config={},
        limits=lambda _: None,
        scaled=lambda seconds: seconds,
    )
    tests = test.TestRun("", twin=True)
    tests._user(cast("Lane", where), NATIVE, {PROGRAM: Path("/program")}, ["write_a", "trace_b"])
    assert folders == [paths.ROOT / "tests/peers/twin"]
    assert modules == [Path("/twin/ringdev.ko")]
    skipped = Result("trace_b", Status.SKIPPED, "the twin has no tracepoints")
    name = "user (plain, twin)"
    assert tests.results.tests == [(name, Result("write_a", Status.PASSED)), (name, skipped)]
    assert tests.code() is Exit.PASSED
