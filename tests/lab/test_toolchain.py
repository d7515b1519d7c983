# SPDX-License-Identifier: GPL-2.0
"""Which tools are taken, and which are passed over."""

import os
import struct
from pathlib import Path

import pytest

from lab import toolchain
from lab.errors import LabError
from lab.toolchain import MINIMUM, Survey, Toolchain


def script(path: Path, text: str) -> Path:
    """Makes a program that prints something."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def fake_rustc(root: Path, version: str, *, src: bool = True) -> Path:
    """Makes a rustc with its own library folder, with the library's source or without."""
    if src:
        source = root / "lib/rustlib/src/rust/library/core/src/lib.rs"
        source.parent.mkdir(parents=True)
        source.touch()
    return script(
        root / "bin/rustc",
        f'case "$1" in --version) echo "rustc {version}";; --print) echo "{root}";; esac',
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Empties PATH of all but the system's own folders, and takes what a test puts before."""
    folders: list[Path] = []

    def all_in_path(name: str) -> list[Path]:
        return [f / name for f in folders if os.access(f / name, os.X_OK)]

    monkeypatch.setattr(toolchain, "_all_in_path", all_in_path)
    monkeypatch.setenv("RUSTUP_HOME", str(tmp_path / "no-rustup"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folders


def test_a_rustc_without_its_source_is_passed_over(path: list[Path], tmp_path: Path) -> None:
    bare = fake_rustc(tmp_path / "bare", "1.95.0 (abc 2026-01-01)", src=False)
    good = fake_rustc(tmp_path / "good", "1.90.0 (def 2026-01-01)")
    path += [bare.parent, good.parent]
    survey = Survey(MINIMUM, rustc_text="rustc 1.90.0 (def 2026-01-01)")
    assert survey.get("rustc") == good
    assert any(str(bare) in line and "rust-src" in line for line in survey.passed_over)


def test_an_old_rustc_and_a_nightly_are_passed_over(path: list[Path], tmp_path: Path) -> None:
    old = fake_rustc(tmp_path / "old", "1.63.0")
    nightly = fake_rustc(tmp_path / "nightly", "1.99.0-nightly (abc 2026-01-01)")
    broken = script(tmp_path / "broken/bin/rustc", "exit 1")
    path += [old.parent, nightly.parent, broken.parent]
    survey = Survey(MINIMUM)
    assert survey.get("rustc") not in (old, nightly, broken)
    said = "\n".join(survey.passed_over)
    assert f"{old}: rustc 1.63.0; 1.85.0 needed" in said
    assert "not a release" in said
    assert f"{broken}: does not run" in said


def test_the_rustc_of_a_kernel_is_preferred(path: list[Path], tmp_path: Path) -> None:
    first = fake_rustc(tmp_path / "first", "1.95.0 (abc 2026-01-01)")
    # Its own crates are compiled already, so that it needs no source.
    kernels = fake_rustc(tmp_path / "kernels", "1.90.0 (def 2026-01-01)", src=False)
    path += [first.parent, kernels.parent]
    assert Survey(MINIMUM, rustc_text="rustc 1.90.0 (def 2026-01-01)").get("rustc") == kernels


def test_tools_of_another_release_do_not_belong_to_a_rustc(tmp_path: Path) -> None:
    rustc = fake_rustc(tmp_path, "1.90.0 (def 2026-01-01)")
    cargo = script(tmp_path / "bin/cargo", "echo cargo 1.90.1")
    script(tmp_path / "bin/clippy-driver", "echo clippy 0.1.89")
    assert toolchain._beside(rustc, "cargo") == cargo
    assert toolchain._beside(rustc, "clippy") is None
    assert toolchain._beside(rustc, "rustfmt") is None


def fake_llvm(folder: Path, version: str, *, without: str = "") -> Path:
    """Makes a folder of LLVM's tools."""
    for tool in toolchain.LLVM_TOOLS:
        if tool != without:
            script(folder / tool, f'echo "Debian {tool} version {version}"')
    return folder


def test_llvm_that_is_old_or_incomplete_is_passed_over(path: list[Path], tmp_path: Path) -> None:
    old = fake_llvm(tmp_path / "old", "14.0.6")
    part = fake_llvm(tmp_path / "part", "19.1.7", without="ld.lld")
    good = fake_llvm(tmp_path / "good", "18.1.0")
    path += [old, part, good]
    survey = Survey(MINIMUM)
    assert survey.get("llvm") == good
    said = "\n".join(survey.passed_over)
    assert "14.0.6; 17.0.1 needed" in said
    assert f"{part}: Debian clang version 19.1.7: without ld.lld" in said


def test_an_old_bindgen_is_passed_over_for_the_built_one(path: list[Path], tmp_path: Path) -> None:
    path.append(script(tmp_path / "bin/bindgen", "echo bindgen 0.60.1").parent)
    survey = Survey(MINIMUM)
    assert survey.get("bindgen") is None
    assert "bindgen 0.60.1; 0.71.1 needed" in survey.passed_over[0]
    built = tmp_path / f"cache/ringdev/tools/bindgen-{toolchain.BINDGEN_VERSION}/bin/bindgen"
    script(built, f"echo bindgen {toolchain.BINDGEN_VERSION}")
    assert Survey(MINIMUM).get("bindgen") == built


def elf(path: Path, *, interpreter: bool) -> Path:
    """Writes an ELF file's header and program headers."""
    header = bytearray(64)
    header[:5] = b"\x7fELF\x02"
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, 2)
    pt_load, pt_interp = 1, 3
    types = (pt_load, pt_interp if interpreter else pt_load)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(header) + b"".join(struct.pack("<I52x", kind) for kind in types))
    path.chmod(0o755)
    return path


def test_a_busybox_that_needs_libraries_is_passed_over(path: list[Path], tmp_path: Path) -> None:
    dynamic = elf(tmp_path / "a/busybox", interpreter=True)
    static = elf(tmp_path / "b/busybox", interpreter=False)
    text = script(tmp_path / "c/busybox", "")
    path += [dynamic.parent, text.parent, static.parent]
    survey = Survey(MINIMUM)
    assert survey.get("busybox") == static
    assert len(survey.passed_over) == 2


def test_a_linker_without_the_32_bit_library_will_not_do(path: list[Path], tmp_path: Path) -> None:
    library = tmp_path / "libc.a"
    library.touch()
    # gcc prints the name as it is where it knows no such file.
    told = f'case "$1" in -m32) echo libc.a;; *) echo {library};; esac'
    path.append(script(tmp_path / "bin/cc", told).parent)
    survey = Survey(MINIMUM)
    assert survey.get("libc") == library
    assert survey.get("libc-32") is None
    script(tmp_path / "bin/cc", f'[ "$1 $2" = "-m32 -print-file-name=libc.a" ] && echo {library}')
    assert Survey(MINIMUM).get("libc-32") == library


def test_what_make_was_told_does_not_reach_the_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKEFLAGS", "CMD", "O", "RUSTFLAGS", "KDIR", "LLVM", "KBUILD_OUTPUT", "LANG"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HTTP_PROXY", "y")
    env = toolchain.build_env(Path("/rust/bin"), Path("/llvm/bin"))
    assert not {"MAKEFLAGS", "CMD", "O", "KDIR", "LLVM", "KBUILD_OUTPUT"} & set(env)
    assert env["RUSTFLAGS"] == ""
    assert env["HTTP_PROXY"] == "y"
    assert env["LC_ALL"] == "C.UTF-8"
    assert env["PATH"].startswith("/llvm/bin:/rust/bin:")


def test_a_tool_that_was_not_asked_for_is_a_bug() -> None:
    with pytest.raises(LabError, match="qemu without having asked"):
        _ = Toolchain(tools={}).qemu


def test_minimums_are_the_trees_own(tmp_path: Path) -> None:
    script(
        tmp_path / "scripts/min-tool-version.sh",
        'case "$1" in rustc) echo 1.99.0;; llvm) exit 1;; *) echo 1.2.3;; esac',
    )
    found = toolchain.minimums(tmp_path)
    assert found["rustc"] == (1, 99, 0)
    assert found["bindgen"] == (1, 2, 3)
    assert found["llvm"] == MINIMUM["llvm"]
    assert toolchain.minimums(None) == MINIMUM
