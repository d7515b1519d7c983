# SPDX-License-Identifier: GPL-2.0
"""``scripts/vm``: a code that is not the command's comes with a line that says so."""

from pathlib import Path

import pytest

from lab import lane, paths, terminal, verdict, vm
from lab.boot import Limits, Outcome
from lab.errors import Exit, HostNotFit, LabError, UsageError
from lab.kernel import Kernel
from lab.lane import Lane
from lab.qemu import Machine
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import Verdict


@pytest.mark.parametrize(
    ("error", "code"),
    [(HostNotFit("no"), Exit.HOST_NOT_FIT), (LabError("no"), Exit.BUILD_FAILED)],
)
def test_what_the_lab_lacks_is_said_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: LabError,
    code: Exit,
) -> None:
    def prepare(*_: object) -> lane.Lane:
        raise error

    monkeypatch.setattr(lane, "prepare", prepare)
    assert vm.main(["--", "true"]) == code
    assert capsys.readouterr().err == "vm: no\n"


def test_a_variable_that_is_wrong_is_no_code_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(*_: object) -> lane.Lane:
        raise UsageError("KERNEL=6.1: there are 7.3, 7.2")

    monkeypatch.setattr(lane, "prepare", prepare)
    with pytest.raises(SystemExit) as ended:
        vm.main(["--", "true"])
    assert ended.value.code == vm.USAGE
    assert "vm: KERNEL=6.1" in capsys.readouterr().err


def prepare(
    monkeypatch: pytest.MonkeyPatch, folder: Path, config: dict[str, str], outcome: Outcome
) -> list[Limits]:
    """Has guests of the plain lane come out so, and returns the limits that they were given."""
    given: list[Limits] = []

    def boot(_: Machine, __: Task, limits: Limits, *___: object) -> Outcome:
        given.append(limits)
        return outcome

    tools = Toolchain({"busybox": folder, "qemu": folder})
    tree = Kernel("plain", folder, folder, "7.3.4", "key")
    monkeypatch.setattr(lane, "prepare", lambda *_: Lane("plain", tools, tree, config, "tcg"))
    monkeypatch.setattr(Lane, "module", lambda *_, **__: folder / "ringdev.ko")
    monkeypatch.setattr(vm, "boot", boot)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    paths.cache()
    return given


@pytest.mark.parametrize(("aids", "code"), [("lockdep", 3), ("", Exit.NO_VERDICT)])
def test_the_code_is_that_of_a_command_only_if_all_aids_were_at_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, aids: str, code: int
) -> None:
    numbers = {"insmod": "0", "exit": "3", "rmmod": "0", "taint": str(verdict.OUT_OF_TREE)}
    facts = {"aids": aids, "kernel": "7.3.4", **numbers, "command": "", "end": ""}
    prepare(monkeypatch, tmp_path, {"CONFIG_PROVE_LOCKING": "y"}, Outcome(tmp_path, facts=facts))
    assert vm.main(["--", "true"]) == code


@pytest.mark.parametrize(
    ("words", "at_terminal", "seconds"),
    [
        ([], False, vm.TIMEOUT),
        ([], True, None),
        (["--timeout", "5"], False, 5.0),
        (["--timeout", "5"], True, 5.0),
        (["--timeout", "0"], False, None),
    ],
)
def test_a_command_has_the_time_that_the_caller_gives(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    at_terminal: bool,
    seconds: float | None,
) -> None:
    given = prepare(monkeypatch, tmp_path, {}, Outcome(tmp_path, facts={"exit": "3"}))
    monkeypatch.setattr(terminal, "is_interactive", lambda: at_terminal)
    monkeypatch.setattr(terminal, "size", lambda: (24, 80))
    monkeypatch.setattr(verdict, "judge", lambda *_, **__: Verdict(Exit.PASSED))
    assert vm.main([*words, "--", "true"]) == 3
    assert [limits.command for limits in given] == [seconds]
