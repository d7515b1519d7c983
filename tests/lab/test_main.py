# SPDX-License-Identifier: GPL-2.0
"""The way into the lab: what of that which goes wrong becomes a sentence and a code."""

import errno
import importlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from lab import __main__ as entry
from lab import lane, logs, paths, toolchain, vm
from lab.errors import Exit, LabError


def calling(monkeypatch: pytest.MonkeyPatch, verb: Callable[[list[str]], int]) -> int:
    """Calls the lab, in which a verb does this."""
    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(main=verb))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return entry.main(["clean"])


def test_a_disk_that_is_full_is_the_hosts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: list[str]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/cache/log")

    assert calling(monkeypatch, full) == Exit.HOST_NOT_FIT
    said = capsys.readouterr().err
    assert "no room left on the disk" in said
    assert "/cache/log" in said


def test_a_program_that_is_missing_is_the_hosts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: list[str]) -> int:
        return subprocess.run(["no-such-program"], check=False).returncode

    assert calling(monkeypatch, missing) == Exit.HOST_NOT_FIT
    assert "'no-such-program' is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "told", "/a/file"), OSError("told")]
)
def test_other_errors_are_the_labs_and_keep_their_trace(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def wrong(_: list[str]) -> int:
        raise error

    with pytest.raises(OSError, match="told"):
        calling(monkeypatch, wrong)


def test_what_the_lab_foresaw_has_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_: list[str]) -> int:
        raise LabError("it was not built")

    assert calling(monkeypatch, wrong) == Exit.BUILD_FAILED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_the_stack(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    ended: list[str] = []

    def wait(_: list[str]) -> int:
        try:
            signal.raise_signal(number)
        finally:
            ended.append("what was started")
        return 0

    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(main=wait))
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as left:
            entry.main(["clean"])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert left.value.code == 128 + number
    assert ended


# What `make gdb` does not know is for gdb.
STRICT = sorted(entry.VERBS.keys() - {"gdb"})


@pytest.mark.parametrize("verb", STRICT)
def test_a_wrong_argument_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    def act(*_: object, **__: object) -> None:
        pytest.fail(f"{verb} began its work")

    for owner, name in (
        (subprocess, "Popen"),
        (shutil, "rmtree"),
        (toolchain, "find"),
        (lane, "prepare"),
        (logs, "new"),
        (paths, "locked"),
    ):
        monkeypatch.setattr(owner, name, act)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        entry.main([verb, "--no-such-option"])
    # Those that have an exit code of the guest's for their own use another.
    assert left.value.code == (vm.USAGE if verb in {"vm", "run", "debug"} else Exit.USAGE)
