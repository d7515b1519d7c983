# SPDX-License-Identifier: GPL-2.0
"""The user tests as a program of 64 and of 32 bits: what is built, and when it is not run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lab import cargo, module, suite, test
from lab.boot import Limits
from lab.errors import Exit
from lab.kernel import Kernel
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.suite import SuiteRun
from lab.task import Task
from lab.test import NARROW, NATIVE, PROGRAM
from lab.toolchain import Toolchain
from lab.verdict import Verdict

TOOLS = Toolchain(tools={"busybox": Path("/bin/busybox")})


def lane(monkeypatch: pytest.MonkeyPatch, *symbols: str) -> Lane:
    """Returns a lane whose kernel has these symbols."""
    monkeypatch.setattr(module, "build", lambda *_, **__: Path("/modules"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    kernel = Kernel("plain", Path("/src"), Path("/build"), "7.3.4-lab", "key")
    return Lane("plain", TOOLS, kernel, dict.fromkeys(symbols, "y"), "tcg")


def test_a_kernel_that_runs_no_32_bit_programs_is_passed_over_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suite, "run", lambda *_: pytest.fail("a guest was booted"))
    run = test.TestRun("")
    where = lane(monkeypatch, "CONFIG_IA32_EMULATION")
    run._user(where, NARROW, {PROGRAM: Path("/narrow")}, ["a"])
    reason = "this kernel is without CONFIG_COMPAT_32BIT_TIME"
    assert run.results.tests == [("user, 32-bit (plain)", Result(PROGRAM, Status.SKIPPED, reason))]
    assert run.code() is Exit.PASSED


@pytest.mark.parametrize(
    ("width", "name"), [(NATIVE, "user (plain)"), (NARROW, "user, 32-bit (plain)")]
)
def test_both_have_to_show_the_same_tests(
    monkeypatch: pytest.MonkeyPatch, width: test.Width, name: str
) -> None:
    ran: list[tuple[Mapping[str, Path], str | None, Sequence[str]]] = []

    def boot(_: Lane, task: Task, expected: Sequence[str], __: Limits) -> SuiteRun:
        ran.append((task.programs, task.command, expected))
        return SuiteRun([Result("a", Status.PASSED)], Verdict(Exit.PASSED, ""), Path("/log"))

    monkeypatch.setattr(suite, "run", boot)
    run = test.TestRun("a")
    where = lane(monkeypatch, *NARROW.symbols)
    run._user(where, width, {PROGRAM: Path("/program")}, ["a"])
    assert ran == [({PROGRAM: Path("/program")}, "ringdev-tests --lane plain --only a", ["a"])]
    assert run.results.tests == [(name, Result("a", Status.PASSED))]


def test_the_32_bit_program_is_built_with_its_own_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[tuple[str, Sequence[str], Mapping[str, str]]] = []
    monkeypatch.setattr(cargo, "_cargo", lambda _, *call: called.append(call))
    monkeypatch.setattr(cargo, "target_dir", lambda flavour: tmp_path / flavour)
    for width in (NATIVE, NARROW):
        (program,) = width.build(TOOLS, PROGRAM).values()
        assert program.name == PROGRAM
    (flavour, words, env), (flavour_32, words_32, env_32) = called
    assert flavour != flavour_32
    assert "x86_64-unknown-linux-gnu" in words
    assert {"i686-unknown-linux-gnu", "-Zbuild-std"} <= set(words_32)
    assert all("+crt-static" in flags["RUSTFLAGS"] for flags in (env, env_32))
    assert env_32["RUSTC_BOOTSTRAP"] == "1"
