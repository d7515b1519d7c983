# SPDX-License-Identifier: GPL-2.0
"""The cache's place, its locks, and folders that are whole or not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab import paths


def test_the_cache_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache() == tmp_path / "ringdev"


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_the_cache_is_below_home_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert paths.cache() == tmp_path / ".cache/ringdev"


def holder(lock: Path, body: str) -> "subprocess.Popen[str]":
    """Starts another lab that takes the lock, and returns it when its body has said so."""
    program = (
        "import subprocess, sys, time; from pathlib import Path; from lab import paths\n"
        f"with paths.locked(Path({str(lock)!r}), 'a test') as fd:\n"
        f"    {body}\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(paths.ROOT / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    return other


def test_the_second_run_waits_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock"
    # It leaves the lock when its stdin ends, a moment after we have begun to wait.
    other = holder(lock, "print('held', flush=True); sys.stdin.read(); time.sleep(0.5)")
    assert other.stdin
    other.stdin.close()
    with paths.locked(lock, "a test"):
        assert other.wait(timeout=10) == 0
    assert "waiting" in capsys.readouterr().err


def test_nobody_waits_for_a_lock_that_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with paths.locked(tmp_path / "lock", "a test"):
            pass
    assert capsys.readouterr().err == ""


def test_a_child_that_outlives_a_killed_lab_keeps_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    other = holder(
        lock,
        "subprocess.Popen(['sleep', '1'], pass_fds=(fd,), stdout=2);"
        "print('held', flush=True); time.sleep(60)",
    )
    other.kill()
    other.wait()
    probe = subprocess.run(["flock", "--nonblock", lock, "true"], check=False)
    assert probe.returncode == 1
    # And no longer than it lives.
    subprocess.run(["flock", "--timeout", "10", lock, "true"], check=True)


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "made"
    with paths.atomic_dir(final) as folder:
        (folder / "file").touch()
        assert not final.exists()
    assert (final / "file").exists()
    assert list(tmp_path.iterdir()) == [final]


def interrupted(final: Path) -> None:
    """Begins to make a folder, and does not get to the end."""
    with paths.atomic_dir(final) as folder:
        (folder / "file").touch()
        raise KeyboardInterrupt


def test_a_folder_that_failed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_failed_leaves_the_one_before(tmp_path: Path) -> None:
    final = tmp_path / "made"
    with paths.atomic_dir(final) as folder:
        (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt):
        interrupted(final)
    assert [path.name for path in final.iterdir()] == ["old"]


def test_a_folder_is_replaced_as_a_whole_and_others_may_read_it(tmp_path: Path) -> None:
    final = tmp_path / "final"
    for name in ("one", "two"):
        with paths.atomic_dir(final) as folder:
            (folder / name).touch()
    assert [file.name for file in final.iterdir()] == ["two"]
    # What is built there may be looked at, or run, by another user.
    assert final.stat().st_mode & 0o777 == 0o755
    assert [file.name for file in tmp_path.iterdir()] == ["final"]
