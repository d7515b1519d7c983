# SPDX-License-Identifier: GPL-2.0
"""What ``make rust-headers`` completes, and what it refuses. The stock lane runs it in earnest."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lab import kernel, packages, paths, rust_headers
from lab.errors import HostNotFit, LabError
from lab.rust_headers import Headers
from lab.toolchain import Toolchain

RELEASE = "7.3.4+deb13-amd64"
DEBIAN = "7.3.4-1~bpo13+1"
RUSTC = "rustc 1.85.1 (4eb161250 2025-03-15)"
CONFIG = f"""CONFIG_MODULES=y
CONFIG_RUST=y
CONFIG_CC_IS_GCC=y
CONFIG_CC_VERSION_TEXT="the-gcc-14 (Debian) 14.2.0"
CONFIG_RUSTC_VERSION_TEXT="{RUSTC}"
CONFIG_BINDGEN_VERSION_TEXT="bindgen 0.71.1"
"""
TOOLS = Toolchain({}, RUSTC, versions={"bindgen": "bindgen 0.71.1"})


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the cache and the source elsewhere, and a C compiler into PATH."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KSRC", raising=False)
    monkeypatch.setattr(rust_headers, "SOURCES", tmp_path / "usr-src")
    gcc = tmp_path / "bin/the-gcc-14"
    gcc.parent.mkdir()
    gcc.write_text('#!/bin/sh\necho "the-gcc-14 (Debian) 14.2.0"\n')
    gcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gcc.parent}:{os.environ['PATH']}")


@pytest.fixture
def kdir(tmp_path: Path) -> Path:
    """Debian's headers, as far as anything looks at them."""
    folder = tmp_path / "headers"
    for name, content in {
        ".config": CONFIG,
        "Module.symvers": "0x00000000\t_RNvCs1_6kernel3one\tvmlinux\tEXPORT_SYMBOL_GPL\t\n",
        "include/config/kernel.release": f"{RELEASE}\n",
        "include/generated/utsversion.h": (
            f'#define UTS_VERSION "#1 SMP PREEMPT_DYNAMIC Debian {DEBIAN} (2026-11-15)"\n'
        ),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def headers(kdir: Path) -> Headers:
    """Returns them as they are found."""
    found = rust_headers.incomplete(kdir)
    assert found
    return found


def test_debians_headers_say_what_they_were_built_from(kdir: Path) -> None:
    found = headers(kdir)
    assert (found.version, found.debian, found.package) == ("7.3.4", DEBIAN, "linux-source-7.3")


def test_where_nothing_is_missing_there_is_nothing_to_do(kdir: Path) -> None:
    (kdir / "rust").mkdir()
    (kdir / "rust/libkernel.rmeta").touch()
    assert rust_headers.complete(kdir) == kdir


def test_a_kernel_without_rust_stays_one(kdir: Path) -> None:
    (kdir / ".config").write_text("CONFIG_MODULES=y\n")
    assert rust_headers.complete(kdir) == kdir
    assert "CONFIG_RUST" in (kernel.unfit(kdir) or "")


def test_elsewhere_than_on_debian_the_source_has_to_be_given(
    kdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kdir / "include/generated/utsversion.h").write_text('#define UTS_VERSION "#1 SMP"\n')
    assert rust_headers.incomplete(kdir) is None
    assert "KSRC=" in (kernel.unfit(kdir) or "")
    monkeypatch.setenv("KSRC", "/src")
    assert headers(kdir).debian == ""


def test_the_compilers_of_the_kernel_will_do(kdir: Path) -> None:
    assert rust_headers.other_compilers(headers(kdir), TOOLS) is None


@pytest.mark.parametrize(
    ("which", "theirs", "other"),
    [
        ("rustc", RUSTC, "rustc 1.90.0"),
        ("bindgen", "bindgen 0.71.1", "bindgen 0.72.0"),
        ("C compiler", "the-gcc-14 (Debian) 14.2.0", "the-gcc-14 (Debian) 14.3.0"),
        ("C compiler", "the-gcc-14 (Debian) 14.2.0", "gcc-that-is-not-here 14.2.0"),
    ],
)
def test_another_compiler_is_named(kdir: Path, which: str, theirs: str, other: str) -> None:
    (kdir / ".config").write_text(CONFIG.replace(theirs, other))
    here = "none" if "not-here" in other else theirs
    said = rust_headers.other_compilers(headers(kdir), TOOLS)
    assert said
    assert f"its {which} was '{other}', and here is '{here}'" in said


def test_a_full_disk_is_told_of_before_anything_is_unpacked(
    kdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rust_headers, "ROOM", 1 << 60)
    with pytest.raises(HostNotFit, match=r"GiB in .* MiB are free"):
        rust_headers._build(headers(kdir), TOOLS)


def test_another_version_of_the_source_is_refused(
    kdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usr-src").mkdir()
    (tmp_path / "usr-src/linux-source-7.3.tar.xz").touch()

    def query(*_: object, **__: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], 0, "7.3.9-1", "")

    monkeypatch.setattr("subprocess.run", query)
    with pytest.raises(HostNotFit, match=re.escape(f"apt-get install linux-source-7.3={DEBIAN}")):
        rust_headers._source(headers(kdir), tmp_path)


def test_a_source_that_is_missing_is_named_with_its_version(
    kdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "may_install", lambda: False)
    with pytest.raises(HostNotFit, match=re.escape(f"linux-source-7.3={DEBIAN} is missing")):
        rust_headers._source(headers(kdir), tmp_path)


def test_the_users_source_has_to_be_of_that_version(
    kdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "linux"
    tree.mkdir()
    (tree / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 9\n")
    monkeypatch.setenv("KSRC", str(tree))
    with pytest.raises(HostNotFit, match=r"built from 7\.3\.4, not from 7\.3\.9"):
        rust_headers._source(headers(kdir), tmp_path)


def test_crates_whose_names_the_kernel_has_are_good(kdir: Path, tmp_path: Path) -> None:
    made = tmp_path / "build/rust/exports_kernel_generated.h"
    made.parent.mkdir(parents=True)
    made.write_text("EXPORT_SYMBOL_RUST_GPL(_RNvCs1_6kernel3one);\n")
    rust_headers.check(headers(kdir), tmp_path / "build")


@pytest.mark.parametrize("export", ["EXPORT_SYMBOL_RUST_GPL(_RNvCs2_6kernel3one);\n", ""])
def test_crates_with_other_names_are_refused(kdir: Path, tmp_path: Path, export: str) -> None:
    made = tmp_path / "build/rust/exports_kernel_generated.h"
    made.parent.mkdir(parents=True)
    made.write_text(export)
    with pytest.raises(LabError, match=re.escape(f"not those of {RELEASE}")):
        rust_headers.check(headers(kdir), tmp_path / "build")
    assert not list(paths.cache().glob("rust-headers/*/complete"))
