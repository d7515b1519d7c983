# SPDX-License-Identifier: GPL-2.0
"""``make test-in-tree``: what counts as good."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import command, in_tree_build, kunit, verdict
from lab.boot import Outcome
from lab.errors import Exit, HostNotFit
from lab.kernel import Kernel
from lab.ktap import Status
from lab.lane import Lane
from lab.qemu import Machine, Port
from lab.toolchain import Toolchain
from lab.verdict import Verdict


@pytest.fixture
def where(tmp_path: Path) -> Lane:
    """The plain lane, as far as it is looked at."""
    return cast(
        "Lane",
        SimpleNamespace(
            kernel=Kernel("plain", tmp_path, tmp_path, "7.3.4", "key"),
            tools=Toolchain({"rustc": Path("/usr/bin/rustc"), "busybox": Path("/bin/sh")}),
            machine=lambda _: Machine(Path("qemu"), "tcg", Path("of-the-lane")),
            limits=lambda _: None,
            signed_modules=False,
        ),
    )


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("[12:00] Testing complete. Ran 90 tests: passed: 90", True),
        ("[12:00] Testing complete. Ran 90 tests: passed: 89, failed: 1", False),
        ("[12:00] Testing complete. Ran 89 tests: passed: 89", False),
        ("[ERROR] Test: main: 0 tests run!", False),
        ("", False),
    ],
)
def test_all_cases_have_to_pass_under_kunit_py(text: str, good: bool) -> None:
    assert (in_tree_build.suites(text, 90).status is Status.PASSED) is good


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        ("", {"left out": Status.FAILED}),
        ("n", {"left out": Status.PASSED, "as a module": Status.FAILED}),
        ("nm", {"left out": Status.PASSED, "as a module": Status.PASSED,
                "built in": Status.FAILED}),
        ("nmy", {"left out": Status.PASSED, "as a module": Status.PASSED,
                 "built in": Status.PASSED, "without a warning": Status.PASSED,
                 "kunit.py": Status.PASSED}),
    ],
)  # fmt: skip
def test_it_ends_with_the_first_kernel_that_does_not_build(
    where: Lane,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    built: str,
    expected: dict[str, Status],
) -> None:
    def run(*_: object, **__: object) -> int:
        for step in built:
            (tmp_path / step).touch()
        (tmp_path / "kunit.log").write_text("Testing complete. Ran 2 tests: passed: 2\n")
        return 0

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(kunit, "cases", lambda: ["a", "b"])
    log = tmp_path / "log"
    log.mkdir()
    found = in_tree_build.build(where, tmp_path, log)
    assert {result.name: result.status for result in found} == expected


@pytest.mark.parametrize(
    ("said", "code", "good"),
    [
        ("# Totals: pass:15 fail:0 xfail:0 xpass:0 skip:0 error:0\n", "0", True),
        ("# Totals: pass:14 fail:1 xfail:0 xpass:0 skip:0 error:0\n", "1", False),
        ("# Totals: pass:0 fail:0 xfail:0 xpass:0 skip:15 error:0\n", "4", False),
        ("# Totals: pass:0 fail:0 xfail:0 xpass:0 skip:0 error:0\n", "0", False),
        ("", "0", False),
    ],
)
def test_the_selftest_has_to_have_passed_something(
    where: Lane, monkeypatch: pytest.MonkeyPatch, said: str, code: str, good: bool
) -> None:
    def boot(machine: Machine, *_: object) -> Outcome:
        assert machine.image == Path("/out/bzImage")
        return Outcome(Path("log"), facts={"exit": code}, outputs={Port.STDOUT: said})

    monkeypatch.setattr(in_tree_build, "boot", boot)
    monkeypatch.setattr(verdict, "judge", lambda *_, **__: Verdict(Exit.PASSED, ""))
    found = in_tree_build.selftest(where, Path("/out"), Path("log"))
    assert (found.status is Status.PASSED) is good


def test_it_is_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(HostNotFit, match="root"):
        in_tree_build.main([])
