# SPDX-License-Identifier: GPL-2.0
"""What the tests of packages bring into their Debian root, and when they do not begin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import archive, debian, packaging, paths
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


@pytest.mark.parametrize(
    ("theirs", "ours", "taken"),
    [
        ("rustc 1.85.0 (of Debian)", "rustc 1.85.0 (of Debian)", True),
        ("rustc 1.85.0", "rustc 1.85.01", False),
        ("rustc 1.85.0", "", False),
        ("", "rustc 1.85.0", True),
    ],
)
def test_dkms_leaves_out_a_kernel_of_another_rustc(
    tmp_path: Path, theirs: str, ours: str, taken: bool
) -> None:
    for name in ("rust/libkernel.rmeta", "include/config/auto.conf", "bin/rustc"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    if theirs:
        config = f'CONFIG_RUSTC_VERSION_TEXT="{theirs}"\n'
        (tmp_path / "include/config/auto.conf").write_text(config)
    (tmp_path / "bin/rustc").write_text(f"#!/bin/sh\necho '{ours}'\n")
    (tmp_path / "bin/rustc").chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    read = f". {paths.ROOT}/dkms.conf"
    script = read + ' && echo "$AUTOINSTALL" "${BUILD_EXCLUSIVE_KERNEL-}"'
    run = subprocess.run(
        ["bash", "-uc", script],
        env={"PATH": path, "kernel_source_dir": str(tmp_path), "kernelver": "7.3.4"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == ("yes" if taken else "^$")
    assert ("another rustc has built it" in run.stderr) == (not taken)
