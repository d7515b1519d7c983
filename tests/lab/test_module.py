# SPDX-License-Identifier: GPL-2.0
"""Modules: how large one is, and how long it takes to build."""

import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from lab import command, module, paths
from lab.errors import HostNotFit, LabError
from lab.kernel import Kernel
from lab.toolchain import Toolchain

KERNEL = Kernel("plain", Path("/src"), Path("/build"), "7.3.4-lab", "key")


def test_the_size_of_a_module_is_that_of_its_code_and_constants(tmp_path: Path) -> None:
    size = tmp_path / "llvm-size"
    size.write_text(
        "#!/bin/sh\necho '   text\t   data\t    bss'\necho '  45678\t   2104\t     80'\n"
    )
    size.chmod(0o755)
    tools = Toolchain(tools={}, llvm_bin=tmp_path)
    assert module.text_size(Path("ringdev.ko"), tools) == 45678


def test_a_build_is_timed_by_what_its_processes_have_worked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(*_: object, target: str, anew: bool) -> None:
        assert (target, anew) == ("ringdev.ko", True)
        loop = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"
        subprocess.run(["sh", "-c", loop], check=True)

    monkeypatch.setattr(module, "_build", build)
    assert module.seconds(KERNEL, Toolchain(tools={})) > 0
    assert module.seconds_external(Path(__file__).parent, KERNEL, Toolchain(tools={})) > 0


def test_a_build_that_was_cut_short_begins_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    external = tmp_path / "external"
    external.mkdir()
    (external / "Kbuild").write_text("obj-m := external.o\n")
    ends: list[BaseException | int] = [0, 0, KeyboardInterrupt(), 0, 1, 0]
    found: list[bool] = []

    def run(make: list[str], **_: object) -> int:
        out = Path(make[-1])
        found.append((out / "external.o").exists())
        out.mkdir(exist_ok=True)
        (out / "external.o").touch()
        end = ends.pop(0)
        if isinstance(end, int):
            return end
        raise end

    def make(_kernel: Kernel, _tools: Toolchain, *words: str) -> list[str]:
        return ["make", *(word.removeprefix("MO=") for word in words if word.startswith("MO="))]

    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(Kernel, "make", make)
    for failure in (None, None, KeyboardInterrupt, None, LabError, None):
        with pytest.raises(failure) if failure else nullcontext():
            module.build_external(external, KERNEL, Toolchain(tools={}))
    # The third one was interrupted; that the fifth one failed does no harm.
    assert found == [False, True, True, False, True, True]


def test_the_hash_of_the_sources_follows_them(tmp_path: Path) -> None:
    (tmp_path / "src/ring").mkdir(parents=True)
    (tmp_path / "include").mkdir()
    (tmp_path / "Kbuild").write_text("obj-m := ringdev.o\n")
    code = tmp_path / "src/ring/mod.rs"
    code.write_text("one\n")
    first = module.source_hash(tmp_path)
    (tmp_path / "src/ring/mod.o").write_text("a product")
    (tmp_path / "README.md").write_text("not of the module")
    assert module.source_hash(tmp_path) == first
    code.write_text("two\n")
    second = module.source_hash(tmp_path)
    assert second != first
    code.rename(code.with_name("other.rs"))
    assert module.source_hash(tmp_path) not in (first, second)


def test_a_saved_command_gives_the_call_without_what_comes_of_it() -> None:
    saved = (
        "OBJTREE=/build RUST_MODFILE=./x /usr/bin/rustc --edition=2021 -Zcrate-attr='feature(a,b)'"
        " --out-dir src/ --emit=dep-info=src/.x.d --emit=obj=src/x.o /in/src/x.rs"
    )
    words, env = module.command_of(saved)
    assert words == ["/usr/bin/rustc", "--edition=2021", "-Zcrate-attr=feature(a,b)"]
    assert env == {"OBJTREE": "/build", "RUST_MODFILE": "./x"}


def test_rustdoc_gets_the_flags_that_it_knows() -> None:
    words = ["/usr/bin/rustc", "--edition=2021", "-Zbinary_dep_depinfo=y", "--crate-type", "rlib",
             "--extern", "kernel", "@/build/rustc_cfg"]  # fmt: skip
    flags = module.rustdoc_flags(words)
    assert flags == ["--edition=2021", "--extern", "kernel", "@/build/rustc_cfg"]


@pytest.mark.parametrize("name", ["a b", "a\tb", "a:b", "a%b"])
@pytest.mark.parametrize("of", ["sources", "cache"])
def test_a_path_that_kbuild_cannot_work_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, of: str
) -> None:
    folders = {"sources": tmp_path / "sources", "cache": tmp_path / "cache"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders["cache"]))
    module.refuse_awkward_paths(folders["sources"])
    folders[of] = tmp_path / name
    monkeypatch.setenv("XDG_CACHE_HOME", str(folders["cache"]))
    with pytest.raises(HostNotFit, match="without blanks, colons and per cent signs"):
        module.refuse_awkward_paths(folders["sources"])
