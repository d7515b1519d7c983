# SPDX-License-Identifier: GPL-2.0
"""What the tests of packages bring into their Debian root, and when they do not begin."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab import archive, debian, packaging
from lab.errors import HostNotFit
from lab.toolchain import Toolchain


def test_a_program_of_the_host_is_brought_with_its_libraries_but_for_libc(tmp_path: Path) -> None:
    packaging.bring_rustc(Path(sys.executable).resolve(), tmp_path / "rust")
    names = {path.name for path in (tmp_path / "rust").iterdir()}
    assert {"rustc", "rustc.real"} <= names
    assert not {"libc.so.6", "libm.so.6"} & names
    run = [str(tmp_path / "rust/rustc"), "-c", "print(6 * 7)"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "42\n"


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(HostNotFit, match="sudo"):
        debian.root(Toolchain({}), ["make"])


def test_elsewhere_than_on_debian_there_is_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(archive, "find_mirror", lambda *_: "")
    with pytest.raises(HostNotFit, match="no mirror"):
        debian.root(Toolchain({}), ["make"])
