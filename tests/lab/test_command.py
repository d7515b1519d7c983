# SPDX-License-Identifier: GPL-2.0
"""Commands that take long: where their output goes, and that nothing outlives its time."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from lab import command, debian

ENV = {"PATH": "/usr/bin:/bin"}


def test_output_and_exit_code_are_kept(tmp_path: Path) -> None:
    words = ["sh", "-c", "echo out; echo err >&2; exit 7"]
    with (tmp_path / "log").open("w") as log, (tmp_path / "out").open("w") as out:
        assert command.run(words, env=ENV, log=log) == 7
        assert command.run(words, env=ENV, log=log, stdout=out) == 7
    assert (tmp_path / "log").read_text() == "out\nerr\nerr\n"
    assert (tmp_path / "out").read_text() == "out\n"
    assert command.tail(tmp_path / "log", 1) == "    err"


@pytest.mark.parametrize("stubborn", [False, True])
def test_what_takes_too_long_is_ended_with_all_that_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: bool
) -> None:
    monkeypatch.setattr(command, "SECONDS_TO_END", 0.3)
    pids = tmp_path / "pids"
    ignore = "trap '' TERM; " if stubborn else ""
    script = f"{ignore}echo $$ >>{pids}; ({ignore}sleep 60 & echo $! >>{pids}; wait); sleep 60"
    with (tmp_path / "log").open("w") as log, pytest.raises(subprocess.TimeoutExpired):
        command.run(["sh", "-c", script], env=ENV, log=log, timeout=0.5)
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    deadline = time.monotonic() + 10
    while left := [pid for pid in started if runs(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Tells whether a process is there, and not only waited for by nobody."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_who_waits_hears_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SECONDS_BETWEEN_SIGNS", 0.1)
    with (tmp_path / "log").open("w") as log:
        assert command.run(["sleep", "0.35"], env=ENV, log=log, what="the kernel", timeout=60) == 0
        assert "the kernel: 0 minutes so far" in capsys.readouterr().err
        assert command.run(["sleep", "0.35"], env=ENV, log=log) == 0
    assert capsys.readouterr().err == ""


def test_a_script_runs_in_a_root_with_its_arguments_and_leaves_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In place of unshare, which is for root: says how it was called, and runs what is behind `--`.
    (tmp_path / "unshare").write_text(
        '#!/bin/sh\necho "$@"\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n'
    )
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setattr(debian, "ENVIRONMENT", {"PATH": f"{tmp_path}:{os.defpath}:/usr/bin"})
    script = tmp_path / "script"
    script.write_text('echo "ran with $1"\nexit 3\n')
    root = debian.Root(tmp_path / "root")
    assert root.run(tmp_path, [Path("/folder")], script, "an argument") == 3
    called, *said = (tmp_path / "script.log").read_text().splitlines()
    assert said[-1] == "ran with an argument"
    # Neither the network nor the mounts of the machine are its own.
    for word in ("--mount", "--net", "--kill-child", f"{tmp_path}/root {tmp_path} /folder --"):
        assert word in called
