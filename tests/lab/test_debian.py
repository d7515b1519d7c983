# SPDX-License-Identifier: GPL-2.0
"""Debian's archive and Debian roots: what is fetched, what is made once, and what is refused."""

from pathlib import Path

import pytest

from lab import archive, debian, paths
from lab.errors import HostNotFit
from lab.toolchain import Toolchain


@pytest.fixture(autouse=True)
def _mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives this machine a mirror, root's rights, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(archive, "find_mirror", lambda *_: "http://mirror/debian/")
    monkeypatch.setattr(archive, "settings", list)
    monkeypatch.setattr("os.geteuid", lambda: 0)


def program(path: Path, text: str) -> Path:
    """Makes a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("code", [0, 100])
def test_a_suite_that_the_mirror_lacks_is_no_archive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    apt = program(tmp_path / "bin/apt-get", f"echo 'E: no Release file' >&2; exit {code}")
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    found = archive.read("trixie", tmp_path / "archive")
    said = capsys.readouterr().err
    if code:
        assert found is None
        assert "does not have trixie" in said
        assert "no Release file" in said
    else:
        assert found == archive.Archive("trixie", tmp_path / "archive")
        assert said == ""
        assert "URIs: http://mirror/debian/" in (tmp_path / "archive/lab.sources").read_text()


def bootstrap(tmp_path: Path, code: int) -> Toolchain:
    """Returns tools whose mmdebstrap counts its calls, and ends with a code."""
    text = f'echo "$@" >>{tmp_path}/calls; echo what it does; exit {code}'
    return Toolchain(
        {"mmdebstrap": program(tmp_path / "mmdebstrap", text), "rustc": Path("/usr/bin/rustc")}
    )


def test_a_root_is_made_once(tmp_path: Path) -> None:
    tc = bootstrap(tmp_path, 0)
    first = debian.root(tc, ("make",))
    assert first.path.is_dir()
    assert debian.root(tc, ("make",)) == first
    assert debian.root(tc, ("make", "gcc")) != first
    calls = (tmp_path / "calls").read_text().splitlines()
    assert ["--include=make " in call for call in calls] == [True, False]


def test_a_root_that_is_not_made_is_not_there_and_shows_why(tmp_path: Path) -> None:
    tc = bootstrap(tmp_path, 1)
    for _ in range(2):
        with pytest.raises(HostNotFit, match="what it does"):
            debian.root(tc, ("make",))
    assert len((tmp_path / "calls").read_text().splitlines()) == 2
    assert [path for path in (paths.cache() / "roots").iterdir() if path.is_dir()] == []
